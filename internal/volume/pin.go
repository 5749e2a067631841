package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Pin gives a Handle without a Path one, for a runtime that takes the sources of mounts by path: a bind mount of
// what the descriptor is, on name in dir, a directory that no container can reach. A path of
// /proc/PID/fd will not do: the runtime clones sources in the container's mount namespace, and the kernel
// clones no mount of another one. release takes it away when the container has been created, which keeps its own clone. dir.Name()
// must be dir's absolute path.
func Pin(source *os.File, dir *os.File, name string) (path string, release func() error, err error) {
	fail := func(err error) (string, func() error, error) {
		return "", nil, fmt.Errorf("pin %s to %s/%s: %w", source.Name(), dir.Name(), name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return fail(err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDir {
		err = unix.Mkdirat(int(dir.Fd()), name, 0o700)
	} else {
		err = unix.Mknodat(int(dir.Fd()), name, unix.S_IFREG|0o600, 0)
	}
	if err != nil {
		return fail(err)
	}
	release = func() error {
		err := linux.Detach(int(dir.Fd()), name)
		if errors.Is(err, unix.EINVAL) { // not mounted
			err = nil
		}
		return errors.Join(err, unlink(int(dir.Fd()), name))
	}
	tree, err := linux.CloneTree(int(source.Fd()))
	if err == nil {
		var point int
		if point, err = linux.OpenBeneath(int(dir.Fd()), name, unix.O_PATH); err == nil {
			// Private: a mount that a container makes below never comes back here.
			if err = linux.SetAttr(tree, linux.Attr{Propagation: unix.MS_PRIVATE, UserNS: -1}); err == nil {
				err = linux.MoveMount(tree, point)
			}
			unix.Close(point)
		}
		unix.Close(tree)
	}
	if err != nil {
		return fail(errors.Join(err, release()))
	}
	return filepath.Join(dir.Name(), name), release, nil
}

// SweepPins takes away what a crash between Pin and release has left in dir.
func SweepPins(dir *os.File) error {
	entries, err := linux.ReadDir(int(dir.Fd()))
	if err != nil {
		return fmt.Errorf("list %s: %w", dir.Name(), err)
	}
	var errs []error
	for _, e := range entries {
		if err := linux.Detach(int(dir.Fd()), e.Name); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, err)
		}
		errs = append(errs, unlink(int(dir.Fd()), e.Name))
	}
	return errors.Join(errs...)
}

// unlink removes a mount point, an empty file or directory.
func unlink(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.EISDIR || err == unix.EPERM {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return fmt.Errorf("remove the mount point %s: %w", name, err)
	}
	return nil
}
