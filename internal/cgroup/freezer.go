package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// State is what the freezer says of a group.
type State uint8

const (
	Undefined State = iota // the group has no freezer
	Thawed
	Freezing // asked for, not all processes have stopped yet (v1; on v2 until cgroup.events says so)
	Frozen
)

func (s State) String() string {
	return [...]string{"undefined", "thawed", "freezing", "frozen"}[s&3]
}

// freezer returns the directory with the freezer's files, or nil.
func (g *Group) freezer() *groupDir {
	if d := g.one("freezer"); d != nil {
		return d
	}
	return g.two()
}

// State returns whether the group is frozen, by itself or because a parent is.
func (g *Group) State() (State, error) {
	d := g.freezer()
	if d == nil {
		return Undefined, nil
	}
	if !d.v2 {
		return stateV1(d.path)
	}
	return stateV2(d.path)
}

func stateV1(dir string) (State, error) {
	text, err := readFile(dir, "freezer.state")
	if err != nil {
		if isAbsent(err) {
			return Undefined, nil
		}
		return Undefined, err
	}
	switch strings.TrimSpace(text) {
	case "THAWED":
		return Thawed, nil
	case "FREEZING":
		return Freezing, nil
	case "FROZEN":
		return Frozen, nil
	}
	return Undefined, fmt.Errorf("parse %s/freezer.state: %q", dir, text)
}

func stateV2(dir string) (State, error) {
	text, err := readFile(dir, "cgroup.events")
	if err != nil {
		if isAbsent(err) {
			return Undefined, nil
		}
		return Undefined, err
	}
	frozen, ok := keyOf(text, "frozen")
	switch {
	case !ok: // before Linux 5.2
		return Undefined, nil
	case frozen == 1:
		return Frozen, nil
	}
	if asked, err := readFile(dir, "cgroup.freeze"); err == nil && strings.TrimSpace(asked) == "1" {
		return Freezing, nil
	}
	return Thawed, nil
}

// Freeze stops every process of the group and returns when all have stopped. After timeout it
// thaws the group again and fails.
func (g *Group) Freeze(timeout time.Duration) error {
	d := g.freezer()
	if d == nil {
		return errors.New("cannot freeze: the container has no freezer cgroup")
	}
	var err error
	if d.v2 {
		err = freezeV2(d.path, timeout)
	} else {
		err = freezeV1(d.path, timeout)
	}
	if err != nil {
		err = errors.Join(err, g.Thaw())
		return fmt.Errorf("freeze %s: %w", d.path, err)
	}
	return nil
}

// Thaw lets the processes of the group go on.
func (g *Group) Thaw() error {
	d := g.freezer()
	switch {
	case d == nil:
		return errors.New("cannot thaw: the container has no freezer cgroup")
	case d.v2:
		return writeFile(d.path, "cgroup.freeze", "0")
	}
	return writeFile(d.path, "freezer.state", "THAWED")
}

// freezeV1: reading freezer.state is what moves a group from FREEZING to FROZEN, and a process
// that forks, or is waited for by another of the group in the kernel (vfork, ptrace), can keep
// it at FREEZING for good. Writing again reaches new tasks; a short thaw lets the others on.
func freezeV1(dir string, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	pause := 10 * time.Microsecond
	for i := 1; ; i++ {
		if err := writeFile(dir, "freezer.state", "FROZEN"); err != nil {
			return err
		}
		state, err := stateV1(dir)
		switch {
		case err != nil:
			return err
		case state == Frozen:
			return nil
		case state == Undefined:
			return &os.PathError{Op: "read", Path: dir + "/freezer.state", Err: unix.ENOENT}
		case time.Now().After(deadline):
			return fmt.Errorf("processes did not stop within %v", timeout)
		}
		if i%50 == 0 {
			if err := writeFile(dir, "freezer.state", "THAWED"); err != nil {
				return err
			}
			time.Sleep(10 * time.Microsecond)
			continue
		}
		time.Sleep(pause)
		if pause < time.Millisecond {
			pause *= 2
		}
	}
}

func freezeV2(dir string, timeout time.Duration) error {
	if err := writeFile(dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	return waitEvent(dir, "frozen", 1, timeout)
}

// waitEvent waits until a key of cgroup.events has a value. The kernel signals each change of
// that file by POLLPRI to who has read it before (cgroups(7)).
func waitEvent(dir, key string, want uint64, timeout time.Duration) error {
	path := dir + "/cgroup.events"
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(timeout)
	buf := make([]byte, 512)
	for {
		n, err := unix.Pread(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "read", Path: path, Err: err}
		}
		if v, ok := keyOf(string(buf[:n]), key); ok && v == want {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("%s: %q did not become %d within %v", path, key, want, timeout)
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(min(left, time.Second)/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}
