package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// Pause freezes a running container.
func (e *Engine) Pause(ctx context.Context, name string) error {
	return e.turn(ctx, name, "pausing", func(ctx context.Context, c *Container) error {
		v := c.view.Load()
		switch v.State.Phase {
		case Paused:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is already paused", c.id))
		case Restarting:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", c.id))
		case Running:
		default:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is not running", c.id))
		}
		if err := c.shim.Pause(ctx); err != nil {
			return fmt.Errorf("Cannot pause container %s: %w", c.id, err) //nolint:staticcheck // Docker's words
		}
		c.health.pause()
		c.save(func(v *View) { v.State.Phase = Paused })
		c.publish("pause", nil)
		return nil
	})
}

// Unpause lets a paused container go on.
func (e *Engine) Unpause(ctx context.Context, name string) error {
	return e.turn(ctx, name, "unpausing", func(ctx context.Context, c *Container) error {
		if c.view.Load().State.Phase != Paused {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is not paused", c.id))
		}
		return c.resume(ctx)
	})
}

func (c *Container) resume(ctx context.Context) error {
	if err := c.shim.Resume(ctx); err != nil {
		return fmt.Errorf("Cannot unpause container %s: %w", c.id, err) //nolint:staticcheck // Docker's words
	}
	c.save(func(v *View) { v.State.Phase = Running })
	c.startHealth()
	c.publish("unpause", nil)
	return nil
}
