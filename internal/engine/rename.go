package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Rename gives a container another name.
func (e *Engine) Rename(ctx context.Context, name, to string) error {
	if name == "" || to == "" {
		return errdefs.ErrInvalidArgument.WithMessage("Neither old nor new names may be empty")
	}
	to = strings.TrimLeft(to, "/")
	return e.turn(ctx, name, "renaming", func(ctx context.Context, c *Container) error {
		if err := checkName(to); err != nil {
			return err
		}
		old := c.view.Load().Name
		if old == to {
			return errdefs.ErrInvalidArgument.WithMessage("Renaming a container with the same name as its current name")
		}
		if err := e.names.reserve(to, c.id); err != nil {
			return err
		}
		v := *c.view.Load()
		v.Name = to
		if err := writeConfig(v.Dir, &v); err != nil {
			e.names.release(to, c.id)
			return fmt.Errorf("renaming container %s: %w", old, err)
		}
		e.at("container.rename.recorded")
		c.change(func(v *View) { v.Name = to })
		e.names.release(old, c.id)
		if !v.AutoRemove() {
			e.trash.sync(v.Dir)
		}
		c.publish("rename", map[string]string{"oldName": "/" + old})
		return nil
	})
}
