package ociruntime

import "golang.org/x/sys/unix"

// undoList is what to take back when creation fails, last first.
type undoList struct {
	steps []func()
	fds   []int
}

func (u *undoList) add(f func()) { u.steps = append(u.steps, f) }
func (u *undoList) fd(fd int)    { u.fds = append(u.fds, fd) }
func (u *undoList) closeFDs() {
	for _, fd := range u.fds {
		unix.Close(fd)
	}
	u.fds = nil
}
func (u *undoList) run() {
	for i := len(u.steps) - 1; i >= 0; i-- {
		u.steps[i]()
	}
	u.steps = nil
	u.closeFDs()
}
