package hulld

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/metadata"
	"github.com/hull-dev/hull/internal/registry"
	"github.com/hull-dev/hull/internal/snapshot"
	"github.com/hull-dev/hull/internal/volume"
)

// store is what is below the data root, images and their layers.
type store struct {
	images *image.Store
	meta   *metadata.Store
	snaps  *snapshot.Snapshotter
	lock   *os.File
	driver string

	volumes *volume.Store
}

func (s *store) close() error {
	var errs []error
	if s.volumes != nil {
		errs = append(errs, s.volumes.Close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.Close())
	}
	if s.snaps != nil {
		errs = append(errs, s.snaps.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// openStore opens the store. Its collector does not run yet: meta.Start.
func openStore(ctx context.Context, c Config, bus *events.Bus, log *slog.Logger) (_ *store, err error) {
	dir := filepath.Join(c.DataRoot, "snapshots")
	at := failpoint(os.Getenv("HULL_FAILPOINT"))
	s := new(store)
	// The lock comes first: what follows sweeps.
	if s.lock, err = metadata.Lock(filepath.Join(c.DataRoot, "meta")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.driver, err = chooseDriver(dir, c.Snapshotter); err != nil {
		return nil, err
	}
	if s.snaps, err = snapshot.Open(snapshot.Config{Root: filepath.Join(dir, s.driver), Driver: s.driver, Log: log, At: below("snapshot.", at)}); err != nil {
		return nil, err
	}
	if s.meta, err = metadata.OpenPaused(ctx, s.lock, map[string]snapshots.Snapshotter{s.driver: s.snaps}, log, at); err != nil {
		return nil, err
	}
	client := registry.New(registry.Options{Hosts: c.registries(), Limits: haste(os.Getenv("HULL_HASTE")), Log: log, UserAgent: "hull"})
	s.images, err = image.New(s.meta, image.Options{
		Snapshotter: s.driver,
		Rebase:      s.driver != snapshot.Native, // whole trees are made above their parents
		Unpacker:    unpacker{s.driver, s.snaps},
		Remote:      remote{client},
		Events:      bus,
		Log:         log,
		Parallel:    c.Parallel,
		Free:        func() (int64, error) { return freeSpace(c.DataRoot) },
		At:          at,
		CheckSnapshots: func(ctx context.Context, repair bool) ([]image.Problem, error) {
			problems, err := s.snaps.Check(ctx, repair)
			var out []image.Problem
			for _, p := range problems {
				out = append(out, image.Problem{Object: "snapshot " + p.Path, Detail: p.String(), Repaired: p.Repaired})
			}
			return out, err
		},
	})
	if err != nil {
		return nil, err
	}
	s.volumes, err = volume.Open(volume.Config{Root: filepath.Join(c.DataRoot, "volumes"), Log: log, At: at, Event: func(action, name string, attributes map[string]string) {
		bus.Publish(events.Event{Type: events.Volume, Action: action, Actor: events.Actor{ID: name, Attributes: attributes}})
	}})
	return s, err
}

// chooseDriver takes the snapshotter that is asked for, or that has a store here already, or
// the first that works. One with a store is not probed: probing writes, and a disk that is full
// must not keep hulld from starting.
func chooseDriver(dir, asked string) (string, error) {
	for _, d := range []string{snapshot.Overlay, snapshot.EROFS, snapshot.Native} {
		if _, err := os.Stat(filepath.Join(dir, d, "driver")); err == nil && (asked == "" || asked == d) {
			return d, nil
		}
	}
	probe := filepath.Join(dir, "probe")
	if err := os.MkdirAll(probe, 0o700); err != nil {
		return "", fmt.Errorf("making the snapshot directory: %w", err)
	}
	defer os.RemoveAll(probe)
	probed, err := snapshot.Probe(probe)
	if err != nil {
		return "", fmt.Errorf("probing snapshotters: %w", err)
	}
	return snapshot.Choose(probe, asked, probed)
}

// freeSpace is what is left of a directory's file system, in bytes.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
