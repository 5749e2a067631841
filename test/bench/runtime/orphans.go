package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// subreaper makes this process the one that orphans below it are given to.
func subreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming a subreaper: %w", err)
	}
	return nil
}

// reap waits for the end of an orphan that became our child.
func reap(pid int) error {
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for the container's process %d: %w", pid, err)
		}
		return nil
	}
}

// reapAll takes what has ended.
func reapAll() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}
