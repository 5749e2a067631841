package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// RemoveOptions of Remove.
type RemoveOptions struct {
	Force   bool // kill it when it runs
	Volumes bool // also its anonymous volumes
}

// Remove takes a container away. What it leaves on disk is deleted in the background.
func (e *Engine) Remove(ctx context.Context, name string, o RemoveOptions) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	for range 3 { // a restart policy may be faster than the removal after the kill
		err = c.turn(ctx, "removing", func(ctx context.Context) error {
			v := c.view.Load()
			if v.State.Phase == Restarting && o.Force {
				c.cancelRestart()
				v = c.view.Load()
			}
			switch p := v.State.Phase; {
			case alive(p) && o.Force:
				c.keep = true // this removal does what auto-remove would
				return errRuns
			case p == Running || p == Restarting:
				return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+v.Name, p))
			case p == Paused:
				return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is paused and must be unpaused first", "/"+v.Name))
			}
			return c.remove(o.Volumes)
		})
		if err != errRuns { //nolint:errorlint // it is ours, and never wrapped
			return err
		}
		if err := c.kill(ctx, unix.SIGKILL); err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) {
			return fmt.Errorf("cannot remove container %q: could not kill container: %w", "/"+c.view.Load().Name, err)
		}
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: it is started again each time it is killed", "/"+c.view.Load().Name))
}

// errRuns says that a container has to be killed first.
var errRuns = errdefs.ErrConflict.WithMessage("the container runs")

// autoRemove is the end of a --rm container, in a turn.
func (c *Container) autoRemove() {
	if c.keep {
		c.keep = false
		return
	}
	if err := c.remove(true); err != nil {
		c.e.log.Error("a container could not be removed after it ended", "container", c.id, "error", err)
	}
}

// remove takes a container that does not run away, in a turn.
func (c *Container) remove(volumes bool) error {
	c.policy.cancel()
	c.health.stop()
	v := c.change(func(v *View) { v.State.Phase = Removing })
	if err := c.e.trash.bin(v.Dir); err != nil {
		c.change(func(v *View) { v.State.Phase, v.State.Error = Dead, err.Error() })
		c.wake(Exit{Code: v.State.ExitCode, Err: err.Error()}, WaitRemoved)
		return fmt.Errorf("removing container %s: %w", v.Name, err)
	}
	c.e.at("container.remove.renamed")
	c.gone = true
	c.dropPending()
	c.releaseMounts()
	c.removeVolumes(volumes)
	c.e.execs.containerGone(c)
	c.e.names.remove(c)
	c.release()
	if v.IDs != nil {
		c.e.pool.put(prepared{*v.IDs, c.users})
	}
	c.publish("destroy", nil)
	c.wake(Exit{Code: v.State.ExitCode}, WaitRemoved, WaitNotRunning, WaitNextExit)
	c.forgetLater()
	return nil
}

// forgetLater removes what the state directory has, when the shim is through with it.
func (c *Container) forgetLater() {
	s, id, e := c.shim, string(c.id), c.e
	c.shim = nil
	e.background(func() {
		if s != nil {
			select {
			case <-s.Done():
			case <-e.running.Done():
				return // the next start does it
			}
			s.Close()
		}
		if err := e.opts.Shims.Forget(id); err != nil {
			e.log.Warn("removing a container's state; the next start does", "container", id, "error", err)
		}
	})
}
