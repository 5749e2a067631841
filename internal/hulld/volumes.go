package hulld

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/volume"
)

// volumes are the volumes as the engine sees them.
type volumes struct{ *volume.Store }

func (v volumes) Want(_ context.Context, user engine.ID, m *engine.Mount) error {
	made, err := v.Create(volume.CreateOptions{Name: m.Name, Driver: m.Driver, Labels: m.Labels, Options: m.DriverOptions, User: string(user), Quick: true})
	if errdefs.IsInvalidArgument(err) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("create %s: %v", m.Name, err))
	}
	if err != nil {
		return err
	}
	m.Name, m.Driver, m.Source = made.Name, made.Driver, made.Mountpoint
	return nil
}

func (v volumes) Restore(user engine.ID, m engine.Mount, mounted bool) error {
	if err := v.Use(m.Name, string(user)); err != nil || !mounted {
		return err
	}
	return v.Mounted(m.Name, string(user))
}

func (v volumes) Open(ctx context.Context, user engine.ID, m engine.Mount, image func(context.Context) (*os.File, error)) (engine.VolumeHandle, error) {
	h, err := v.Mount(ctx, volume.MountRequest{Name: m.Name, User: string(user), Subpath: m.Subpath, Image: image, Destination: m.Destination})
	if err != nil {
		return engine.VolumeHandle{}, err
	}
	return engine.VolumeHandle{Path: h.Path, File: h.File, Network: h.Network}, nil
}

func (v volumes) Close(user engine.ID, m engine.Mount) { _ = v.Unmount(m.Name, string(user)) }

func (v volumes) Leave(user engine.ID, m engine.Mount, remove bool) {
	v.Release(m.Name, string(user))
	if remove && len(v.Users(m.Name)) == 0 {
		_ = v.Remove(m.Name, true) // somebody else may have begun to use it
	}
}
