package snapshot

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/linux"
)

// MountOptions of Mount.
type MountOptions struct {
	// ReadOnly makes the mount of an active snapshot read-only. Views are always.
	ReadOnly bool
	// UserNS is an open user namespace (/proc/PID/ns/user): the mount shows all ids mapped by it.
	// On disk, in the upper directory too, files have the ids that are seen inside. EINVAL: the
	// file system of the store cannot be id-mapped (it needs Linux 5.12 for ext4, 5.19 for
	// overlayfs' layers).
	UserNS *os.File
	// Attr are MOUNT_ATTR_* bits to set, NODEV for example.
	Attr uint64
}

func (o MountOptions) userNS() int {
	if o.UserNS == nil {
		return -1
	}
	return int(o.UserNS.Fd())
}

// Mounts describes how to mount an active snapshot or a view; see snapshots.Snapshotter. The
// descriptions hold paths below the store's root; with the erofs driver the layers are mounted
// first, and are at paths of this process's descriptors (/proc/PID/fd/N) until their removal or
// Close.
func (s *Snapshotter) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.keys.lock(key)()
	snap, volatile, err := s.snapshot(ctx, key)
	if err == nil {
		var m []mount.Mount
		if m, err = s.driver.mounts(snap, volatile); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("mounts of snapshot %q: %w", key, err)
}

// Mount mounts an active snapshot or a view, attached nowhere: the file is the root directory
// (O_PATH), to be attached by move_mount(2) or used as it is; closing it unmounts, unless it was
// attached. An active snapshot may be mounted for writing once at a time.
func (s *Snapshotter) Mount(ctx context.Context, key string, o MountOptions) (*os.File, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.keys.lock(key)()
	snap, volatile, err := s.snapshot(ctx, key)
	if err == nil {
		var fd int
		if err = s.driver.inside(func() (err error) { fd, err = s.driver.mount(snap, volatile, o); return err }); err == nil {
			if err = linux.SetAttr(fd, linux.Attr{Set: o.Attr, UserNS: -1}); err == nil {
				return os.NewFile(uintptr(fd), "snapshot "+key), nil
			}
			os.NewFile(uintptr(fd), "").Close()
		}
	}
	return nil, fmt.Errorf("mount snapshot %q: %w", key, err)
}

// Layer opens the directory with a snapshot's own changes in overlayfs' form: whiteouts are
// character devices 0:0, opaque directories have the extended attribute. Nobody may write there.
// It is for taking the difference between a snapshot and its parent; NotImplemented: the native
// driver keeps whole trees, compare those.
func (s *Snapshotter) Layer(ctx context.Context, key string) (*os.File, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.keys.lock(key)()
	var (
		id   string
		info snapshots.Info
	)
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		id, info, _, err = storage.GetInfo(ctx, key)
		return err
	})
	if err == nil {
		var fd int
		if fd, err = s.driver.layer(id, info.Kind); err == nil {
			return os.NewFile(uintptr(fd), "layer "+key), nil
		}
	}
	return nil, fmt.Errorf("layer of snapshot %q: %w", key, err)
}

// snapshot reads what is needed to mount one.
func (s *Snapshotter) snapshot(ctx context.Context, key string) (snap storage.Snapshot, volatile bool, err error) {
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		if snap, err = storage.GetSnapshot(ctx, key); err != nil {
			return err
		}
		_, info, _, err := storage.GetInfo(ctx, key)
		volatile = info.Labels[LabelVolatile] == "true"
		return err
	})
	if err == nil && snap.Kind == snapshots.KindCommitted {
		err = fmt.Errorf("it is committed: %w", errdefs.ErrFailedPrecondition)
	}
	return snap, volatile, err
}
