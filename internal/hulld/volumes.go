package hulld

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/volume"
)

// volumes are the volumes as the engine sees them.
type volumes struct {
	*volume.Store
	pins *os.File // directory of pins, each for as long as a container is being created
	next *atomic.Uint64
	log  *slog.Logger
}

// openVolumes makes the directory of pins, and takes away what a killed hulld left in it.
func openVolumes(s *volume.Store, stateDir string, log *slog.Logger) (volumes, error) {
	dir := filepath.Join(stateDir, "pins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return volumes{}, err
	}
	f, err := openContainer(dir)
	if err != nil {
		return volumes{}, err
	}
	return volumes{s, f, new(atomic.Uint64), log}, volume.SweepPins(f)
}

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
	out := engine.VolumeHandle{Path: h.Path, File: h.File, Network: h.Network, Release: func() { h.File.Close() }}
	if h.Path != "" {
		return out, nil
	}
	// A part of a volume, which what is in it could move: by descriptor alone.
	path, release, err := volume.Pin(h.File, v.pins, strconv.FormatUint(v.next.Add(1), 10))
	if err != nil {
		h.File.Close()
		v.Close(user, m)
		return engine.VolumeHandle{}, err
	}
	out.Path, out.Release = path, func() {
		if err := release(); err != nil {
			v.log.Warn("a pin of a volume stays; the next start takes it away", "volume", m.Name, "error", err)
		}
		h.File.Close()
	}
	return out, nil
}

func (v volumes) Close(user engine.ID, m engine.Mount) { _ = v.Unmount(m.Name, string(user)) }

func (v volumes) Leave(user engine.ID, m engine.Mount, remove bool) {
	v.Release(m.Name, string(user))
	if remove && len(v.Users(m.Name)) == 0 {
		_ = v.Remove(m.Name, true) // somebody else may have begun to use it
	}
}
