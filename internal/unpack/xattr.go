package unpack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const capability = "security.capability"

// keepXattr is the allow-list (R9): file capabilities, and what users may set themselves.
// Not kept: trusted.* and user.overlay.*, which overlayfs would obey; security.selinux and
// security.ima, which are the host's; system.posix_acl_*, whose ids no map reaches.
func keepXattr(name string) bool {
	return name == capability || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// setXattrs sets those attributes that are kept, and counts the others. A file
// system that has none drops them too, as tar does.
func (x *extractor) setXattrs(fd int, xattrs []xattr) error {
	for _, a := range xattrs {
		keep, err := x.keep(a)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		switch err := unix.Fsetxattr(fd, a.name, []byte(a.value), 0); err {
		case nil:
		case unix.ENOTSUP:
			x.st.DroppedXattrs++
		default:
			return fmt.Errorf("setting the extended attribute %s of %d bytes: %w", quote(a.name), len(a.value), err)
		}
	}
	return nil
}

// keep says whether an attribute of the archive is kept, and refuses malformed ones.
func (x *extractor) keep(a xattr) (bool, error) {
	if !keepXattr(a.name) {
		x.st.DroppedXattrs++
		return false, nil
	}
	if len(a.name) > 255 || len(a.name) == len("user.") || len(a.value) > 64<<10 {
		return false, refusal(ErrLimit, x.h.name, "the extended attribute %s of %d bytes", quote(a.name), len(a.value))
	}
	if a.name == capability {
		if !validCapability(a.value) {
			return false, refusal(ErrArchive, x.h.name, "a malformed file capability")
		}
		x.st.SetID = true
	}
	return true, nil
}

// validCapability checks the form of vfs_cap_data (linux/capability.h): revision 1, 2 or 3 and
// the length that belongs to it.
func validCapability(v string) bool {
	if len(v) < 4 {
		return false
	}
	switch rev := v[3]; len(v) {
	case 12:
		return rev == 1
	case 20:
		return rev == 2
	case 24:
		return rev == 3
	}
	return false
}

// keptXattrs reads those attributes of an open file that are kept, sorted by name.
func keptXattrs(fd int) ([]xattr, error) {
	names, err := xattrNames(fd)
	if err != nil {
		return nil, err
	}
	var out []xattr
	for _, n := range names {
		if !keepXattr(n) {
			continue
		}
		v, err := readXattr(fd, n)
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, xattr{n, string(v)})
	}
	slices.SortFunc(out, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// clearXattrs removes those that are kept: the entry says what there is.
func clearXattrs(fd int) error {
	names, err := xattrNames(fd)
	if err != nil {
		return fmt.Errorf("listing the extended attributes: %w", err)
	}
	for _, n := range names {
		if !keepXattr(n) {
			continue
		}
		if err := unix.Fremovexattr(fd, n); err != nil && err != unix.ENODATA {
			return fmt.Errorf("removing the extended attribute %s: %w", quote(n), err)
		}
	}
	return nil
}

func xattrNames(fd int) ([]string, error) {
	var small [512]byte
	buf := small[:]
	for {
		n, err := unix.Flistxattr(fd, buf)
		if err == unix.ERANGE {
			buf = make([]byte, max(4096, 2*len(buf)))
			if len(buf) > 1<<20 {
				return nil, err
			}
			continue
		}
		if err == unix.ENOTSUP || err == nil && n == 0 {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var names []string
		for b := range bytes.SplitSeq(buf[:n-1], []byte{0}) {
			names = append(names, string(b))
		}
		return names, nil
	}
}

func hasXattr(fd int, name string) bool {
	_, err := unix.Fgetxattr(fd, name, nil)
	return err == nil
}

func readXattr(fd int, name string) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Fgetxattr(fd, name, buf)
		if err == unix.ERANGE && len(buf) < 128<<10 {
			buf = make([]byte, 128<<10) // XATTR_SIZE_MAX is 64 KiB
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}
