package reader

import (
	"os"

	"golang.org/x/sys/unix"
)

// watch tells when something in a directory changes.
type watch struct {
	f      *os.File // nil: there is no inotify to be had, and who waits looks now and then
	change chan struct{}
}

func newWatch(dir string) *watch {
	w := &watch{change: make(chan struct{}, 1)}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return w
	}
	w.f = os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		w.f.Close()
		w.f = nil
		return w
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := w.f.Read(buf); err != nil {
				return
			}
			select {
			case w.change <- struct{}{}:
			default:
			}
		}
	}()
	return w
}

func (w *watch) close() {
	if w.f != nil {
		w.f.Close()
	}
}
