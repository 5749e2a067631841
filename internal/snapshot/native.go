package snapshot

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// nativeDriver keeps a whole tree for each snapshot.
type nativeDriver struct {
	s *Snapshotter
}

func (d *nativeDriver) fill(ctx context.Context, dir int, snap storage.Snapshot) error {
	if err := unix.Mkdirat(dir, "fs", 0o755); err != nil {
		return fmt.Errorf("mkdir fs: %w", err)
	}
	fs, err := linux.OpenBeneath(dir, "fs", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.Fchmod(fs, 0o755); err != nil {
		return fmt.Errorf("chmod fs: %w", err)
	}
	// A view shows its parent's tree.
	if len(snap.ParentIDs) == 0 || snap.Kind == snapshots.KindView {
		return nil
	}
	parent, err := d.fsDir(snap.ParentIDs[0])
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := copyTree(ctx, fs, parent, dir); err != nil {
		return fmt.Errorf("copy the parent's files: %w", err)
	}
	return nil
}

func (d *nativeDriver) seal(ctx context.Context, dir int, _ string) (snapshots.Usage, error) {
	return d.usage(ctx, dir)
}

func (d *nativeDriver) settle(int) error { return nil }

func (d *nativeDriver) usage(ctx context.Context, dir int) (snapshots.Usage, error) {
	return usageOf(ctx, dir, "fs")
}

// shown is the id of the snapshot whose tree is mounted.
func shown(snap storage.Snapshot) string {
	if snap.Kind == snapshots.KindView && len(snap.ParentIDs) > 0 {
		return snap.ParentIDs[0]
	}
	return snap.ID
}

func (d *nativeDriver) mounts(snap storage.Snapshot, _ bool) ([]mount.Mount, error) {
	fd, err := d.fsDir(shown(snap)) // a link in its place must not be handed on
	if err != nil {
		return nil, err
	}
	unix.Close(fd)
	return bindMount(d.s.path(shown(snap), "fs"), snap.Kind), nil
}

func (d *nativeDriver) mount(snap storage.Snapshot, _ bool, o MountOptions) (int, error) {
	fd, err := d.fsDir(shown(snap))
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return bindTree(fd, snap.Kind, o)
}

func (d *nativeDriver) layer(string, snapshots.Kind) (int, error) {
	return -1, fmt.Errorf("the native driver keeps whole trees: %w", errdefs.ErrNotImplemented)
}

func (d *nativeDriver) fsDir(id string) (int, error) {
	return linux.OpenBeneath(d.s.snapsDir, id+"/fs", unix.O_RDONLY|unix.O_DIRECTORY)
}

func (d *nativeDriver) verify(dir int, _ snapshots.Kind) error { return verifyDirs(dir, "fs") }
func (d *nativeDriver) needs(snapshots.Kind) []string          { return []string{"fs"} }
func (d *nativeDriver) forget(string)                          {}
func (d *nativeDriver) close() error                           { return nil }

func (d *nativeDriver) inside(f func() error) error { return f() }
