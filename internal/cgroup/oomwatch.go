package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// OOMFile is [Group.OOM] for a caller with a poll(2) loop of its own: a descriptor, and the event
// to wait for. After each event [Group.OOMKillCount] says whether a process was killed; on v1
// the event comes before the kill, and once more when the group is removed. Read the descriptor,
// 8 bytes at least, after an event.
func (g *Group) OOMFile() (fd int, events uint32, err error) {
	if d := g.one("memory"); d != nil {
		fd, err = oomEventfd(d.path)
		return fd, unix.EPOLLIN, err
	}
	if two := g.two(); two != nil {
		if fd, err = open(two.path+"/memory.events", unix.O_RDONLY); err != nil {
			return -1, 0, fmt.Errorf("watch for out-of-memory: %w", err)
		}
		return fd, unix.EPOLLPRI, nil
	}
	return -1, 0, errors.New("cannot watch for out-of-memory: the container has no memory cgroup")
}

// oomEventfd registers an eventfd in cgroup.event_control.
func oomEventfd(dir string) (int, error) {
	control, err := open(dir+"/memory.oom_control", unix.O_RDONLY)
	if err != nil {
		return -1, fmt.Errorf("watch for out-of-memory: %w", err)
	}
	defer unix.Close(control) // the registration keeps what it needs
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return -1, os.NewSyscallError("eventfd", err)
	}
	if err := writeFile(dir, "cgroup.event_control", strconv.Itoa(event)+" "+strconv.Itoa(control)); err != nil {
		unix.Close(event)
		return -1, fmt.Errorf("watch for out-of-memory: %w", err)
	}
	return event, nil
}
