package ociruntime

import (
	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// stdio names what the standard descriptors are, as /proc/PID/fd does: "pipe:[4026]". A container
// without a terminal is born with them. They are kept because a later checkpoint cannot ask: init
// may have closed them by then. A restore gives its own in the place of those that are pipes.
func stdio(terminal bool, std standard) []string {
	if terminal {
		return nil
	}
	var names []string
	buf := make([]byte, 4096)
	for _, fd := range std {
		n, err := unix.Readlink("/proc/self/fd/"+itoa(uint64(fd)), buf)
		if err != nil {
			n = 0
		}
		names = append(names, string(buf[:n]))
	}
	return names
}

// nullDescriptors are those of a process's standard descriptors that are the host's /dev/null.
func nullDescriptors(std standard) []int {
	var list []int
	for i, fd := range std {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			list = append(list, i)
		}
	}
	return list
}

// ownNull puts the container's /dev/null in the place of the host's, as runc does: a descriptor
// into a mount of the host's could not be checkpointed. Where /dev/null is something else, or not
// there, the host's stays: no process is handed what it did not ask for (SECURITY.md R3).
func (p *planner) ownNull(fds []int) {
	if len(fds) == 0 {
		return
	}
	p.Doing("open", "/dev/null of the container")
	done, other := p.NewLabel(), p.NewLabel()
	st, arg := p.Mem(256) // struct statx: stx_mode at 28, stx_rdev_major and _minor at 128 and 132
	// Looked at before it is opened, since opening a device can do something, and once more after.
	for _, flags := range []uint64{unix.O_PATH | unix.O_NOFOLLOW, unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY} {
		p.openIn("/dev/null", flags, p.target).Ok(eNOENT, eNOTDIR, eACCES, ePERM).Else(done)
		p.Call("statx", unix.SYS_STATX, launch.Of(p.target), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_TYPE), arg)
		p.Assert32(st[28:], unix.S_IFMT, unix.S_IFCHR, eINVAL).Else(other)
		p.Assert32(st[128:], 0xffffffff, 1, eINVAL).Else(other)
		p.Assert32(st[132:], 0xffffffff, 3, eINVAL).Else(other)
		if flags&unix.O_PATH != 0 {
			p.close(p.target)
		}
	}
	p.Call("fcntl", unix.SYS_FCNTL, launch.Of(p.target), launch.Int(unix.F_SETFL), launch.Int(0))
	for _, fd := range fds {
		p.Call("dup3", unix.SYS_DUP3, launch.Of(p.target), launch.Int(fd), launch.Hex(0))
	}
	p.Bind(other)
	p.close(p.target)
	p.Bind(done)
}
