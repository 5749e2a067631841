package engine

import (
	"context"
	"fmt"
	"os"
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
		if alive(v.State.Phase) && ownNetwork(&v) && e.opts.Networks != nil {
			if err := c.renameInNetworks(ctx, to); err != nil {
				return err
			}
		}
		c.publish("rename", map[string]string{"oldName": "/" + old})
		return nil
	})
}

// renameInNetworks makes a running container known by its new name.
func (c *Container) renameInNetworks(ctx context.Context, to string) error {
	v := c.view.Load()
	return c.changeNetworks(ctx, v.Endpoints, v.GivenMAC, func(ctx context.Context, r NetworkRequest, netns *os.File) (Attached, error) {
		r.Name = to
		return c.e.opts.Networks.Rename(ctx, r, netns)
	})
}
