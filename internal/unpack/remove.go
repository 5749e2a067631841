package unpack

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Removal goes by names of directories that dirs opens without following links, so a tree of
// any shape and depth takes a bounded number of descriptors.

// remove removes base in p, whatever it is. p must be pinned.
func (x *extractor) remove(p *dir, base, path string) error {
	err := unix.Unlinkat(p.fd, base, 0)
	if err == unix.EISDIR {
		if err = x.removeBelow(path); err != nil {
			return err
		}
		x.forget(path)
		err = unix.Unlinkat(p.fd, base, unix.AT_REMOVEDIR)
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("removing %s: %w", quote(path), err)
	}
	p.dirty = true
	return nil
}

// removeBelow empties the directory at path.
func (x *extractor) removeBelow(path string) error {
	for {
		d, err := x.at(path)
		if err != nil {
			return fmt.Errorf("opening %s to empty it: %w", quote(path), err)
		}
		names, err := x.names(d, 1024)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return nil
		}
		for _, n := range names {
			if d, err = x.at(path); err != nil {
				return fmt.Errorf("opening %s to empty it: %w", quote(path), err)
			}
			err := unix.Unlinkat(d.fd, n, 0)
			if err == unix.EISDIR {
				sub := joinPath(path, n)
				if err = x.removeBelow(sub); err != nil {
					return err
				}
				x.forget(sub)
				if d, err = x.at(path); err == nil {
					err = unix.Unlinkat(d.fd, n, unix.AT_REMOVEDIR)
				}
			}
			if err != nil {
				return fmt.Errorf("removing %s: %w", quote(joinPath(path, n)), err)
			}
			d.dirty = true
		}
	}
}

// purge removes what the archive has not made of parent/name: a directory stays if something
// in it does.
func (x *extractor) purge(parent, name string) (kept bool, err error) {
	path := joinPath(parent, name)
	p, err := x.at(parent)
	if err != nil {
		return false, fmt.Errorf("opening %s: %w", quote(parent), err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(p.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("looking at %s: %w", quote(path), err)
	}
	flags := 0
	kept = x.created.has(path)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
		d, err := x.at(path)
		if err != nil {
			return false, fmt.Errorf("opening %s: %w", quote(path), err)
		}
		names, err := x.names(d, 0)
		if err != nil {
			return false, err
		}
		for _, n := range names {
			k, err := x.purge(path, n)
			if err != nil {
				return false, err
			}
			kept = kept || k
		}
		if !kept {
			x.forget(path)
		}
		if p, err = x.at(parent); err != nil {
			return false, fmt.Errorf("opening %s: %w", quote(parent), err)
		}
	}
	if kept {
		return true, nil
	}
	if err := unix.Unlinkat(p.fd, name, flags); err != nil {
		return false, fmt.Errorf("removing %s: %w", quote(path), err)
	}
	p.dirty = true
	return false, nil
}

// names lists a directory from its beginning, about max names at most if it is not 0.
func (x *extractor) names(d *dir, max int) ([]string, error) {
	names, err := readNames(d.fd, max)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", quote(d.path), err)
	}
	return names, nil
}

func (x *extractor) isEmpty() (bool, error) {
	names, err := x.names(x.root, 1)
	return len(names) == 0, err
}

// readNames lists an open directory from its beginning.
func readNames(fd, max int) ([]string, error) {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return nil, err
	}
	var names []string
	buf := make([]byte, 16<<10)
	for max == 0 || len(names) < max {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	return names, nil
}
