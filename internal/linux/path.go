package linux

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// beneath resolves a name without leaving the directory and without following any symbolic
// link, magic links of procfs included.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// OpenBeneath opens name below the directory dir. A symbolic link anywhere in name is ELOOP, a
// way out of dir EXDEV. O_CLOEXEC is added to flags.
func OpenBeneath(dir int, name string, flags int) (int, error) {
	return Openat2(dir, name, &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: beneath})
}

// CreateBeneath is OpenBeneath with O_CREAT: mode is that of a new file, before the umask.
func CreateBeneath(dir int, name string, flags int, mode uint32) (int, error) {
	return Openat2(dir, name, &unix.OpenHow{Flags: uint64(flags | unix.O_CREAT | unix.O_CLOEXEC), Mode: uint64(mode), Resolve: beneath})
}

// Resolve is openat2(2), tried again when a signal or a rename on the way (EAGAIN) disturbs it.
// Whoever renames in a loop must not hold us up: after 128 times it is an error. The error is
// the errno alone.
func Resolve(dir int, name string, how *unix.OpenHow) (fd int, err error) {
	for range 128 {
		fd, err = unix.Openat2(dir, name, how)
		if err != unix.EINTR && err != unix.EAGAIN {
			break
		}
	}
	return fd, err
}

// Openat2 is [Resolve] with an error that names the call and the file.
func Openat2(dir int, name string, how *unix.OpenHow) (int, error) {
	fd, err := Resolve(dir, name, how)
	if err != nil {
		return -1, &os.PathError{Op: "openat2", Path: name, Err: err}
	}
	return fd, nil
}

// FDPath is a path of the file behind a descriptor of this process, for system calls that take
// a path only. It is good while the descriptor is open.
func FDPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Retry calls f until it returns something else than EINTR.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// SyncFS writes everything of the file system that fd is on to its disk (syncfs(2)), and fails
// when a write-back failed since fd was opened.
func SyncFS(fd int) error {
	if err := Retry(func() error { return unix.Syncfs(fd) }); err != nil {
		return fmt.Errorf("syncfs: %w", err)
	}
	return nil
}
