package volume

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/snapshot"
)

// fill copies what the image has at the destination into an empty volume: files with owners, modes
// and extended attributes, and those of the directory itself. Nobody sees half of it, not even after a crash: the
// copy is made aside and exchanged for the empty directory, unless another container has that one.
func (s *Store) fill(ctx context.Context, v *volume, r MountRequest) error {
	data, err := v.open()
	if err != nil {
		return err
	}
	defer data.Close()
	if entries, err := linux.ReadDir(int(data.Fd())); err != nil || len(entries) > 0 {
		return err
	}
	image, err := r.Image(ctx)
	if err != nil || image == nil {
		return err
	}
	defer image.Close()
	// The destination is the image's: its links stay in the image (CVE-2022-23648).
	fd, err := openIn(int(image.Fd()), r.Destination, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // the image has no directory there
	}
	if err != nil {
		return err
	}
	source := os.NewFile(uintptr(fd), "the image's "+r.Destination)
	defer source.Close()
	dir, err := reopen(v.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if v.attached || len(v.mounts) > 1 || v.mounts[r.User] > 1 {
		return snapshot.CopyTree(ctx, data, source, dir)
	}
	if err := unix.Mkdirat(v.dir, copyName, 0o700); err != nil {
		return fmt.Errorf("mkdir %s: %w", copyName, err)
	}
	defer func() {
		// The empty directory, or what was copied before an error.
		if err := removeTree(context.WithoutCancel(ctx), v.dir, copyName); err != nil {
			s.c.Log.Warn("deleting what was copied; the next start does it", "volume", v.Name, "error", err)
		}
	}()
	s.c.At("volume.copy")
	cfd, err := linux.OpenBeneath(v.dir, copyName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	copied := os.NewFile(uintptr(cfd), copyName)
	defer copied.Close()
	if err := snapshot.CopyTree(ctx, copied, source, dir); err != nil {
		return err
	}
	s.c.At("volume.copied")
	if err := unix.Renameat2(v.dir, copyName, v.dir, dataName, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("put the copy in place: %w", err)
	}
	return nil
}

// reopen makes a file of a directory's descriptor.
func reopen(dir int) (*os.File, error) {
	fd, err := linux.OpenBeneath(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "volume"), nil
}

// removeTree deletes an entry of a directory with all below it.
func removeTree(ctx context.Context, dir int, name string) error {
	d, err := reopen(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return snapshot.RemoveTree(ctx, d, name)
}
