package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/shim"
)

// StopOptions of Stop and Restart.
type StopOptions struct {
	Signal  string // "" is the container's own, SIGTERM if it has none
	Timeout *int   // seconds until SIGKILL; negative: for ever; nil: the container's own, 10 if it has none
	restart bool
}

// defaultStop is how long a container may take to stop, in seconds.
const defaultStop = 10

// killWait is how long SIGKILL may take. A process in an uninterruptible system call takes longer.
const killWait = 10 * time.Second

// Stop ends a container: its signal, and when it did not end in time, SIGKILL. ErrNotModified: it
// does not run.
//
// When the signal cannot reach anybody, nobody waits: see deaf.
func (e *Engine) Stop(ctx context.Context, name string, o StopOptions) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	return c.stop(ctx, o)
}

func (c *Container) stop(ctx context.Context, o StopOptions) error {
	v := c.view.Load()
	word := o.Signal
	if word == "" {
		word = v.Config.StopSignal
	}
	sig, err := ParseSignal(word, unix.SIGTERM)
	if err != nil {
		return err
	}
	seconds := defaultStop
	if v.Config.StopTimeout != nil {
		seconds = *v.Config.StopTimeout
	}
	if o.Timeout != nil {
		seconds = *o.Timeout
	}
	waiting, end := context.WithCancel(context.Background())
	defer end()
	exited := c.wait(waiting, WaitNextExit)
	kill := false
	err = c.turn(ctx, "stopping", func(ctx context.Context) error {
		now := c.view.Load().State.Phase
		if now == Restarting {
			c.cancelRestart()
			return ErrNotModified
		}
		if !alive(now) {
			return ErrNotModified
		}
		c.keep = o.restart
		c.change(func(v *View) { v.State.Manual = true })
		sent, err := c.signalStop(ctx, sig)
		if kill = !sent; sent && err == nil {
			c.publish("kill", map[string]string{"signal": strconv.Itoa(int(sig))})
		}
		return err
	})
	if err != nil {
		return err
	}
	if !kill && seconds != 0 {
		kill = !c.waitFor(ctx, exited, time.Duration(seconds)*time.Second)
	} else if seconds == 0 {
		kill = !c.waitFor(ctx, exited, 20*time.Millisecond)
	}
	if err := ctx.Err(); err != nil && !o.restart {
		// The client went away. What it began is finished: it asked for a stop, not for half of one.
		c.e.background(func() { _ = c.finishStop(exited, seconds) })
		return err
	}
	if kill {
		if err := c.killNow(exited); err != nil {
			return err
		}
	}
	c.publish("stop", nil)
	return nil
}

// finishStop goes on with a stop whose client went away.
func (c *Container) finishStop(exited <-chan Exit, seconds int) error {
	if !c.waitFor(c.e.running, exited, time.Duration(seconds)*time.Second) && c.e.running.Err() == nil {
		return c.killNow(exited)
	}
	return nil
}

// waitFor says whether the container ended in time. A negative time is without end.
func (c *Container) waitFor(ctx context.Context, exited <-chan Exit, d time.Duration) bool {
	var late <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-exited:
		return true
	case <-late:
	case <-ctx.Done():
	}
	return false
}

// killNow sends SIGKILL and waits for the end.
func (c *Container) killNow(exited <-chan Exit) error {
	ctx := context.Background()
	err := c.turn(ctx, "killing", func(ctx context.Context) error {
		if !alive(c.view.Load().State.Phase) {
			return nil
		}
		c.publish("kill", map[string]string{"signal": "9"})
		return c.signal(ctx, unix.SIGKILL)
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if c.waitFor(ctx, exited, killWait) {
		return nil
	}
	v := c.view.Load()
	if !alive(v.State.Phase) {
		return nil
	}
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("container %s (process %d) got SIGKILL and did not end in %d seconds: %s", v.Name, v.State.Pid, int(killWait.Seconds()), hangs(v.State.Pid)))
}

// signalStop sends the stop signal. false: nobody could be told.
func (c *Container) signalStop(ctx context.Context, sig unix.Signal) (bool, error) {
	v := c.view.Load()
	if sig == unix.SIGKILL {
		return true, c.signal(ctx, sig)
	}
	if deaf(v.State.Pid, sig) {
		told, err := c.tellChildren(ctx, sig)
		return told, err
	}
	return true, c.signal(ctx, sig)
}

// signal sends a signal to the container's init. A paused container gets it when it goes on, so it is
// made to, as Docker does.
func (c *Container) signal(ctx context.Context, sig unix.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	v := c.view.Load()
	if c.shim == nil {
		if sig == unix.SIGKILL {
			c.lost() // it needs nobody's help
			return nil
		}
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("container %s has no supervisor that could send a signal", v.Name))
	}
	err := c.shim.Signal(ctx, "", sig, sig == unix.SIGKILL && v.Host.PidMode.IsHost())
	if sig == unix.SIGKILL && errors.Is(err, context.DeadlineExceeded) {
		c.e.log.Warn("a container is killed together with its shim, which does not answer", "container", c.id)
		c.lost()
		return nil
	}
	if err != nil {
		if gone := (*shim.GoneError)(nil); errors.As(err, &gone) {
			return nil // it has ended just now, and the event is on its way
		}
		return fmt.Errorf("sending %s to container %s: %w", unix.SignalName(sig), v.Name, err)
	}
	if v.State.Phase == Paused {
		if err := c.resume(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cancelRestart ends a container that waits to be started again.
func (c *Container) cancelRestart() {
	c.policy.cancel()
	v := c.save(func(v *View) { v.State.Phase, v.State.Manual = Exited, true })
	c.wake(Exit{Code: v.State.ExitCode}, WaitNotRunning, WaitNextExit)
}
