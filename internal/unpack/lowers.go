package unpack

import (
	"fmt"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/linux"
	"golang.org/x/sys/unix"
)

// lowers are the layers below as overlayfs would stack them, topmost first.
type lowers struct {
	dirs   []*os.File
	opaque string // the xattr
}

// lowFile is something in the lower layers: base in the open directory parent.
type lowFile struct {
	parent int
	base   string
	st     unix.Stat_t
}

func (f *lowFile) close() { unix.Close(f.parent) }

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
	var open []int // the directories that are merged at this level, topmost first
	defer func() {
		for _, fd := range open {
			unix.Close(fd)
		}
	}()
	for _, d := range l.dirs {
		fd, err := openLow(int(d.Fd()), ".")
		if err != nil {
			return nil, fmt.Errorf("opening the layer %s: %w", d.Name(), err)
		}
		open = append(open, fd)
	}
	for rest := path; ; {
		var c string
		var more bool
		c, rest, more = strings.Cut(rest, "/")
		var next []int
		found := false
		fail := func(err error) (*lowFile, error) {
			for _, fd := range next {
				unix.Close(fd)
			}
			return nil, err
		}
	level:
		for i, fd := range open {
			var st unix.Stat_t
			err := unix.Fstatat(fd, c, &st, unix.AT_SYMLINK_NOFOLLOW)
			if err == unix.ENOENT {
				continue
			}
			if err != nil {
				return fail(err)
			}
			if isWhiteout(&st) {
				break
			}
			isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
			if !more && !found {
				found = true
				open = append(open[:i], open[i+1:]...)
				return &lowFile{parent: fd, base: c, st: st}, nil
			}
			if !isDir {
				if !found {
					return fail(nil) // a file where a directory is looked for
				}
				break
			}
			found = true
			sub, err := openLow(fd, c)
			if err != nil {
				return fail(err)
			}
			next = append(next, sub)
			switch v, err := readXattr(sub, l.opaque); {
			case err == nil && string(v) == "y":
				break level
			case err != nil && err != unix.ENODATA && err != unix.ENOTSUP:
				return fail(err)
			}
		}
		for _, fd := range open {
			unix.Close(fd)
		}
		open = next
		if len(open) == 0 {
			return nil, nil
		}
	}
}

// lower finds a path in the lower layers, unless this archive hides them there.
func (x *extractor) lower(p *dir, path string) (*lowFile, error) {
	p.pins++
	defer func() { p.pins-- }()
	if cut, err := x.cutOff(path); err != nil || cut {
		return nil, err
	}
	return x.lowers.find(path)
}

// cutOff says whether a directory of this archive above path hides what the lower layers have.
func (x *extractor) cutOff(path string) (bool, error) {
	for p, _ := splitPath(path); ; p, _ = splitPath(p) {
		d, err := x.at(p)
		if err != nil {
			return false, fmt.Errorf("opening %s: %w", quote(p), err)
		}
		switch v, err := readXattr(d.fd, x.opaqueXattr()); {
		case err == nil && string(v) == "y":
			return true, nil
		case err != nil && err != unix.ENODATA && err != unix.ENOTSUP:
			return false, fmt.Errorf("reading the attributes of %s: %w", quote(p), err)
		}
		if p == "" {
			return false, nil
		}
	}
}
