package cgroup

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OOM returns a channel that gets a value each time the group runs out of memory, and that is
// closed when the group is removed or, on v2, when its last process has ended. Close done to
// stop watching before that; the channel is then closed too.
//
// v1 tells by an eventfd that is registered in cgroup.event_control, before the kernel kills;
// v2 by a change of memory.events, after it has killed.
func (g *Group) OOM(done <-chan struct{}) (<-chan struct{}, error) {
	if d := g.one("memory"); d != nil {
		return oomV1(d.path, done)
	}
	if two := g.two(); two != nil {
		return oomV2(two.path, done)
	}
	return nil, errors.New("cannot watch for out-of-memory: the container has no memory cgroup")
}

func oomV1(dir string, done <-chan struct{}) (<-chan struct{}, error) {
	event, err := oomEventfd(dir)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(event), "eventfd") // non-blocking: reads go through Go's poller
	return watch(f, done, func() (oom, gone bool) {
		// The kernel also signals the eventfd when the group is removed.
		var st unix.Stat_t
		gone = unix.Stat(dir, &st) != nil
		return !gone, gone
	}), nil
}

func oomV2(dir string, done <-chan struct{}) (<-chan struct{}, error) {
	in, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	f := os.NewFile(uintptr(in), "inotify")
	for _, name := range []string{"memory.events", "cgroup.events"} {
		if _, err := unix.InotifyAddWatch(in, dir+"/"+name, unix.IN_MODIFY); err != nil {
			f.Close()
			return nil, &os.PathError{Op: "watch for out-of-memory", Path: dir + "/" + name, Err: err}
		}
	}
	kills := func() (uint64, bool) {
		text, err := readFile(dir, "memory.events")
		if err != nil {
			return 0, false
		}
		return keyOf(text, "oom_kill")
	}
	seen, _ := kills()
	return watch(f, done, func() (oom, gone bool) {
		n, ok := kills()
		oom = n > seen
		if ok {
			seen = n
		}
		text, err := readFile(dir, "cgroup.events")
		populated, _ := keyOf(text, "populated")
		return oom, err != nil || populated == 0
	}), nil
}

// watch reads events from f, which it closes, and asks check what each one means.
func watch(f *os.File, done <-chan struct{}, check func() (oom, gone bool)) <-chan struct{} {
	ch := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		select {
		case <-done:
		case <-ended:
		}
		f.Close() // ends a pending Read
	}()
	go func() {
		defer close(ended)
		defer close(ch)
		buf := make([]byte, 4096)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
			oom, gone := check()
			if oom {
				select {
				case ch <- struct{}{}:
				case <-done:
					return
				}
			}
			if gone {
				return
			}
		}
	}()
	return ch
}
