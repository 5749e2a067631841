package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/linux"
)

// Image is a layer that is written as an image, not as files: extraction then costs no inode.
type Image struct {
	*erofs.Writer
	f   *directOutput
	dir int
}

// directOutput is the file of an image, which goes to the disk while it grows.
type directOutput struct {
	*os.File
	behind linux.Behind
}

// WriteAt implements erofs.Output.
func (o *directOutput) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.File.WriteAt(p, off)
	o.behind.Wrote(off + int64(n))
	return n, err
}

// NewImage begins the content of an active snapshot as an image; NotImplemented with other drivers.
// Once Finish returned, the snapshot is good for Commit only, which takes the image in place of the
// files. Whiteouts and opaque directories are overlayfs', as in a directory.
func (s *Snapshotter) NewImage(ctx context.Context, key string) (_ *Image, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write an image for snapshot %q: %w", key, err)
		}
	}()
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	defer s.keys.lock(key)()
	if _, ok := s.driver.(*erofsDriver); !ok {
		return nil, fmt.Errorf("the store is of another driver: %w", errdefs.ErrNotImplemented)
	}
	snap, _, err := s.snapshot(ctx, key)
	if err != nil {
		return nil, err
	}
	if snap.Kind != snapshots.KindActive {
		return nil, fmt.Errorf("it is not active: %w", errdefs.ErrFailedPrecondition)
	}
	dir, err := s.dir(snap.ID)
	if err != nil {
		return nil, err
	}
	fd, err := linux.CreateBeneath(dir, imageTemp, unix.O_RDWR|unix.O_EXCL, 0o600)
	if errors.Is(err, unix.EEXIST) {
		// Of an earlier, broken attempt: its writer has the old file.
		if err = unix.Unlinkat(dir, imageTemp, 0); err == nil {
			fd, err = linux.CreateBeneath(dir, imageTemp, unix.O_RDWR|unix.O_EXCL, 0o600)
		}
	}
	if err != nil {
		unix.Close(dir)
		return nil, err
	}
	f := &directOutput{File: os.NewFile(uintptr(fd), imageTemp), behind: linux.Behind{FD: fd}}
	return &Image{Writer: erofs.NewWriter(f, erofs.Options{UUID: imageID(key)}), f: f, dir: dir}, nil
}

// ImageAt is NewImage for the snapshot whose own files are in the directory path, as its mounts say.
func (s *Snapshotter) ImageAt(ctx context.Context, path string) (*Image, error) {
	rest, ok := strings.CutPrefix(path, s.path("", "")+"/")
	id, isFiles := strings.CutSuffix(rest, "/fs")
	if !ok || !isFiles {
		return nil, fmt.Errorf("write an image for the snapshot at %s: it is not in this store: %w", path, errdefs.ErrInvalidArgument)
	}
	var key string
	err := s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		all, err := storage.IDMap(ctx)
		key = all[id]
		return err
	})
	if err == nil && key == "" {
		err = errdefs.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("write an image for the snapshot at %s: %w", path, err)
	}
	return s.NewImage(ctx, key)
}

// File is the image's file, for those who look at the space that is left.
func (i *Image) File() *os.File { return i.f.File }

// Finish completes the image and makes it the snapshot's content.
func (i *Image) Finish() error {
	err := i.Writer.Close()
	if err == nil {
		if err = unix.Renameat(i.dir, imageTemp, i.dir, directFile); err != nil {
			err = fmt.Errorf("rename the image: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, i.Abort())
	}
	i.release()
	return nil
}

// Abort gives the image up. After Finish it does nothing.
func (i *Image) Abort() error {
	if i.dir < 0 {
		return nil
	}
	err := unix.Unlinkat(i.dir, imageTemp, 0)
	i.release()
	if err == unix.ENOENT {
		return nil
	}
	return err
}

func (i *Image) release() {
	i.f.behind.Wait()
	i.f.Close()
	unix.Close(i.dir)
	i.dir = -1
}
