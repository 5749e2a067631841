package shim

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// sealed opens a program so that nobody can write to it by way of a process that executes it:
// from a read-only clone of its mount, or, where mounts cannot be cloned, from a sealed copy.
func sealed(name string) (*os.File, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == nil {
		if err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err == nil {
			return os.NewFile(uintptr(tree), name), nil
		}
		unix.Close(tree)
	}
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	fd, err := unix.MemfdCreate("keel", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	out := os.NewFile(uintptr(fd), name)
	if _, err = io.Copy(out, in); err == nil {
		_, err = unix.FcntlInt(out.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("make a sealed copy: %w", err)
	}
	return out, nil
}
