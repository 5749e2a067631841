package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
)

// Defaults of a health check, as Docker's.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
	healthLog           = 5    // results that are kept
	healthOutput        = 4096 // bytes of output that are kept of each
)

// LabelHealthAction says what is done when a container becomes unhealthy: "none", "restart" or
// "stop". It is a label or an annotation of the container; an image cannot set it.
const LabelHealthAction = "hull.health-action"

// checker runs the health check of one container. There is no goroutine between two checks.
// Turns alone use it, but for what check does.
type checker struct {
	cfg   container.HealthConfig
	argv  []string
	timer *time.Timer
	since time.Time // start of the container
	ended bool
}

// newHealth is a container's health at its start; nil: there is no check.
func (c *Container) newHealth() *Health {
	if healthCommand(c.view.Load().Config) == nil {
		return nil
	}
	return &Health{Status: container.Starting}
}

// healthCommand is the argument vector of a check; nil: there is none.
func healthCommand(cfg *container.Config) []string {
	h := cfg.Healthcheck
	if h == nil || len(h.Test) == 0 {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return h.Test[1:]
	case "CMD-SHELL":
		shell := cfg.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(slices.Clone(shell), h.Test[1:]...)
	}
	return nil
}

// startHealth begins to check, or goes on after a pause. In a turn.
func (c *Container) startHealth() {
	v := c.view.Load()
	argv := healthCommand(v.Config)
	if v.State.Health == nil || len(argv) == 0 {
		return
	}
	c.health.stop()
	h := &checker{cfg: *v.Config.Healthcheck, argv: argv, since: v.State.Started}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&h.cfg.Interval, healthInterval}, {&h.cfg.Timeout, healthTimeout}, {&h.cfg.StartInterval, healthStartInterval}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if h.cfg.Retries == 0 {
		h.cfg.Retries = healthRetries
	}
	c.health = h
	h.schedule(c, v.State.Health.Status)
}

// schedule sets the time of the next check.
func (h *checker) schedule(c *Container, status container.HealthStatus) {
	every := h.cfg.Interval
	if status == container.Starting && time.Since(h.since) < h.cfg.StartPeriod {
		every = min(h.cfg.StartInterval, h.cfg.Interval)
	}
	h.timer = time.AfterFunc(every, func() { h.check(c) })
}

// check runs the command once and posts what came of it.
func (h *checker) check(c *Container) {
	ctx, cancel := context.WithTimeout(c.e.running, h.cfg.Timeout)
	defer cancel()
	r := container.HealthcheckResult{Start: time.Now()}
	r.ExitCode, r.Output = c.probe(ctx, h)
	r.End = time.Now()
	c.mail.post("taking note of a health check", func() {
		if h.ended || c.health != h || c.gone || c.view.Load().State.Phase != Running {
			return
		}
		h.note(c, r)
	})
}

// probe runs the check's command in the container.
func (c *Container) probe(ctx context.Context, h *checker) (code int, output string) {
	id, err := c.e.ExecCreate(ctx, string(c.id), ExecConfig{Cmd: h.argv, Stdout: true, Stderr: true})
	if err != nil {
		return -1, err.Error()
	}
	s, err := c.e.ExecStart(ctx, id, false, nil)
	if err != nil {
		return -1, err.Error()
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	var out bytes.Buffer
	buf := make([]byte, StreamRoom)
	for {
		_, data, err := s.Next(buf)
		if room := healthOutput - out.Len(); room > 0 {
			out.Write(data[:min(len(data), room)])
		}
		if err != nil {
			break
		}
	}
	ex, err := c.e.ExecWait(ctx, id)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		_ = c.e.ExecSignal(context.WithoutCancel(ctx), id, 9) // it may have ended just now
		return -1, "Health check exceeded timeout (" + h.cfg.Timeout.String() + ")" + outputSoFar(out.String())
	}
	if err != nil {
		return -1, err.Error()
	}
	return *ex.ExitCode, out.String()
}

func outputSoFar(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// note takes a result into the view, and acts on it. In a turn.
func (h *checker) note(c *Container, r container.HealthcheckResult) {
	var before, after container.HealthStatus
	v := c.change(func(v *View) {
		next := *v.State.Health
		before = next.Status
		next.Results = append(slices.Clone(next.Results), r)
		if n := len(next.Results); n > healthLog {
			next.Results = next.Results[n-healthLog:]
		}
		switch {
		case r.ExitCode == 0:
			next.Status, next.Streak = container.Healthy, 0
		case before == container.Starting && r.Start.Sub(h.since) < h.cfg.StartPeriod:
			// Failures count from the end of the start period on.
		default:
			if next.Streak++; next.Streak >= h.cfg.Retries {
				next.Status = container.Unhealthy
			}
		}
		after = next.Status
		v.State.Health = &next
	})
	if before != after {
		c.publish("health_status: "+string(after), nil)
		if after == container.Unhealthy {
			c.unhealthy(v)
		}
	}
	h.schedule(c, after)
}

// unhealthy does what the container's labels say.
func (c *Container) unhealthy(v *View) {
	action := v.Config.Labels[LabelHealthAction]
	if a, ok := v.Host.Annotations[LabelHealthAction]; ok {
		action = a
	}
	switch action {
	case "restart":
		c.e.background(func() {
			if err := c.e.Restart(c.e.running, string(c.id), StopOptions{}); err != nil {
				c.e.log.Warn("restarting an unhealthy container", "container", c.id, "error", err)
			}
		})
	case "stop":
		c.e.background(func() {
			if err := c.e.Stop(c.e.running, string(c.id), StopOptions{}); err != nil && err != ErrNotModified {
				c.e.log.Warn("stopping an unhealthy container", "container", c.id, "error", err)
			}
		})
	}
}

// stop ends checking. nil checks nothing.
func (h *checker) stop() {
	if h != nil {
		h.ended = true
		if h.timer != nil {
			h.timer.Stop()
		}
	}
}

func (h *checker) pause() { h.stop() }
