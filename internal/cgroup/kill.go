package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	freezeForKill = 500 * time.Millisecond
	killTimeout   = 10 * time.Second
)

// Kill sends a signal to every process of the group and of the groups below it. For SIGKILL it
// returns when no process is left; zombies do not count.
func (g *Group) Kill(sig unix.Signal) error {
	if len(g.dirs) == 0 {
		return errors.New("cannot signal the container's processes: it has no cgroup")
	}
	if sig != unix.SIGKILL {
		return g.signalAll(sig)
	}
	if two := g.two(); two != nil {
		// Atomic against fork, and reaches frozen processes of v2 (since Linux 5.14).
		err := writeFile(two.path, "cgroup.kill", "1")
		if err == nil {
			if state, _ := g.State(); !g.freezer().v2 && state != Thawed && state != Undefined {
				err = g.Thaw() // a process that v1 has frozen does not die
			}
			return errors.Join(err, g.waitEmpty(func() error { return g.signalAll(sig) }))
		}
		if isAbsent(err) && g.gone() {
			return nil
		}
	}
	if err := g.signalAll(sig); err != nil {
		return err
	}
	return g.waitEmpty(func() error { return g.signalAll(sig) })
}

func (g *Group) gone() bool {
	var st unix.Stat_t
	return unix.Stat(g.procsDir().path, &st) == unix.ENOENT
}

// waitEmpty polls, with again for processes that were forked meanwhile.
func (g *Group) waitEmpty(again func() error) error {
	deadline := time.Now().Add(killTimeout)
	pause := 50 * time.Microsecond
	for i := 1; ; i++ {
		pids, err := g.Pids()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d process(es) of %s are still there %v after SIGKILL", len(pids), g.procsDir().path, killTimeout)
		}
		time.Sleep(pause)
		if pause < 10*time.Millisecond {
			pause *= 2
		}
		if i%8 == 0 {
			if err := again(); err != nil {
				return err
			}
		}
	}
}

// signalAll freezes the group so that it cannot fork away from the signal, signals, and thaws.
// Without a freezer, or when it does not come to rest, it signals a moving target: enough for
// who calls again.
func (g *Group) signalAll(sig unix.Signal) error {
	state, err := g.State()
	if err == nil && state == Thawed {
		if err := g.Freeze(freezeForKill); err == nil {
			defer g.Thaw()
		}
	} else if state != Undefined && sig == unix.SIGKILL {
		defer g.Thaw() // on v1 a frozen process does not die
	}
	d := g.procsDir()
	pids, err := allPids(d.path)
	if err != nil || len(pids) == 0 {
		return err
	}
	// A number may be another process's by now. A pidfd cannot change hands, and one whose
	// number is still listed after it was opened is of this group.
	fds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	var first error
	const batch = 512 // descriptors at once
	for len(pids) > 0 {
		n := min(batch, len(pids))
		for _, pid := range pids[:n] {
			fd, err := unix.PidfdOpen(pid, 0)
			if err == nil {
				fds[pid] = fd
			} else if err != unix.ESRCH && first == nil {
				first = fmt.Errorf("pidfd_open %s: %w", strconv.Itoa(pid), err)
			}
		}
		pids = pids[n:]
		now, err := allPids(d.path)
		if err != nil {
			return err
		}
		for _, pid := range now {
			fd, ok := fds[pid]
			if !ok {
				continue
			}
			if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH && first == nil {
				first = fmt.Errorf("signal process %d: %w", pid, err)
			}
		}
		for pid, fd := range fds {
			unix.Close(fd)
			delete(fds, pid)
		}
	}
	return first
}
