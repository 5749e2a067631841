package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"

	"github.com/hull-dev/hull/internal/spec"
)

// prepareMounts plans a new container's mounts and makes its volumes.
func (c *Container) prepareMounts(ctx context.Context, undo *undo) error {
	mounts, err := c.e.planMounts(c.view.Load())
	if err != nil {
		return err
	}
	for i := range mounts {
		m := &mounts[i]
		switch m.Type {
		case mount.TypeVolume:
			if c.e.opts.Volumes == nil {
				return errdefs.ErrNotImplemented.WithMessage("this hulld has no volumes yet")
			}
			if err := c.e.opts.Volumes.Want(ctx, c.id, m); err != nil {
				return err
			}
			undo.add(func() { c.e.opts.Volumes.Leave(c.id, *m, m.Anonymous) })
		case mount.TypeBind:
			if err := checkSource(m); err != nil {
				return err
			}
		}
	}
	c.change(func(v *View) { v.Mounts = mounts })
	return nil
}

// checkSource looks at a bind's source at creation, as Docker does; -v's is made at start.
func checkSource(m *Mount) error {
	_, err := os.Stat(m.Source)
	switch {
	case err == nil || m.Create:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return badMount("invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source)
	}
	return badMount("invalid mount config for type \"bind\": %v", err)
}

// imageOf opens the image's files for a volume that may take some; nil: it takes none.
func (c *Container) imageOf(m Mount) func(context.Context) (*os.File, error) {
	if m.NoCopy || c.base == "" {
		return nil
	}
	return func(ctx context.Context) (*os.File, error) { return c.e.opts.Roots.Image(ctx, c.base) }
}

// openMounts makes the mounts of a container that is about to start ready. done is to be called when it
// is created.
func (c *Container) openMounts(ctx context.Context, users *os.File, done *[]func(), undo *undo) ([]spec.Mount, error) {
	v := c.view.Load()
	var out []spec.Mount
	for _, m := range v.Mounts {
		s := spec.Mount{
			Destination: m.Destination, Source: m.Source, ReadOnly: m.ReadOnly, NonRecursive: m.NonRecursive, Propagation: string(m.Propagation),
			ReadOnlyNonRecursive: m.ReadOnlyNonRecursive, ReadOnlyForceRecursive: m.ReadOnlyForceRecursive,
		}
		switch m.Type {
		case mount.TypeTmpfs:
			s.Tmpfs = append([]string{}, m.Tmpfs...)
			s.Source = ""
		case mount.TypeBind:
			if m.Create {
				if err := os.MkdirAll(m.Source, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
					if _, serr := os.Stat(m.Source); serr != nil {
						return nil, fmt.Errorf("error while creating mount source path '%s': %w", m.Source, err)
					}
				}
			}
			if _, err := os.Stat(m.Source); err != nil {
				return nil, badMount("invalid mount config for type \"bind\": bind source path does not exist: %s", m.Source)
			}
			s.IDMap = users != nil && idMappable(m.Source, users)
		case mount.TypeVolume:
			if c.e.opts.Volumes == nil {
				return nil, errdefs.ErrNotImplemented.WithMessage("this hulld has no volumes")
			}
			h, err := c.e.opts.Volumes.Open(ctx, c.id, m, c.imageOf(m))
			if err != nil {
				return nil, err
			}
			*done = append(*done, h.Release)
			undo.add(func() { c.e.opts.Volumes.Close(c.id, m) })
			s.Source, s.IDMap = h.Path, users != nil && !h.Network && idMappable(h.Path, users)
		}
		out = append(out, s)
	}
	for dest, options := range v.Host.Tmpfs {
		m := spec.Mount{Destination: path.Clean(dest), Tmpfs: []string{}}
		if options != "" {
			m.Tmpfs = strings.Split(options, ",")
		}
		out = append(out, m)
	}
	return out, nil
}

// releaseMounts lets go of the volumes of a container that ended.
func (c *Container) releaseMounts() {
	for _, m := range c.view.Load().Mounts {
		if m.Type == mount.TypeVolume && c.e.opts.Volumes != nil {
			c.e.opts.Volumes.Close(c.id, m)
		}
	}
}

// removeVolumes ends the removed container's claim on its volumes; anonymous ones go with it when
// they are to.
func (c *Container) removeVolumes(remove bool) {
	for _, m := range c.view.Load().Mounts {
		if m.Type == mount.TypeVolume && c.e.opts.Volumes != nil {
			c.e.opts.Volumes.Leave(c.id, m, remove && m.Anonymous)
		}
	}
}

// restoreVolumes says which volumes a container from before a restart has.
func (c *Container) restoreVolumes() {
	v := c.view.Load()
	for _, m := range v.Mounts {
		if m.Type != mount.TypeVolume || c.e.opts.Volumes == nil {
			continue
		}
		if err := c.e.opts.Volumes.Restore(c.id, m, alive(v.State.Phase)); err != nil {
			c.e.log.Error("a container has lost a volume and cannot be started", "container", c.id, "volume", m.Name, "error", err)
		}
	}
}
