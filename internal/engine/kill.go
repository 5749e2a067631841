package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal as Docker does: a number, or a name with or without SIG. "" is the
// default.
func ParseSignal(s string, def unix.Signal) (unix.Signal, error) {
	if s == "" {
		return def, nil
	}
	bad := errdefs.ErrInvalidArgument.WithMessage("invalid signal: " + s)
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, bad
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	for prefix, base := range map[string]int{"RTMIN": 34, "RTMAX": 64} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		n := 0
		if rest != "" {
			var err error
			if n, err = strconv.Atoi(rest); err != nil {
				return 0, bad
			}
		}
		if n += base; n >= 34 && n <= 64 {
			return unix.Signal(n), nil
		}
	}
	return 0, bad
}

// Kill sends a signal to a running container. SIGKILL ("" too) is waited for.
func (e *Engine) Kill(ctx context.Context, name, signal string) error {
	sig, err := ParseSignal(signal, unix.SIGKILL)
	if err != nil {
		return err
	}
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	return c.kill(ctx, sig)
}

func (c *Container) kill(ctx context.Context, sig unix.Signal) error {
	waiting, end := context.WithCancel(context.Background())
	defer end()
	exited := c.wait(waiting, WaitNextExit)
	err := c.turn(ctx, "killing", func(ctx context.Context) error {
		v := c.view.Load()
		if v.State.Phase == Restarting {
			c.cancelRestart()
			return nil
		}
		if !alive(v.State.Phase) {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot kill container: %s: container %s is not running", v.Name, c.id))
		}
		if sig == unix.SIGKILL || sig == stopSignal(v) {
			c.change(func(v *View) { v.State.Manual = true })
		}
		if err := c.signal(ctx, sig); err != nil {
			return err
		}
		c.publish("kill", map[string]string{"signal": strconv.Itoa(int(sig))})
		return nil
	})
	if err != nil || sig != unix.SIGKILL {
		return err
	}
	if c.waitFor(ctx, exited, killWait) || !alive(c.view.Load().State.Phase) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	v := c.view.Load()
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("container %s (process %d) got SIGKILL and did not end in %d seconds: %s", v.Name, v.State.Pid, int(killWait.Seconds()), hangs(v.State.Pid)))
}

// stopSignal is the container's own.
func stopSignal(v *View) unix.Signal {
	sig, err := ParseSignal(v.Config.StopSignal, unix.SIGTERM)
	if err != nil {
		return unix.SIGTERM
	}
	return sig
}
