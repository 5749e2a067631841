package unpack

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// isWhiteout says whether something is what overlayfs takes for a whiteout
// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func (x *extractor) opaqueXattr() string {
	if x.o.UserXattr {
		return "user.overlay.opaque"
	}
	return "trusted.overlay.opaque"
}

// setOpaque hides the content that the lower layers have for a directory.
func (x *extractor) setOpaque(d *dir) error {
	if err := unix.Fsetxattr(d.fd, x.opaqueXattr(), []byte("y"), 0); err != nil {
		return fmt.Errorf("marking the directory %s opaque: %w", quote(d.path), err)
	}
	d.opaque, d.dirty = true, true
	x.opaques++
	return nil
}

// makeOpaque applies ".wh..wh..opq": the lower layers' content of d goes, this archive's stays,
// whether it came before or comes after.
func (x *extractor) makeOpaque(d *dir) error {
	if x.o.Whiteouts == Overlay {
		if d == x.root && !d.opaque && x.o.Lowers == nil {
			x.st.Implied++ // see hideRoot
		}
		return x.setOpaque(d)
	}
	d.pins++
	defer func() { d.pins-- }()
	names, err := x.names(d, 0)
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, err := x.purge(d.path, n); err != nil {
			return err
		}
	}
	return nil
}

// makeWhiteout applies ".wh.NAME": what the lower layers have of that name goes.
func (x *extractor) makeWhiteout(p *dir, name string) error {
	if x.o.Whiteouts == Apply {
		_, err := x.purge(p.path, name)
		return err
	}
	if p.opaque {
		return nil // nothing below to hide, and overlayfs would list the whiteout there
	}
	return x.hide(p, name)
}

// hideRoot hides each name that the lower layers have in the root, if the archive made that opaque:
// overlayfs does not look at the mark of a layer's root.
func (x *extractor) hideRoot() error {
	if !x.root.opaque {
		return nil
	}
	for _, l := range x.o.Lowers {
		fd, err := openLow(int(l.Fd()), ".")
		if err != nil {
			return fmt.Errorf("opening the layer %s: %w", l.Name(), err)
		}
		names, err := readNames(fd, 0)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("listing the layer %s: %w", l.Name(), err)
		}
		for _, n := range names {
			if err := x.hide(x.root, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// hide makes a whiteout for overlayfs.
func (x *extractor) hide(p *dir, name string) error {
	err := unix.Mknodat(p.fd, name, unix.S_IFCHR, 0)
	if err == unix.EEXIST {
		// A whiteout applies to the layers below only: what this archive has stays.
		var st unix.Stat_t
		if err := unix.Fstatat(p.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("looking at %s: %w", quote(name), err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		path := joinPath(p.path, name)
		d, err := x.child(p, name, path)
		if err != nil {
			return fmt.Errorf("opening %s: %w", quote(path), err)
		}
		return x.setOpaque(d)
	}
	if err != nil {
		return fmt.Errorf("making the whiteout of %s: %w", quote(joinPath(p.path, name)), err)
	}
	p.dirty = true
	return nil
}
