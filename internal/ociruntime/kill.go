package ociruntime

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// killTimeout is how long SIGKILL may take to end a process; one in an uninterruptible
// system call (D state) may not end at all.
const killTimeout = 10 * time.Second

// Kill sends a signal to init, or with all to every process of the container. Signal 0 only
// asks whether there is a process to send to. The error is [ErrNotRunning] when the
// container has stopped; with all, that is no error, and what was left in the cgroup gets
// the signal.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	c.r.debug("container %s: signal %d for process %d; all: %t", c.ID, int(sig), c.InitPid, all)
	ownPids := c.Namespaces&unix.CLONE_NEWPID != 0
	if all || sig == unix.SIGKILL && !ownPids { // without a pid namespace the others do not die with init
		err := c.killGroup(sig)
		if err == nil || all {
			return err
		}
		if !c.Rootless {
			return err
		}
		c.r.warn(err.Error() + "; only init gets the signal") // a user may have no cgroup
	}
	if !c.alive() { // or on its way out
		return ErrNotRunning
	}
	fd, err := c.initFD()
	if err == nil {
		defer unix.Close(fd)
		if err = unix.PidfdSendSignal(fd, sig, nil, 0); err == unix.ESRCH {
			err = ErrNotRunning
		}
	}
	if errors.Is(err, ErrNotRunning) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("send signal %d to container %s: %w", int(sig), c.ID, err)
	}
	if sig == unix.SIGKILL {
		return c.thawDying()
	}
	return nil
}

func (c *Container) killGroup(sig unix.Signal) error {
	var err error
	if c.byNamespace() {
		err = c.killMembers(sig)
	} else if g, e := c.cgroup(); e != nil {
		err = e
	} else {
		err = g.Kill(sig)
	}
	if err != nil {
		return fmt.Errorf("kill the processes of container %s: %w", c.ID, err)
	}
	return nil
}

// thawDying lets a paused container's processes die: the v1 freezer holds even those that
// got SIGKILL.
func (c *Container) thawDying() error {
	g, err := c.cgroup()
	if err != nil || !c.frozen() {
		return nil
	}
	if err := g.Thaw(); err != nil {
		return fmt.Errorf("thaw container %s so that it can die: %w", c.ID, err)
	}
	return nil
}

// end kills every process of the container and returns when none runs any more.
func (c *Container) end() error {
	fd, err := c.initFD()
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return fmt.Errorf("kill container %s: %w", c.ID, err)
	}
	running := err == nil
	c.r.debug("container %s: end it; init is process %d, running: %t", c.ID, c.InitPid, running)
	if running {
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill container %s: %w", c.ID, err)
		}
	}
	if c.Namespaces&unix.CLONE_NEWPID == 0 {
		if err := c.killGroup(unix.SIGKILL); err != nil {
			if !c.Rootless {
				return err
			}
			c.r.warn(err.Error())
		}
	} else if err := c.thawDying(); err != nil {
		return err
	}
	if !running {
		return nil
	}
	if err := c.waitDead(fd, killTimeout); err != nil {
		return fmt.Errorf("kill container %s: %w", c.ID, err)
	}
	return nil
}
