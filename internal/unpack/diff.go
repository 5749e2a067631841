package unpack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DiffUpper writes an upperdir of overlayfs as a layer: whiteouts become ".wh.NAME", opaque directories
// ".wh..wh..opq". userXattr is the mount's option: the attributes are user.overlay.*.
//
// An upperdir made with redirect_dir or metacopy is refused: its files lack what the layer
// below had. The attributes that overlayfs keeps for itself stay out of the layer.
func DiffUpper(ctx context.Context, w io.Writer, upper *os.File, userXattr bool, o WriteOptions) (WriteStats, error) {
	return writeArchive(ctx, w, o, func(t *treeWriter) error {
		t.root = upper
		t.upper = "trusted.overlay."
		if userXattr {
			t.upper = "user.overlay."
		}
		fd, err := openPath(upper, "")
		if err != nil {
			return fmt.Errorf("opening the upper directory: %w", err)
		}
		opaque, err := readXattr(fd, t.upper+"opaque")
		unix.Close(fd)
		if err == nil && string(opaque) == "y" {
			if err := t.whiteout(opaqueName); err != nil {
				return err
			}
		}
		return t.tree("")
	})
}

// Diff writes what changed from the tree lower to the tree upper as a layer. Two files are the same if
// kind, mode, owner, links, extended attributes, device, target, size and time are, and content where
// WriteOptions.Content says. Times of directories alone are no change. The
// directories above a change are written too, as image-spec wants.
func Diff(ctx context.Context, w io.Writer, lower, upper *os.File, o WriteOptions) (WriteStats, error) {
	return writeArchive(ctx, w, o, func(t *treeWriter) error {
		t.root = upper
		d := &differ{treeWriter: t, lower: lower, above: []above{{}}}
		return d.compare("")
	})
}

// above is a directory on the way to the one that is compared, and whether it has been written.
type above struct {
	path    string
	written bool
}

type differ struct {
	*treeWriter
	lower *os.File
	above []above
}

// need writes the directories above a change that are not written yet.
func (d *differ) need() error {
	for i := range d.above {
		a := &d.above[i]
		if a.written || a.path == "" && i == 0 {
			continue
		}
		if err := d.directory(a.path, false); err != nil {
			return err
		}
		a.written = true
	}
	return nil
}

// compare writes what changed below a directory that both trees have.
func (d *differ) compare(path string) error {
	if err := d.ctx.Err(); err != nil {
		return context.Cause(d.ctx)
	}
	subs, err := d.level2(path)
	if err != nil {
		return err
	}
	for _, s := range subs {
		sub := joinPath(path, s.name)
		if s.added {
			if err := d.directory(sub, false); err != nil {
				return err
			}
			if err := d.tree(sub); err != nil {
				return err
			}
			continue
		}
		d.above = append(d.above, above{path: sub})
		if s.changed {
			if err := d.need(); err != nil {
				return err
			}
		}
		if err := d.compare(sub); err != nil {
			return err
		}
		d.above = d.above[:len(d.above)-1]
	}
	return nil
}

// subdir is a directory of the upper tree: new (added), with other attributes (changed), or the same.
type subdir struct {
	name           string
	added, changed bool
}

// level2 compares the names of one directory: it writes whiteouts and files, and returns the directories.
func (d *differ) level2(path string) (subs []subdir, err error) {
	low, err := openPath(d.lower, path)
	if err != nil {
		return nil, fmt.Errorf("opening the lower %s: %w", quote(path), err)
	}
	defer unix.Close(low)
	up, err := openPath(d.root, path)
	if err != nil {
		return nil, fmt.Errorf("opening the upper %s: %w", quote(path), err)
	}
	defer unix.Close(up)
	lows, err := readNames(low, 0)
	if err != nil {
		return nil, fmt.Errorf("listing the lower %s: %w", quote(path), err)
	}
	ups, err := readNames(up, 0)
	if err != nil {
		return nil, fmt.Errorf("listing the upper %s: %w", quote(path), err)
	}
	slices.Sort(lows)
	slices.Sort(ups)
	for _, n := range lows {
		if _, ok := slices.BinarySearch(ups, n); !ok {
			if err := d.need(); err != nil {
				return nil, err
			}
			if err := d.whiteout(joinPath(path, whiteoutPrefix+n)); err != nil {
				return nil, err
			}
		}
	}
	for _, n := range ups {
		p := joinPath(path, n)
		if strings.HasPrefix(n, whiteoutPrefix) {
			return nil, fmt.Errorf("%s: a name that a layer keeps for whiteouts", quote(p))
		}
		var ust, lst unix.Stat_t
		if err := unix.Fstatat(up, n, &ust, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("looking at %s: %w", quote(p), err)
		}
		added := false
		if _, ok := slices.BinarySearch(lows, n); !ok {
			added = true
		} else if err := unix.Fstatat(low, n, &lst, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("looking at the lower %s: %w", quote(p), err)
		} else if ust.Mode&unix.S_IFMT != lst.Mode&unix.S_IFMT {
			added = true
		}
		if added && d.o.LeaveOut[p] && IsEmpty(up, n, &ust) {
			continue
		}
		same := false
		if !added {
			if same, err = d.same(low, up, n, &lst, &ust); err != nil {
				return nil, fmt.Errorf("comparing %s: %w", quote(p), err)
			}
		}
		if ust.Mode&unix.S_IFMT == unix.S_IFDIR {
			if added {
				if err := d.need(); err != nil {
					return nil, err
				}
			}
			subs = append(subs, subdir{n, added, !same})
			continue
		}
		if same {
			continue
		}
		if err := d.need(); err != nil {
			return nil, err
		}
		if err := d.entry(up, n, p); err != nil {
			return nil, err
		}
	}
	return subs, nil
}

// same says whether a file is the same in both trees, where it has the same kind.
func (d *differ) same(low, up int, name string, l, u *unix.Stat_t) (bool, error) {
	if l.Mode != u.Mode || l.Uid != u.Uid || l.Gid != u.Gid || l.Rdev != u.Rdev {
		return false, nil
	}
	kind := u.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && (l.Nlink != u.Nlink || l.Mtim != u.Mtim || l.Size != u.Size) {
		return false, nil
	}
	switch kind {
	case unix.S_IFLNK:
		lt, err := readLink(low, name)
		if err != nil {
			return false, err
		}
		ut, err := readLink(up, name)
		return lt == ut, err
	case unix.S_IFREG, unix.S_IFDIR:
	default:
		return true, nil
	}
	if l.Dev == u.Dev && l.Ino == u.Ino {
		return true, nil
	}
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	lf, err := retry(func() (int, error) { return unix.Openat(low, name, flags, 0) })
	if err != nil {
		return false, err
	}
	defer unix.Close(lf)
	uf, err := retry(func() (int, error) { return unix.Openat(up, name, flags, 0) })
	if err != nil {
		return false, err
	}
	defer unix.Close(uf)
	lx, err := keptXattrs(lf)
	if err != nil {
		return false, err
	}
	ux, err := keptXattrs(uf)
	if err != nil || !slices.Equal(lx, ux) {
		return false, err
	}
	if kind == unix.S_IFDIR || !d.o.Content && u.Mtim.Nsec != 0 {
		return true, nil
	}
	return sameContent(lf, uf)
}

// sameContent compares two open files.
func sameContent(a, b int) (bool, error) {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := retry(func() (int, error) { return unix.Read(a, bufA) })
		if err != nil {
			return false, err
		}
		m := 0
		for m < max(n, 1) {
			k, err := retry(func() (int, error) { return unix.Read(b, bufB[m:max(n, 1)]) })
			if err != nil {
				return false, err
			}
			if k == 0 {
				break
			}
			m += k
		}
		if m != n || !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if n == 0 {
			return true, nil
		}
	}
}
