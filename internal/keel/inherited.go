package keel

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxInherited bounds the descriptors that are passed on: more than the kernel's default limit
// of open files, so that arithmetic cannot go astray.
const maxInherited = 1 << 20

// listenFDs is how many descriptors, from 3 on, systemd has passed to this process for its
// socket unit (sd_listen_fds(3)).
func listenFDs() int {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() { // they were for a process before us
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxInherited {
		return 0
	}
	return n
}

// preserved is the value of --preserve-fds, whose descriptors begin at first. Each must be open
// and have come from our caller: ours are close-on-exec, theirs cannot be.
func preserved(o options, first int) (int, error) {
	n, err := o.count("preserve-fds")
	if err == nil && n > maxInherited {
		err = fmt.Errorf("--preserve-fds: %d is too many", n)
	}
	if err != nil {
		return 0, err
	}
	for i := range n {
		flags, err := unix.FcntlInt(uintptr(first+i), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC != 0 {
			err = unix.EBADF
		}
		if err != nil {
			return 0, fmt.Errorf("unable to stat preserved-fd %d (of %d): descriptor %d: %w", i, n, first+i, err)
		}
	}
	return n, nil
}
