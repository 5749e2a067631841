package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/linux"
)

// LabelRoot given to Commit with a parent ("parent") says that the layer says nothing of its root
// directory: that gets the attributes of the parent's. overlayfs shows the root of the topmost layer.
const LabelRoot = "containerd.io/snapshot/dev.hull.root"

// rootFrom is the id of the snapshot whose root a commit takes over, "" for none.
func rootFrom(ctx context.Context, opts []snapshots.Opt) (string, error) {
	var info snapshots.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return "", err
		}
	}
	if info.Parent == "" || info.Labels[LabelRoot] != "parent" {
		return "", nil
	}
	id, _, _, err := storage.GetInfo(ctx, info.Parent)
	return id, err
}

// takeRoot gives the active snapshot in dir the root of the committed one with the id parent.
func (s *Snapshotter) takeRoot(dir int, parent string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("give the root directory the parent's attributes: %w", err)
		}
	}()
	from, err := s.driver.layer(parent, snapshots.KindCommitted)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	fd, err := linux.OpenBeneath(dir, directFile, unix.O_RDWR|unix.O_NONBLOCK)
	if err == nil {
		f := os.NewFile(uintptr(fd), directFile)
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(from, &st); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return erofs.SetRoot(f, info.Size(), meta(&st))
	}
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	fs, err := linux.OpenBeneath(dir, "fs", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	return copyRoot(fs, from)
}
