package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// A writable layer is a directory of the caller's, on the store's file system, with "upper" and
// "work" in it, above a committed snapshot. The store does not know of it: no record is written,
// nothing is synced. The caller keeps the snapshot from being removed (metadata.Store.Hold) for as
// long as the directory is there, and removes the directory.
//
//	err := sn.MakeWritable(ctx, parent, dir)
//	root, err := sn.MountWritable(ctx, parent, dir, snapshot.WritableOptions{…})
//
// parent is the name of the snapshot in this store (metadata.Store.Key translates a chainID), ""
// for none. With the native driver upper is the whole tree, copied by MakeWritable.
const (
	upperName = "upper"
	workName  = "work"
)

// WritableOptions of MountWritable.
type WritableOptions struct {
	MountOptions
	// Volatile skips all syncs: once the host has restarted, the directory can only be removed.
	Volatile bool
}

// stacked is a driver whose layers overlayfs stacks.
type stacked interface {
	// overlay has the layers of a store, and says whether they are on detached mounts.
	overlay() (fs *overlayfs, layer func(id string) (int, error), attach bool)
}

func (d *overlayDriver) overlay() (*overlayfs, func(string) (int, error), bool) {
	return d.fs, d.fsDir, false
}

func (d *erofsDriver) overlay() (*overlayfs, func(string) (int, error), bool) {
	return d.fs, d.lower, true
}

// MakeWritable makes the directories of a writable layer in the open directory dir. The upper
// directory gets the attributes of the root below it. With the native driver it copies the parent's
// files, which takes as long as there are many. After an error dir may hold part of it.
func (s *Snapshotter) MakeWritable(ctx context.Context, parent string, dir *os.File) error {
	err := s.withParents(ctx, parent, func(ids []string) error {
		for name, mode := range map[string]uint32{upperName: 0o755, workName: 0o700} {
			if err := unix.Mkdirat(int(dir.Fd()), name, mode); err != nil {
				return fmt.Errorf("mkdir %s: %w", name, err)
			}
		}
		upper, err := linux.OpenBeneath(int(dir.Fd()), upperName, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(upper)
		if err := unix.Fchmod(upper, 0o755); err != nil { // whatever the umask is
			return fmt.Errorf("chmod %s: %w", upperName, err)
		}
		if len(ids) == 0 {
			return nil
		}
		open := s.nativeTree
		driver, over := s.driver.(stacked)
		if over {
			_, open, _ = driver.overlay()
		}
		below, err := open(ids[0])
		if err != nil {
			return err
		}
		defer unix.Close(below)
		if over {
			return copyRoot(upper, below)
		}
		return copyTree(ctx, upper, below, int(dir.Fd()))
	})
	if err != nil {
		return fmt.Errorf("make a writable layer above snapshot %q: %w", parent, err)
	}
	return nil
}

// MountWritable mounts a writable layer above its parent, attached nowhere, as Mount does a
// snapshot. It may be mounted for writing once at a time.
func (s *Snapshotter) MountWritable(ctx context.Context, parent string, dir *os.File, o WritableOptions) (root *os.File, err error) {
	err = s.withParents(ctx, parent, func(ids []string) error {
		fd := -1
		err := s.driver.inside(func() error {
			here, err := s.hither(int(dir.Fd()))
			if err != nil {
				return err
			}
			defer unix.Close(here)
			fd, err = s.mountWritable(ids, here, o)
			return err
		})
		if err != nil {
			return err
		}
		if err := linux.SetAttr(fd, linux.Attr{Set: o.Attr, UserNS: -1}); err != nil {
			unix.Close(fd)
			return err
		}
		root = os.NewFile(uintptr(fd), "root of "+dir.Name())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mount the writable layer in %s above snapshot %q: %w", dir.Name(), parent, err)
	}
	return root, nil
}

// hither opens a directory of the caller's as it is where the store mounts: mount system calls take
// only what is in the namespace of their thread, and the store may have one of its own. It must be at the same path there.
func (s *Snapshotter) hither(dir int) (int, error) {
	path, err := os.Readlink(linux.FDPath(dir))
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var a, b unix.Stat_t
	err = errors.Join(unix.Fstat(dir, &a), unix.Fstat(fd, &b))
	if err == nil && (a.Dev != b.Dev || a.Ino != b.Ino) {
		err = fmt.Errorf("%s is another directory now", path)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (s *Snapshotter) mountWritable(ids []string, dir int, o WritableOptions) (int, error) {
	driver, ok := s.driver.(stacked)
	if !ok || len(ids) == 0 {
		upper, err := openPath(dir, upperName)
		if err != nil {
			return -1, err
		}
		defer unix.Close(upper)
		return bindTree(upper, snapshots.KindActive, o.MountOptions)
	}
	if o.Volatile {
		marked, err := claimVolatile(dir)
		if err != nil {
			return -1, err
		}
		if marked { // by an earlier mount in this boot: nothing is lost
			if err := removeMark(dir); err != nil {
				return -1, err
			}
		}
	}
	fs, layer, attach := driver.overlay()
	return fs.mountStack(stack{parents: ids, layer: layer, attach: attach, dir: dir, upper: upperName, volatile: o.Volatile}, o.MountOptions)
}

// removeMark removes the mark of a volatile mount, so that overlayfs takes the work directory again.
func removeMark(dir int) error {
	parent, err := linux.OpenBeneath(dir, "work/work/incompat", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	mark, err := linux.OpenBeneath(parent, "volatile", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(mark)
	if err := unix.Unlinkat(mark, "dirty", 0); err != nil && err != unix.ENOENT { // Linux 5.10 makes it
		return fmt.Errorf("remove %s/dirty: %w", volatileMark, err)
	}
	if err := unix.Unlinkat(parent, "volatile", unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("remove %s: %w", volatileMark, err)
	}
	return nil
}

// MountParent mounts a committed snapshot with all below it, read-only, attached nowhere: the tree
// of an image. "" is no tree: ErrInvalidArgument.
func (s *Snapshotter) MountParent(ctx context.Context, parent string, o MountOptions) (root *os.File, err error) {
	err = s.withParents(ctx, parent, func(ids []string) error {
		if len(ids) == 0 {
			return errdefs.ErrInvalidArgument.WithMessage("there is no snapshot to mount")
		}
		fd := -1
		err := s.driver.inside(func() (err error) { fd, err = s.mountParent(ids, o); return err })
		if err == nil {
			root = os.NewFile(uintptr(fd), "snapshot "+parent)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mount snapshot %q: %w", parent, err)
	}
	return root, nil
}

func (s *Snapshotter) mountParent(ids []string, o MountOptions) (int, error) {
	open := s.nativeTree
	driver, over := s.driver.(stacked)
	var fs *overlayfs
	var attach bool
	if over {
		fs, open, attach = driver.overlay()
	}
	fd := -1
	if !over || len(ids) == 1 {
		tree, err := open(ids[0])
		if err != nil {
			return -1, err
		}
		defer unix.Close(tree)
		if fd, err = bindTree(tree, snapshots.KindView, o); err != nil {
			return -1, err
		}
	} else {
		var err error
		if fd, err = fs.mountStack(stack{parents: ids, layer: open, attach: attach, dir: -1}, o); err != nil {
			return -1, err
		}
	}
	if err := linux.SetAttr(fd, linux.Attr{Set: o.Attr, UserNS: -1}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// UsageWritable is the disk space of a writable layer. Files are counted, which takes as long as
// there are many.
func (s *Snapshotter) UsageWritable(ctx context.Context, dir *os.File) (snapshots.Usage, error) {
	u, err := usageOf(ctx, int(dir.Fd()), upperName)
	if err != nil {
		return snapshots.Usage{}, fmt.Errorf("usage of the writable layer in %s: %w", dir.Name(), err)
	}
	return u, nil
}

// nativeTree opens the tree of a committed snapshot of the native driver.
func (s *Snapshotter) nativeTree(id string) (int, error) {
	d, ok := s.driver.(*nativeDriver)
	if !ok {
		return -1, errors.New("not a store of whole trees")
	}
	return d.fsDir(id)
}

// withParents calls f with the ids of a committed snapshot and of those below it, topmost first,
// none for "". The store stays open meanwhile.
func (s *Snapshotter) withParents(ctx context.Context, parent string, f func(ids []string) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	var ids []string
	if parent != "" {
		err := s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
			for name := parent; name != ""; {
				id, info, _, err := storage.GetInfo(ctx, name)
				if err != nil {
					return err
				}
				if info.Kind != snapshots.KindCommitted {
					return fmt.Errorf("it is not committed: %w", errdefs.ErrInvalidArgument)
				}
				ids = append(ids, id)
				name = info.Parent
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return f(ids)
}
