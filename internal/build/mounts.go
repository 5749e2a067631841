package build

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/buildkit/executor"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/spec"
	"github.com/hull-dev/hull/internal/volume"
)

// mountRoot makes the root of an instruction a mount that is attached nowhere.
func (s *steps) mountRoot(ctx context.Context, root executor.Mount, undo *undo) (*os.File, error) {
	dir, err := s.mountLocal(ctx, root, undo)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	in, err := inside(dir, root.Selector)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	fd, err := linux.CloneTree(int(in.Fd()))
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "root of an instruction")
	undo.add(f.Close)
	return f, nil
}

// mountLocal gives a handle on the files of a mount, which the caller closes. They stay until undo is run.
func (s *steps) mountLocal(ctx context.Context, m executor.Mount, undo *undo) (*os.File, error) {
	src, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, err
	}
	list, release, err := src.Mount()
	if err != nil {
		return nil, err
	}
	if release != nil {
		undo.add(release)
	}
	if len(list) == 1 && (list[0].Type == "bind" || list[0].Type == "rbind") { // read-only is the caller's business
		return openPath(list[0].Source, unix.O_NOFOLLOW)
	}
	// Attached, since the shim cannot clone a mount that is attached nowhere before Linux 6.15.
	dir, err := os.MkdirTemp(s.b.mountsDir(), "step")
	if err != nil {
		return nil, err
	}
	undo.add(func() error { return os.Remove(dir) })
	if err := mount.All(list, dir); err != nil {
		return nil, err
	}
	undo.add(func() error {
		return os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	})
	return openPath(dir, unix.O_NOFOLLOW)
}

func openPath(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// inside opens what a selector names in dir, which nothing in there can lead out of (SECURITY.md R1, R18).
func inside(dir *os.File, selector string) (*os.File, error) {
	name := strings.TrimPrefix(path.Clean("/"+selector), "/")
	if name == "" {
		name = "."
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if name != "." {
			return nil, &os.PathError{Op: "open", Path: selector, Err: unix.ENOTDIR}
		}
		fd, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		return os.NewFile(uintptr(fd), dir.Name()), err
	}
	fd, err := linux.Openat2(int(dir.Fd()), name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, fmt.Errorf("the source of a mount: %w", &os.PathError{Op: "open", Path: "/" + name, Err: err})
	}
	return os.NewFile(uintptr(fd), "/"+name), nil
}

// openMounts makes the mounts of an instruction ready: each source is a handle that stays open until
// undo is run.
func (s *steps) openMounts(ctx context.Context, mounts []executor.Mount, undo *undo) ([]spec.Mount, error) {
	var out []spec.Mount
	for _, m := range mounts {
		one := spec.Mount{Destination: path.Clean("/" + m.Dest), ReadOnly: m.Readonly, NonRecursive: true}
		if options, ok, err := tmpfsOf(ctx, m, undo); err != nil {
			return nil, err
		} else if ok {
			one.Tmpfs, one.NonRecursive = options, false
			out = append(out, one)
			continue
		}
		dir, err := s.mountLocal(ctx, m, undo)
		if err != nil {
			return nil, fmt.Errorf("mounting the source of %s: %w", m.Dest, err)
		}
		undo.add(dir.Close)
		src, err := inside(dir, m.Selector)
		if err != nil {
			return nil, err
		}
		undo.add(src.Close)
		if one.Source, err = s.pin(src, undo); err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// pin gives a handle a path for the time that a container is being made: the shim cannot use another
// process's handles.
func (s *steps) pin(src *os.File, undo *undo) (string, error) {
	dir, err := os.Open(s.b.mountsDir())
	if err != nil {
		return "", err
	}
	undo.add(dir.Close)
	path, release, err := volume.Pin(src, dir, "pin-"+newID())
	if err != nil {
		return "", err
	}
	undo.add(release)
	return path, nil
}

// tmpfsOf says whether a mount is a new tmpfs, and with which options.
func tmpfsOf(ctx context.Context, m executor.Mount, undo *undo) (options []string, is bool, err error) {
	src, err := m.Src.Mount(ctx, m.Readonly)
	if err != nil {
		return nil, false, err
	}
	list, release, err := src.Mount()
	if err != nil {
		return nil, false, err
	}
	isTmpfs := len(list) == 1 && list[0].Type == "tmpfs"
	if !isTmpfs {
		if release != nil {
			return nil, false, release()
		}
		return nil, false, nil
	}
	if release != nil {
		undo.add(release)
	}
	return tmpfsOptions(list[0]), true, nil
}

func tmpfsOptions(m mount.Mount) []string {
	return slices.DeleteFunc(append([]string{}, m.Options...), func(o string) bool { return o == "" })
}
