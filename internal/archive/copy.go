package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/unpack"
)

// overflow is the user that a container sees where a file's owner has no number in it.
const overflow = 65534

// Out is one file or directory that is about to be copied out of a container.
type Out struct {
	Stat container.PathStat
	v    *View
	f    *found
}

// Open finds what is to be copied out. The View must stay open until Close.
func (v *View) Open(p string) (*Out, error) {
	f, err := v.find(p)
	if err != nil {
		return nil, err
	}
	s, err := v.describe(f, p)
	if err != nil {
		f.close()
		return nil, err
	}
	return &Out{s, v, f}, nil
}

// Close lets go of it.
func (o *Out) Close() { o.f.close() }

// Write writes it as a tar: a file under its own name; a directory under its own name, or under "." when the path
// ended with "/.".
func (o *Out) Write(ctx context.Context, w io.Writer) error {
	wo := unpack.WriteOptions{UIDMap: o.v.maps(), GIDMap: o.v.maps(), Unmapped: &unpack.Owner{UID: overflow, GID: overflow}, Mounts: true, Plain: true}
	dup, err := reopen(o.f.parent, ".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dup.Close()
	if !o.f.is(unix.S_IFDIR) {
		_, err = unpack.WriteFile(ctx, w, dup, o.f.base, o.Stat.Name, wo)
		return err
	}
	dir, err := reopen(o.f.parent, o.f.base, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("open %s in the container: %w", o.Stat.Name, err)
	}
	defer dir.Close()
	name := o.Stat.Name
	if name == "/" {
		name = "."
	}
	_, err = unpack.WriteTree(ctx, w, dir, name, wo)
	return err
}

// reopen opens name in a directory, never through a link.
func reopen(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// CopyInOptions of CopyIn.
type CopyInOptions struct {
	// NoOverwriteDirNonDir refuses to replace a directory by something else, and the other way round.
	NoOverwriteDirNonDir bool
	// Owner, if set, owns all that is copied, in the container's ids (copyUIDGID of the API: the container's user).
	Owner *unpack.Owner
}

// CopyIn puts the files of a tar, compressed or not, into the directory p.
func (v *View) CopyIn(ctx context.Context, p string, r io.Reader, o CopyInOptions) error {
	bad := func(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
	fd, err := openIn(int(v.root.Fd()), path.Join("/", p), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	switch {
	case errors.Is(err, unix.ENOTDIR):
		return bad("extraction point is not a directory")
	case errors.Is(err, unix.ENOENT):
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Could not find the file %s in the container", p))
	case err != nil:
		return fmt.Errorf("open %s in the container: %w", p, err)
	}
	dir := os.NewFile(uintptr(fd), p)
	defer dir.Close()
	if err := v.writable(fd); err != nil {
		return err
	}
	uo := unpack.Options{UIDMap: v.maps(), GIDMap: v.maps(), SameKind: o.NoOverwriteDirNonDir, Owner: o.Owner, Mounts: true, Devices: v.ids == nil}
	if v.ids != nil { // an id that the container does not have: its root's
		uo.Unmapped = &unpack.Owner{UID: v.ids.Host, GID: v.ids.Host}
		uo.Maker = uo.Unmapped
	}
	_, err = unpack.Extract(ctx, dir, r, uo)
	if errors.Is(err, unpack.ErrArchive) {
		return bad(err.Error())
	}
	if err != nil {
		return fmt.Errorf("copy into %s of the container: %w", p, err)
	}
	return nil
}

// writable refuses what the container itself could not write to, with Docker's texts.
func (v *View) writable(dir int) error {
	root, err := mountID(int(v.root.Fd()))
	if err != nil {
		return err
	}
	own, err := mountID(dir)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := linux.Retry(func() error { return unix.Fstatfs(dir, &st) }); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	switch readOnly := st.Flags&unix.ST_RDONLY != 0; {
	case own == root && (v.ReadOnly || readOnly):
		return errdefs.ErrInvalidArgument.WithMessage("container rootfs is marked read-only")
	case own != root && readOnly:
		return errdefs.ErrInvalidArgument.WithMessage("mounted volume is marked read-only")
	}
	return nil
}

// mountID is the number of the mount that an open file is on.
func mountID(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := linux.Retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st) }); err != nil {
		return 0, fmt.Errorf("statx: %w", err)
	}
	return st.Mnt_id, nil
}
