package serve

import (
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// loop waits for descriptors and for time.
type loop struct {
	epoll   int
	sources map[int]*source
	stamp   int32
	timers  []*timer

	wake int // eventfd: a call is done
	mu   sync.Mutex
	done []func()
	busy int // calls at work

	queued  int      // of those, by queue
	waiting []func() // calls that are not at work yet
	idle    func()

	settleAt *timer
	calls    int // since memory was given back
}

// source is a descriptor that the loop waits for.
type source struct {
	fd     int
	stamp  int32 // tells it from an earlier one with the same number
	events uint32
	ready  func(events uint32)
}

type timer struct {
	at time.Time
	f  func()
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	l := &loop{epoll: ep, sources: map[int]*source{}}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return l, l.watch(l.wake, unix.EPOLLIN, func(uint32) {
		var b [8]byte
		unix.Read(l.wake, b[:])
		l.mu.Lock()
		list := l.done
		l.done = nil
		l.mu.Unlock()
		for _, f := range list {
			l.busy--
			f()
		}
		if l.busy == 0 {
			l.idle()
		}
		l.settle()
	})
}

// watch calls ready when one of the events has come; errors and hang-up always count.
func (l *loop) watch(fd int, events uint32, ready func(uint32)) error {
	l.stamp++
	s := &source{fd: fd, stamp: l.stamp, events: events, ready: ready}
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: s.stamp})
	if err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.sources[fd] = s
	return nil
}

// want changes the events of a descriptor.
func (l *loop) want(fd int, events uint32) {
	s := l.sources[fd]
	if s == nil || s.events == events {
		return
	}
	s.events = events
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: s.stamp})
}

// pause leaves a descriptor alone, its hang-up too.
func (l *loop) pause(fd int) {
	if s := l.sources[fd]; s != nil {
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil)
		s.events = ^uint32(0)
	}
}

// unpause waits for a descriptor again.
func (l *loop) unpause(fd int, events uint32) {
	if s := l.sources[fd]; s != nil && s.events == ^uint32(0) {
		s.events = events
		unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: s.stamp})
	}
}

// close closes a descriptor that was watched.
func (l *loop) close(fd int) {
	if fd >= 0 {
		delete(l.sources, fd)
		unix.Close(fd)
	}
}

// after calls f once, when d has passed. A timer whose f is nil is off.
func (l *loop) after(d time.Duration, f func()) *timer {
	t := &timer{time.Now().Add(d), f}
	l.timers = append(l.timers, t)
	return t
}

// work does f beside the loop, and then with its result, in the loop, what comes next.
func (l *loop) work(f func() error, then func(error)) {
	l.busy++
	go func() {
		err := f()
		l.mu.Lock()
		l.done = append(l.done, func() { then(err) })
		l.mu.Unlock()
		unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}()
	// With one processor the goroutine would otherwise wait until the runtime's monitor sees
	// that the loop is in epoll_wait: milliseconds.
	runtime.Gosched()
}

// atOnce bounds the calls that [loop.queue] has at work: each may keep a thread.
const atOnce = 8

// queue is work for what others may have to wait for.
func (l *loop) queue(f func() error, then func(error)) {
	if l.queued >= atOnce {
		l.waiting = append(l.waiting, func() { l.queue(f, then) })
		return
	}
	l.queued++
	l.work(f, func(err error) {
		l.queued--
		then(err)
		if len(l.waiting) > 0 {
			next := l.waiting[0]
			l.waiting = l.waiting[1:]
			next()
		}
	})
}

// settleDelay is how long a shim may have memory that it does not need any more.
const settleDelay = 50 * time.Millisecond

// settle gives memory back to the kernel when there has been nothing to do for a while after so
// many calls. The first run of the garbage collector leaves 200 KiB of its own bookkeeping, and so
// does asking how large the heap is; what makes and starts a container is 300 KiB, of which the
// half is given back by hand (launch.Child.Discard). So it is left lying, and calls are counted.
func (l *loop) settle() {
	l.calls++
	if l.calls < settleCalls {
		return
	}
	if l.settleAt != nil {
		l.settleAt.f = nil
	}
	l.settleAt = l.after(settleDelay, func() {
		if l.busy == 0 {
			l.calls = 0
			debug.FreeOSMemory()
		}
	})
}

// settleCalls is after how many calls, of up to 100 KiB each, memory is given back.
const settleCalls = 12

// turn waits once and does what has come.
func (l *loop) turn() error {
	wait := -1
	if len(l.timers) > 0 {
		now := time.Now()
		wait = int(time.Hour / time.Millisecond)
		for _, t := range l.timers {
			if t.f != nil {
				wait = min(wait, max(0, int(t.at.Sub(now)/time.Millisecond)+1))
			}
		}
	}
	var list [16]unix.EpollEvent
	n, err := unix.EpollWait(l.epoll, list[:], wait)
	if err != nil && err != unix.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, e := range list[:max(n, 0)] {
		if s := l.sources[int(e.Fd)]; s != nil && s.stamp == e.Pad && s.events != ^uint32(0) {
			s.ready(e.Events)
		}
	}
	l.runTimers()
	return nil
}

func (l *loop) runTimers() {
	if len(l.timers) == 0 {
		return
	}
	now := time.Now()
	list := l.timers
	l.timers = nil
	for _, t := range list {
		switch {
		case t.f == nil:
		case t.at.After(now):
			l.timers = append(l.timers, t)
		default:
			f := t.f
			t.f = nil
			f()
		}
	}
}
