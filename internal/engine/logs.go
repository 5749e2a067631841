package engine

import (
	"context"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/logfile"
)

// Logs reads what a container printed, and with q.Follow what it prints until it ends.
func (e *Engine) Logs(ctx context.Context, name string, q LogQuery, f func(logfile.Entry) error) error {
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
		exited := c.wait(ctx, WaitNotRunning)
		removed := c.wait(ctx, WaitRemoved)
		go func() {
			select {
			case <-exited:
			case <-removed:
			case <-ctx.Done():
			}
			close(done)
		}()
		q.Done = done
		return e.opts.Logs.Read(ctx, v.Log, q, f)
	}
	return e.opts.Logs.Read(ctx, v.Log, q, f)
}
