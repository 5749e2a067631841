package engine

import (
	"context"
	"fmt"
	"maps"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/spec"
)

// CreateRequest asks for a container. Create takes the configurations over.
type CreateRequest struct {
	Name      string // "" for one made up
	Config    *container.Config
	Host      *container.HostConfig
	Endpoints map[string]*network.EndpointSettings // by network
}

// CreateResult is what came of it.
type CreateResult struct {
	ID       ID
	Warnings []string // Docker's texts
}

// Create makes a container, in the phase created.
func (e *Engine) Create(ctx context.Context, r CreateRequest) (_ *CreateResult, err error) {
	if r.Config == nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	if r.Host == nil {
		r.Host = &container.HostConfig{}
	}
	img, base, release, err := e.opts.Images.Hold(ctx, r.Config.Image)
	if err != nil {
		return nil, err
	}
	var undo undo
	defer undo.unless(&err)
	undo.add(release)
	ic, err := imageConfig(img)
	if err != nil {
		return nil, err
	}
	if err := merge(r.Config, ic); err != nil {
		return nil, err
	}
	v := &View{
		ID: newID(), Created: now(), Image: img.ID, ImageRef: r.Config.Image, Config: r.Config, Host: r.Host,
		Driver: e.opts.Driver, Platform: "linux", NoSetID: img.NoSetID(), State: State{Phase: Created},
	}
	v.Dir = e.dir(v.ID)
	if len(img.Targets) > 0 && img.Manifest != nil {
		d := img.Manifest.Descriptor
		v.Manifest = &d
	}
	for _, l := range img.Layers {
		v.Layers = append(v.Layers, l.Chain)
	}
	v.Path, v.Args = program(r.Config)
	if err := e.settle(ctx, v, r.Endpoints); err != nil {
		return nil, err
	}
	if err := e.takeName(v, r.Name); err != nil {
		return nil, err
	}
	undo.add(func() { e.names.release(v.Name, v.ID) })
	if v.Log, err = e.logConfig(v); err != nil {
		return nil, err
	}
	var users prepared
	if wants, _ := spec.WantsUserNS(v.Host, e.opts.Facts); wants && e.privateUsers() && !e.sharesNamespaces(v) {
		if users, err = e.pool.take(ctx); err != nil {
			return nil, fmt.Errorf("making a user namespace: %w", err)
		}
		v.IDs = &users.ids
		undo.add(func() { e.pool.put(users) })
	}

	if err := e.makeDir(v, &undo); err != nil {
		return nil, err
	}
	c := &Container{id: v.ID, e: e, base: base, release: release, users: users.ns}
	c.view.Store(v)
	if err := e.opts.Roots.Make(ctx, c.base, v.Dir); err != nil {
		return nil, fmt.Errorf("making the writable layer of container %s: %w", v.Name, err)
	}
	e.at("container.create.layer")
	if err := c.prepareMounts(ctx, &undo); err != nil {
		return nil, err
	}
	v = c.view.Load()
	if err := writeConfig(v.Dir, v); err != nil {
		return nil, err
	}
	e.at("container.create.recorded")
	e.names.add(c)
	if !v.AutoRemove() {
		e.trash.sync(v.Dir)
	}
	c.publish("create", nil)
	return &CreateResult{v.ID, v.Warnings}, nil
}

// makeDir makes the container's directory. Until there is a record in it, it is swept at Open.
func (e *Engine) makeDir(v *View, undo *undo) error {
	if err := os.Mkdir(v.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of container %s: %w", v.Name, err)
	}
	undo.add(func() {
		if err := e.trash.bin(v.Dir); err != nil {
			e.log.Warn("removing what a failed create left; the next start sweeps it", "container", v.ID, "error", err)
		}
	})
	e.at("container.create.dir")
	if err := os.Mkdir(v.LogDir(), 0o700); err != nil {
		return fmt.Errorf("making the directory of the log: %w", err)
	}
	return nil
}

// takeName reserves the name that was asked for, or one that is free.
func (e *Engine) takeName(v *View, name string) error {
	if name != "" {
		for len(name) > 0 && name[0] == '/' {
			name = name[1:]
		}
		if err := checkName(name); err != nil {
			return err
		}
		v.Name = name
		return e.names.reserve(name, v.ID)
	}
	for attempt := range 10 {
		v.Name = randomName(attempt)
		if e.names.reserve(v.Name, v.ID) == nil {
			return nil
		}
	}
	v.Name = v.ID.Short()
	return e.names.reserve(v.Name, v.ID)
}

// logConfig fills in the log's driver and says where it goes.
func (e *Engine) logConfig(v *View) (c logfile.Config, err error) {
	l := &v.Host.LogConfig
	if l.Type == "" || l.Type == "default" {
		if l.Type = e.opts.Defaults.LogDriver; l.Type == "" {
			l.Type = logfile.DriverLocal
		}
		if len(l.Config) == 0 {
			l.Config = maps.Clone(e.opts.Defaults.LogOptions)
		}
	}
	if l.Config == nil {
		l.Config = map[string]string{}
	}
	return e.opts.Logs.Config(v)
}

func (e *Engine) privateUsers() bool {
	return e.opts.Users != nil && e.opts.Defaults.UserNS != "host"
}

// topLayer names the image's layers; "" is none.
func (v *View) topLayer() image.ChainID {
	if n := len(v.Layers); n > 0 {
		return v.Layers[n-1]
	}
	return ""
}
