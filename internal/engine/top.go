package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
)

// Processes are the pids of a running container's processes, on the host.
func (e *Engine) Processes(ctx context.Context, name string) (pids []int, v *View, err error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, nil, err
	}
	err = c.turn(ctx, "listing its processes", func(ctx context.Context) error {
		v = c.view.Load()
		if v.State.Phase == Restarting {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", c.id))
		}
		if !alive(v.State.Phase) || c.shim == nil {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", c.id))
		}
		pids, err = c.shim.Processes(ctx)
		return err
	})
	return pids, v, err
}

// Stats are a running container's counters, as runc's events --stats has them; nil when it does not
// run.
func (e *Engine) Stats(ctx context.Context, name string) (raw json.RawMessage, v *View, err error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, nil, err
	}
	err = c.turn(ctx, "reading its counters", func(ctx context.Context) error {
		v = c.view.Load()
		if !alive(v.State.Phase) || c.shim == nil {
			return nil
		}
		raw, err = c.shim.Stats(ctx)
		return err
	})
	return raw, v, err
}
