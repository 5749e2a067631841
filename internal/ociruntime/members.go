package ociruntime

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// byNamespace says whether the container's processes are found by their pid namespace: it has
// one of its own, and no cgroup, as a user's container on a host that gives him no rights there.
func (c *Container) byNamespace() bool {
	return len(c.Cgroups) == 0 && c.Namespaces&unix.CLONE_NEWPID != 0
}

// members are the processes in init's pid namespace. One in a pid namespace below it, or one
// that this user may not look at, is not among them. None when init has ended: the kernel has
// then ended the others.
func (c *Container) members() ([]int, error) {
	if !c.alive() {
		return nil, nil
	}
	own, err := os.Readlink("/proc/" + strconv.Itoa(c.InitPid) + "/ns/pid")
	if errors.Is(err, os.ErrPermission) && c.waits() {
		return []int{c.InitPid}, nil // not dumpable before it has executed the program
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && ns == own {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killMembers sends a signal to them; to init alone when it is SIGKILL, which ends them all.
func (c *Container) killMembers(sig unix.Signal) error {
	pids, err := c.members()
	if err != nil {
		return err
	}
	if sig == unix.SIGKILL && len(pids) > 0 {
		pids = []int{c.InitPid}
	}
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH || err == unix.EINVAL {
			continue
		}
		if err != nil {
			return os.NewSyscallError("pidfd_open", err)
		}
		// Asked again after the open: the number may be another process's by now.
		own, _ := os.Readlink("/proc/" + strconv.Itoa(c.InitPid) + "/ns/pid")
		ns, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid")
		if pid == c.InitPid || ns != "" && ns == own {
			err = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
		unix.Close(fd)
		if err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}
