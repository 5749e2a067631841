package snapshot

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Stat describes a snapshot; see snapshots.Snapshotter.
func (s *Snapshotter) Stat(ctx context.Context, key string) (info snapshots.Info, err error) {
	_, info, _, err = s.info(ctx, key)
	if err != nil {
		return snapshots.Info{}, fmt.Errorf("stat snapshot %q: %w", key, err)
	}
	return info, nil
}

func (s *Snapshotter) info(ctx context.Context, key string) (id string, info snapshots.Info, usage snapshots.Usage, err error) {
	leave, err := s.enter()
	if err != nil {
		return "", info, usage, err
	}
	defer leave()
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		id, info, usage, err = storage.GetInfo(ctx, key)
		return err
	})
	return id, info, usage, err
}

// Update changes labels; see snapshots.Snapshotter.
func (s *Snapshotter) Update(ctx context.Context, info snapshots.Info, fieldpaths ...string) (updated snapshots.Info, err error) {
	leave, err := s.enter()
	if err != nil {
		return snapshots.Info{}, err
	}
	defer leave()
	err = s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		updated, err = storage.UpdateInfo(ctx, info, fieldpaths...)
		return err
	})
	if err != nil {
		return snapshots.Info{}, fmt.Errorf("update snapshot %q: %w", info.Name, err)
	}
	return updated, nil
}

// Usage is the disk space of a snapshot itself, without its parents; see snapshots.Snapshotter.
// For an active one its files are counted, which takes as long as there are many.
func (s *Snapshotter) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	leave, err := s.enter()
	if err != nil {
		return snapshots.Usage{}, err
	}
	defer leave()
	var (
		id    string
		info  snapshots.Info
		usage snapshots.Usage
	)
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		id, info, usage, err = storage.GetInfo(ctx, key)
		return err
	})
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("usage of snapshot %q: %w", key, err)
	}
	if info.Kind != snapshots.KindActive {
		return usage, nil
	}
	dir, err := s.dir(id)
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("usage of snapshot %q: %w", key, err)
	}
	defer unix.Close(dir)
	usage, err = s.driver.usage(ctx, dir)
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("usage of snapshot %q: %w", key, err)
	}
	return usage, nil
}

// Walk calls fn for the snapshots that filters match; see snapshots.Snapshotter. It sees one state
// of the store; fn may change the store.
func (s *Snapshotter) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	var all []snapshots.Info
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		err := storage.WalkInfo(ctx, func(_ context.Context, info snapshots.Info) error {
			all = append(all, info)
			return nil
		}, filters...)
		if errdefs.IsNotFound(err) {
			return nil // nothing was ever stored
		}
		return err
	})
	leave()
	if err != nil {
		return fmt.Errorf("walk the snapshots: %w", err)
	}
	for _, info := range all {
		if err := fn(ctx, info); err != nil {
			return err
		}
	}
	return nil
}
