package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// LabelVolatile on an active snapshot ("true") says that it need not survive a crash of the host:
// overlayfs then skips all syncs of its files. Once the host has restarted it can only be removed.
const LabelVolatile = "containerd.io/snapshot/dev.hull.volatile"

// Prepare makes an active snapshot; see snapshots.Snapshotter.
func (s *Snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.createAndDescribe(ctx, snapshots.KindActive, key, parent, opts)
}

// View makes a read-only snapshot; see snapshots.Snapshotter.
func (s *Snapshotter) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return s.createAndDescribe(ctx, snapshots.KindView, key, parent, opts)
}

func (s *Snapshotter) createAndDescribe(ctx context.Context, kind snapshots.Kind, key, parent string, opts []snapshots.Opt) ([]mount.Mount, error) {
	if err := s.Create(ctx, kind, key, parent, opts...); err != nil {
		return nil, err
	}
	mounts, err := s.Mounts(ctx, key)
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Remove(undo, key))
	}
	return mounts, nil
}

// Create makes an active snapshot or a view, as Prepare and View do, without describing its
// mounts. When it returns, the snapshot's record is durable. Classes of errors: AlreadyExists
// (key), NotFound and InvalidArgument (parent).
func (s *Snapshotter) Create(ctx context.Context, kind snapshots.Kind, key, parent string, opts ...snapshots.Opt) error {
	if err := validName("key", key); err != nil {
		return fmt.Errorf("prepare a snapshot: %w", err)
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.keys.lock(key)()

	var snap storage.Snapshot
	err = s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		snap, err = storage.CreateSnapshot(ctx, kind, key, parent, opts...)
		return err
	})
	if err != nil {
		return fmt.Errorf("prepare snapshot %q on %q: %w", key, parent, err)
	}
	s.at("prepare.recorded")
	if err := s.fill(ctx, snap); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return fmt.Errorf("prepare snapshot %q on %q: %w", key, parent, errors.Join(err, s.remove(undo, key)))
	}
	return nil
}

// fill makes the directory of a recorded snapshot: under another name, so that snapshots/ID is
// whole as soon as it is there.
func (s *Snapshotter) fill(ctx context.Context, snap storage.Snapshot) error {
	temp := "new-" + snap.ID
	if err := unix.Mkdirat(s.snapsDir, temp, 0o700); err != nil {
		return fmt.Errorf("mkdir %s: %w", temp, err)
	}
	s.at("prepare.made")
	dir, err := linux.OpenBeneath(s.snapsDir, temp, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == nil {
		err = s.driver.fill(ctx, dir, snap)
		unix.Close(dir)
	}
	if err == nil {
		s.at("prepare.filled")
		if err = unix.Renameat(s.snapsDir, temp, s.snapsDir, snap.ID); err != nil {
			err = fmt.Errorf("rename %s: %w", temp, err)
		}
	}
	if err != nil {
		return errors.Join(err, s.discard(s.snapsDir, temp))
	}
	s.at("prepare.renamed")
	return nil
}
