package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/hull-dev/hull/internal/shim"
)

// cleanTime bounds what is done to clean up.
const cleanTime = 20 * time.Second

// event takes note of what a shim says, in a turn. Events of an earlier run's shim are told apart by
// the connection.
func (c *Container) event(s Shim, ev shim.Event) {
	// After Close the next hulld finds out, by the exit record.
	if c.gone || c.shim != s || c.e.running.Err() != nil {
		return
	}
	switch ev.Kind {
	case shim.EventOOM:
		c.change(func(v *View) { v.State.OOMKilled, v.State.OOMKills = true, ev.Exit.OOMKills })
		c.publish("oom", nil)
	case shim.EventExecExit:
		c.e.execs.ended(c, ev.ExecID, ev.Exit)
	case shim.EventExit:
		c.exited(ev.Exit)
	case shim.EventGone:
		s.Close()
		c.shim = nil
		if !alive(c.view.Load().State.Phase) {
			c.forgetState()
		}
	case shim.EventLost:
		c.lost()
	}
}

// lost ends what a dead shim left, and takes note of the container's end.
func (c *Container) lost() {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	if c.shim != nil {
		c.shim.Close()
		c.shim = nil
	}
	exit, err := c.e.opts.Shims.Sweep(ctx, string(c.id))
	if err != nil {
		c.e.log.Error("sweeping up after a shim that was killed", "container", c.id, "error", err)
		exit = shim.Exit{Code: 137, At: time.Now(), Err: err.Error()}
	}
	if alive(c.view.Load().State.Phase) {
		c.exited(exit)
	}
	c.forgetState()
}

// forgetState removes what the state directory has of a container that does not run.
func (c *Container) forgetState() {
	if err := c.e.opts.Shims.Forget(string(c.id)); err != nil {
		c.e.log.Debug("removing a container's state; the next start of it does", "container", c.id, "error", err)
	}
}

// exited takes note of the end of the container's init, and does what is to be done next.
func (c *Container) exited(exit shim.Exit) {
	old := c.view.Load()
	if !alive(old.State.Phase) {
		return
	}
	c.health.stop()
	c.detachNetworks()
	c.e.execs.containerEnded(c)
	ran := exit.At.Sub(old.State.Started)
	again, delay := c.policy.decide(old, exit.Code, ran)
	v := c.save(func(v *View) {
		v.State.Phase = Exited
		if again {
			v.State.Phase = Restarting
			v.RestartCnt++
		}
		v.State.Pid, v.State.ExitCode, v.State.Error, v.State.Finished = 0, exit.Code, exit.Err, exit.At.UTC().Round(0)
		v.State.OOMKilled, v.State.OOMKills = v.State.OOMKilled || exit.OOM, max(v.State.OOMKills, exit.OOMKills)
		v.Sandbox, v.Execs, v.NetState, v.Ports = "", nil, nil, nil
		v.unplug()
		if v.State.Health != nil {
			h := *v.State.Health
			h.Status = "unhealthy"
			v.State.Health = &h
		}
	})
	c.releaseMounts()
	c.e.at("container.exit.recorded")
	c.publish("die", map[string]string{"exitCode": fmt.Sprint(exit.Code), "execDuration": fmt.Sprint(int(ran.Seconds()))})
	if again {
		c.policy.after(c, delay)
	}
	if v.Log.Compress && !v.AutoRemove() {
		c.e.trash.do(func() { c.e.compressLog(v) })
	}
	c.wake(Exit{Code: exit.Code}, WaitNotRunning, WaitNextExit)
	if !again && v.AutoRemove() {
		c.autoRemove()
	}
}
