package unpack

import (
	"fmt"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/linux"
	"golang.org/x/sys/unix"
)

// lowers are the layers below as overlayfs would stack them, topmost first. close frees what find keeps.
type lowers struct {
	dirs   []*os.File
	opaque string // the xattr

	// Where find was last: entries are depth first, and a walk from the root for each of a
	// thousand directories above a name would be a million.
	at   string
	open []int // the directories that are merged at at, topmost first; none if it is not there
	has  bool  // at and open are set
}

// lowFile is something in the lower layers: base in the open directory parent, which is the lowers' own: it is
// good until the next find.
type lowFile struct {
	parent int
	base   string
	st     unix.Stat_t
}

// xattrs reads the kept attributes of a directory.
func (f *lowFile) xattrs() ([]xattr, error) {
	fd, err := openLow(f.parent, f.base)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return keptXattrs(fd)
}

func openLow(dirfd int, name string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	return linux.Resolve(dirfd, name, &how)
}

// find looks a path without links up as overlayfs would: nil if it is not there, hidden by a
// whiteout, an opaque directory or something that is not a directory.
func (l *lowers) find(path string) (*lowFile, error) {
	parent, base := splitPath(path)
	if err := l.move(parent); err != nil {
		l.close()
		return nil, err
	}
	for _, fd := range l.open {
		f := &lowFile{parent: fd, base: base}
		switch err := unix.Fstatat(fd, base, &f.st, unix.AT_SYMLINK_NOFOLLOW); {
		case err == unix.ENOENT:
			continue
		case err != nil:
			return nil, err
		case isWhiteout(&f.st):
			return nil, nil
		}
		return f, nil
	}
	return nil, nil
}

// move opens the directories that are merged at path, from where it was if that is above.
func (l *lowers) move(path string) error {
	rest := path
	if l.has && below(path, l.at) {
		rest = strings.TrimPrefix(path[len(l.at):], "/")
	} else {
		l.close()
		for _, d := range l.dirs {
			fd, err := openLow(int(d.Fd()), ".")
			if err != nil {
				return fmt.Errorf("opening the layer %s: %w", d.Name(), err)
			}
			l.open = append(l.open, fd)
		}
	}
	for rest != "" && len(l.open) > 0 {
		var c string
		c, rest, _ = strings.Cut(rest, "/")
		next, err := l.enter(c)
		closeFDs(l.open)
		l.open = next
		if err != nil {
			return err
		}
	}
	l.at, l.has = path, true
	return nil
}

// enter opens the directories that are merged as c in those that are open.
func (l *lowers) enter(c string) (next []int, err error) {
	for _, fd := range l.open {
		var st unix.Stat_t
		switch err := unix.Fstatat(fd, c, &st, unix.AT_SYMLINK_NOFOLLOW); {
		case err == unix.ENOENT:
			continue
		case err != nil:
			return next, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR { // whiteouts too
			break
		}
		sub, err := openLow(fd, c)
		if err != nil {
			return next, err
		}
		next = append(next, sub)
		v, err := readXattr(sub, l.opaque)
		if err != nil && err != unix.ENODATA && err != unix.ENOTSUP {
			return next, err
		}
		if err == nil && string(v) == "y" {
			break
		}
	}
	return next, nil
}

// close closes what find keeps.
func (l *lowers) close() {
	closeFDs(l.open)
	l.at, l.open, l.has = "", nil, false
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// lower finds a path, of something in p, in the lower layers, unless this archive hides them there.
func (x *extractor) lower(p *dir, path string) (*lowFile, error) {
	if len(x.lowers.dirs) == 0 {
		return nil, nil
	}
	p.pins++
	defer func() { p.pins-- }()
	if cut, err := x.cutOff(p); err != nil || cut {
		return nil, err
	}
	return x.lowers.find(path)
}

// cutOff says whether p or a directory of this archive above it hides what the lower layers have.
// It is kept in p, which its children ask: a name a thousand directories deep would otherwise
// have them all opened a thousand times.
func (x *extractor) cutOff(p *dir) (cut bool, err error) {
	for d := p; ; {
		if d.looked == x.opaques {
			cut = d.cut
			break
		}
		switch v, err := readXattr(d.fd, x.opaqueXattr()); {
		case err == nil && string(v) == "y":
			cut = true
		case err != nil && err != unix.ENODATA && err != unix.ENOTSUP:
			return false, fmt.Errorf("reading the attributes of %s: %w", quote(d.path), err)
		}
		if cut || d.path == "" {
			break
		}
		up, _ := splitPath(d.path)
		if d, err = x.at(up); err != nil {
			return false, fmt.Errorf("opening %s: %w", quote(up), err)
		}
	}
	p.looked, p.cut = x.opaques, cut
	return cut, nil
}
