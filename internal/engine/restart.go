package engine

import (
	"context"
	"time"

	"github.com/moby/moby/api/types/container"
)

// Back-off between restarts, as Docker's: doubled each time, from the start again after a run of at
// least longRun.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = time.Minute
	longRun    = 10 * time.Second
)

// policy is when a container is started again. Turns alone use it.
type policy struct {
	delay time.Duration
	timer *time.Timer
}

// decide says whether a container that ended is started again, and after how long.
func (p *policy) decide(v *View, code int, ran time.Duration) (again bool, delay time.Duration) {
	if v.State.Manual {
		return false, 0
	}
	rp := v.Host.RestartPolicy
	switch rp.Name {
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		again = true
	case container.RestartPolicyOnFailure:
		again = code != 0 && (rp.MaximumRetryCount == 0 || v.RestartCnt < rp.MaximumRetryCount)
	}
	if !again {
		return false, 0
	}
	if ran >= longRun || p.delay == 0 {
		p.delay = firstDelay
	} else if p.delay *= 2; p.delay > lastDelay {
		p.delay = lastDelay
	}
	return true, p.delay
}

// after starts the container when the time is there.
func (p *policy) after(c *Container, delay time.Duration) {
	p.cancel()
	p.timer = time.AfterFunc(delay, func() {
		c.mail.post("restarting", func() {
			if c.gone || c.view.Load().State.Phase != Restarting || c.e.running.Err() != nil {
				return
			}
			if err := c.start(context.Background(), func(*View) {}); err != nil {
				c.e.log.Warn("a container could not be started again", "container", c.id, "error", err)
				c.again(err)
			}
		})
	})
}

// again waits for the next attempt after a start by the policy failed.
func (c *Container) again(error) {
	v := c.view.Load()
	if c.gone || v.State.Phase != Exited {
		return
	}
	again, delay := c.policy.decide(v, v.State.ExitCode, 0)
	if !again {
		return
	}
	c.save(func(v *View) { v.State.Phase = Restarting; v.RestartCnt++ })
	c.policy.after(c, delay)
}

func (p *policy) cancel() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// started is called when a user starts the container: the back-off begins anew.
func (p *policy) started() {
	p.cancel()
	p.delay = 0
}

// Restart stops the container if it runs, and starts it.
func (e *Engine) Restart(ctx context.Context, name string, o StopOptions) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	// The client may go away between: a container is not left stopped because of that.
	ctx = context.WithoutCancel(ctx)
	o.restart = true
	if err := c.stop(ctx, o); err != nil && err != ErrNotModified {
		return err
	}
	err = c.turn(ctx, "starting", func(ctx context.Context) error {
		if alive(c.view.Load().State.Phase) {
			return nil // somebody was faster
		}
		c.policy.started()
		return c.start(ctx, func(v *View) { v.RestartCnt, v.State.Manual = 0, false })
	})
	if err == nil {
		c.publish("restart", nil)
	}
	return err
}
