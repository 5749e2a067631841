package cgroup

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// deleteTimeout bounds the wait for processes that are on their way out.
const deleteTimeout = 2 * time.Second

// Delete removes the group's directories with all groups below them. A directory that is not
// there is no error. When processes are dying it tries again for up to two seconds; when some
// are alive it fails with EBUSY. Parents stay.
func (g *Group) Delete() error {
	deadline := time.Now().Add(deleteTimeout)
	var errs []error
	for i := range g.dirs {
		if err := removeTree(g.dirs[i].path, deadline); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeTree(dir string, deadline time.Time) error {
	err := rmdir(dir)
	if err == nil {
		return nil
	}
	pause := time.Millisecond
	for {
		var subs []string
		werr := walk(dir, 0, func(path string) error {
			subs = append(subs, path)
			return nil
		})
		if werr != nil {
			return werr
		}
		if _, serr := os.Lstat(dir); errors.Is(serr, unix.ENOENT) {
			return nil // a read-only mount says EROFS even for what is not there
		}
		for _, s := range slices.Backward(subs) {
			if err = rmdir(s); err != nil {
				break
			}
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
		if pause < 100*time.Millisecond {
			pause *= 2
		}
	}
}

func rmdir(path string) error {
	for {
		switch err := unix.Rmdir(path); err {
		case unix.EINTR:
			continue
		case nil, unix.ENOENT:
			return nil
		default:
			return &os.PathError{Op: "rmdir", Path: path, Err: err}
		}
	}
}
