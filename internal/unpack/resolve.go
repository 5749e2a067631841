package unpack

import (
	"fmt"
	"strings"

	"github.com/hull-dev/hull/internal/linux"
	"golang.org/x/sys/unix"
)

// dir is an open directory below the root. Its path has no symbolic links in it, so a path is
// the name of one directory until the extractor itself removes that.
type dir struct {
	path         string // "" is the root
	fd           int
	mode         uint32 // S_ISGID: what is made in it gets its group
	ours         bool   // made by this extraction: no default ACL changes the modes of new files
	opaque       bool   // marked so for overlayfs
	cut          bool   // it or one above it is; true of the time when looked was extractor.opaques
	looked       int64
	dirty        bool // something was made or removed in it: its times must be set
	atime, mtime unix.Timespec
	used         uint64
	pins         int
}

// openDirs bounds the descriptors of one extraction. Archives are written depth first.
const openDirs = 64

// maxLinks is the kernel's own bound of links in one path (path_resolution(7)).
const maxLinks = 40

// dirs keeps open directories by path.
type dirs struct {
	root    *dir
	byPath  map[string]*dir
	last    *dir // the one asked for before: most entries are in the directory of the one before
	clock   uint64
	resolve uint64 // flags of openat2
	fresh   bool   // the root was empty: every directory is ours
}

// openDir opens a directory below parent by a path without "..", which may have several
// components; no link is followed anywhere in it.
func (t *dirs) openDir(parent *dir, rel, path string) (*dir, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: t.resolve}
	fd, err := linux.Resolve(parent.fd, rel, &how)
	if err != nil {
		return nil, err
	}
	d := &dir{path: path, fd: fd, ours: t.fresh}
	if err := d.stat(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// stat reads what the directory is now; its times are put back when it is closed.
func (d *dir) stat() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return err
	}
	d.mode, d.atime, d.mtime = st.Mode, st.Atim, st.Mtim
	return nil
}

// get returns an open directory that is known, or nil.
func (t *dirs) get(path string) *dir {
	d := t.last
	if d == nil || d.path != path {
		if d = t.byPath[path]; d == nil {
			return nil
		}
		t.last = d
	}
	t.clock++
	d.used = t.clock
	return d
}

// add remembers an open directory, and closes the one used least lately if there are too many.
func (t *dirs) add(d *dir) error {
	t.clock++
	d.used = t.clock
	t.byPath[d.path] = d
	t.last = d
	if len(t.byPath) <= openDirs {
		return nil
	}
	var oldest *dir
	for _, o := range t.byPath {
		if o.pins == 0 && o != d && (oldest == nil || o.used < oldest.used) {
			oldest = o
		}
	}
	if oldest == nil {
		return nil
	}
	delete(t.byPath, oldest.path)
	return oldest.close()
}

// close sets the times of a directory in which something changed.
func (d *dir) close() error {
	var err error
	if d.dirty {
		err = setTimes(d.fd, d.atime, d.mtime)
	}
	if cerr := unix.Close(d.fd); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("setting the times of %s: %w", quote(d.path), err)
	}
	return nil
}

// forget closes what is at or below path without touching it: it is about to be removed.
func (t *dirs) forget(path string) {
	for p, d := range t.byPath {
		if d.pins == 0 && below(p, path) {
			unix.Close(d.fd)
			delete(t.byPath, p)
			if t.last == d {
				t.last = nil
			}
		}
	}
}

// closeAll closes everything; with times, each directory's are set.
func (t *dirs) closeAll(times bool) (err error) {
	for _, d := range t.byPath {
		if !times {
			d.dirty = false
		}
		if cerr := d.close(); err == nil {
			err = cerr
		}
	}
	t.byPath, t.last = nil, nil
	return err
}

// at returns the directory of a path that has no links in it.
func (t *dirs) at(path string) (*dir, error) {
	if d := t.get(path); d != nil {
		return d, nil
	}
	from, rel := t.nearest(path)
	// The kernel takes PATH_MAX at once; a tree that others made may be deeper.
	for len(rel) > maxPath {
		i := strings.LastIndexByte(rel[:maxPath], '/')
		d, err := t.openDir(from, rel[:i], path[:len(path)-len(rel)+i])
		if err == nil {
			err = t.add(d)
		}
		if err != nil {
			return nil, err
		}
		from, rel = d, rel[i+1:]
	}
	d, err := t.openDir(from, rel, path)
	if err != nil {
		return nil, err
	}
	return d, t.add(d)
}

// child returns the directory base in p, which is there.
func (t *dirs) child(p *dir, base, path string) (*dir, error) {
	if d := t.get(path); d != nil {
		return d, nil
	}
	d, err := t.openDir(p, base, path)
	if err != nil {
		return nil, err
	}
	return d, t.add(d)
}

// nearest finds the open directory that is closest above path, and what is left of the path.
func (t *dirs) nearest(path string) (*dir, string) {
	for p := path; ; {
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return t.root, path
		}
		p = p[:i]
		if d := t.get(p); d != nil {
			return d, path[i+1:]
		}
	}
}

// parent returns the directory that an entry with the parent path p goes into, and makes what
// is missing. Links are followed inside the root if follow is set, else refused. raw is the
// entry's name, for messages.
func (x *extractor) parent(p, raw string, follow bool) (*dir, error) {
	if d := x.get(p); d != nil {
		return d, nil
	}
	// The common case: all of it is there and real.
	from, rel := x.nearest(p)
	d, err := x.openDir(from, rel, p)
	switch err {
	case nil:
		return d, x.add(d)
	case unix.ENOENT, unix.ELOOP, unix.ENOTDIR, unix.EXDEV, unix.ENAMETOOLONG:
	default:
		return nil, fmt.Errorf("%s: opening the directory: %w", quote(raw), err)
	}
	return x.walk(p, raw, follow)
}

// walk goes through a path by single components.
func (x *extractor) walk(p, raw string, follow bool) (*dir, error) {
	cur := x.root
	links := 0
	for rest := p; rest != ""; {
		var c string
		c, rest, _ = strings.Cut(rest, "/")
		switch c {
		case "", ".":
			continue
		case "..": // of a link; the root is its own parent, as in a chroot
			up, _ := splitPath(cur.path)
			d, err := x.at(up)
			if err != nil {
				return nil, fmt.Errorf("%s: going up: %w", quote(raw), err)
			}
			cur = d
			continue
		}
		path := joinPath(cur.path, c)
		if len(path) > maxPath || strings.Count(path, "/") > x.o.Limits.Depth {
			return nil, refusal(ErrLimit, raw, "links make the path too long or deep")
		}
		d, target, err := x.step(cur, c, path, raw)
		if err != nil {
			return nil, err
		}
		if d != nil {
			cur = d
			continue
		}
		if !follow {
			return nil, refusal(ErrArchive, raw, "a whiteout below %s, which is a symbolic link", quote(path))
		}
		if links++; links > maxLinks {
			return nil, refusal(ErrArchive, raw, "more than %d symbolic links in the path", maxLinks)
		}
		if target[0] == '/' {
			cur = x.root
		}
		if rest != "" {
			target += "/" + rest
		}
		if len(target) > 2*maxPath {
			return nil, refusal(ErrLimit, raw, "links make the path too long")
		}
		rest = target
	}
	return cur, nil
}

// step opens the component c of cur, making it if it is missing; or returns the target of the
// link that it is.
func (x *extractor) step(cur *dir, c, path, raw string) (*dir, string, error) {
	d, err := x.child(cur, c, path)
	switch err {
	case nil:
		return d, "", nil
	case unix.ENOENT:
		return x.implied(cur, c, path, raw, false)
	case unix.ENAMETOOLONG:
		return nil, "", refusal(ErrLimit, raw, "a component of %d bytes", len(c))
	case unix.EXDEV:
		return nil, "", refusal(ErrArchive, raw, "%s is the root of another file system", quote(path))
	case unix.ELOOP, unix.ENOTDIR:
	default:
		return nil, "", fmt.Errorf("%s: opening %s: %w", quote(raw), quote(path), err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(cur.fd, c, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, "", fmt.Errorf("%s: looking at %s: %w", quote(raw), quote(path), err)
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		target, err := readLink(cur.fd, c)
		if err != nil {
			return nil, "", fmt.Errorf("%s: reading the link %s: %w", quote(raw), quote(path), err)
		}
		return nil, target, nil
	case x.o.Whiteouts == Overlay && isWhiteout(&st):
		// Hidden by this archive, and now a directory with nothing of the lower layers in it.
		if err := unix.Unlinkat(cur.fd, c, 0); err != nil {
			return nil, "", fmt.Errorf("%s: removing the whiteout %s: %w", quote(raw), quote(path), err)
		}
		return x.implied(cur, c, path, raw, true)
	}
	return nil, "", refusal(ErrArchive, raw, "%s is not a directory", quote(path))
}

// implied makes a directory that a name needs and no entry gave, as the lower layers have it;
// or returns the target of the link that they have in its place.
func (x *extractor) implied(cur *dir, c, path, raw string, hidden bool) (*dir, string, error) {
	attrs := dirAttrs{mode: 0o755, atime: x.h.mtime, mtime: x.h.mtime}
	var err error
	attrs.uid, attrs.gid, err = x.owner(0, 0)
	if err != nil {
		return nil, "", err
	}
	known := hidden || x.o.Whiteouts != Overlay
	if !known && x.o.Lowers != nil {
		known = true
		low, err := x.lower(cur, path)
		if err != nil {
			return nil, "", fmt.Errorf("%s: looking for %s in the lower layers: %w", quote(raw), quote(path), err)
		}
		if low != nil {
			switch low.st.Mode & unix.S_IFMT {
			case unix.S_IFLNK:
				target, err := readLink(low.parent, low.base)
				if err != nil {
					return nil, "", fmt.Errorf("%s: reading the link %s of a lower layer: %w", quote(raw), quote(path), err)
				}
				return nil, target, nil
			case unix.S_IFDIR:
				// Its ids are on the disk already: mapped.
				attrs = dirAttrs{mode: low.st.Mode & 0o7777, uid: low.st.Uid, gid: low.st.Gid, atime: low.st.Atim, mtime: low.st.Mtim}
				if attrs.xattrs, err = low.xattrs(); err != nil {
					return nil, "", fmt.Errorf("%s: reading the attributes of %s: %w", quote(raw), quote(path), err)
				}
			default:
				return nil, "", refusal(ErrArchive, raw, "%s is not a directory in the lower layers", quote(path))
			}
		}
	}
	if !known {
		x.st.Implied++
	}
	attrs.opaque = hidden
	d, err := x.makeDir(cur, c, path, attrs)
	if err != nil {
		return nil, "", fmt.Errorf("%s: making the directory %s: %w", quote(raw), quote(path), err)
	}
	return d, "", nil
}

// readLink reads a symbolic link; it is never empty.
func readLink(dirfd int, name string) (string, error) {
	buf := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// retry repeats a call that a signal interrupted (Go's own preemption signals do).
func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR && err != unix.EAGAIN { // a lease is being broken, see open(2)
			return n, err
		}
	}
}
