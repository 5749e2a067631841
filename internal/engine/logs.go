package engine

import (
	"context"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/logfile"
)

// compressEvery is how often rotated log files are looked for.
const compressEvery = time.Minute

// Logs reads what a container printed, and with q.Follow what it prints until it ends.
func (e *Engine) Logs(ctx context.Context, name string, q LogQuery, f func(LogEntry) error) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	v := c.view.Load()
	if v.Log.Driver == logfile.DriverNone || v.Log.Driver == "" {
		return errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	if q.Follow {
		ctx, end := context.WithCancel(ctx)
		defer end()
		done := make(chan struct{})
		exited, removed := c.wait(ctx, WaitNotRunning), c.wait(ctx, WaitRemoved)
		go func() {
			select {
			case <-exited:
			case <-removed:
			case <-ctx.Done():
			}
			close(done)
		}()
		q.Done = done
	}
	return e.opts.Logs.Read(ctx, v.Log, q, f)
}

// compressLogs compresses what the shims have rotated, one log after the other, in the background.
func (e *Engine) compressLogs() {
	tick := time.NewTicker(compressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.running.Done():
			return
		}
		for _, v := range e.Views() {
			if v.Log.Compress && alive(v.State.Phase) {
				e.compressLog(v)
			}
		}
	}
}

func (e *Engine) compressLog(v *View) {
	if err := e.opts.Logs.Compress(e.running, v.Log); err != nil && e.running.Err() == nil {
		e.log.Warn("compressing a container's log; it is tried again", "container", v.ID, "error", err)
	}
}
