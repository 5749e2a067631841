package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// found is a file of a View: base in the open directory parent, which its Stat is of.
type found struct {
	parent int
	base   string
	name   string // for archives and for people
	st     unix.Stat_t
}

func (f *found) close() { unix.Close(f.parent) }

func (f *found) is(kind uint32) bool { return f.st.Mode&unix.S_IFMT == kind }

// find resolves a path: links above its last component are followed, and that one too if the path
// ends with "/" or "/.".
func (v *View) find(p string) (f *found, err error) {
	if len(p) >= unix.PathMax || strings.ContainsRune(p, 0) {
		return nil, errdefs.ErrInvalidArgument.WithMessage("the path is too long, or has a zero byte")
	}
	follow := strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || p == "." || p == ""
	clean := path.Join("/", p)
	dir, base := path.Split(clean)
	f = &found{base: base, name: base}
	if follow || base == "" {
		// The directory itself, by its own descriptor.
		dir, f.base = clean, "."
		if strings.HasSuffix(p, "/.") || p == "." {
			f.name = "."
		}
		if base == "" {
			f.name = "/"
		}
	}
	if f.parent, err = openIn(int(v.root.Fd()), dir, unix.O_PATH|unix.O_DIRECTORY); err == nil {
		if err = unix.Fstatat(f.parent, f.base, &f.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			f.close()
		}
	}
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Could not find the file %s in the container", p))
	}
	return nil, fmt.Errorf("look for %s in the container: %w", p, err)
}

// Stat describes a file, a link itself where the path does not end with "/" or "/.".
func (v *View) Stat(p string) (container.PathStat, error) {
	f, err := v.find(p)
	if err != nil {
		return container.PathStat{}, err
	}
	defer f.close()
	return v.describe(f, p)
}

func (v *View) describe(f *found, p string) (container.PathStat, error) {
	s := container.PathStat{Name: f.name, Size: f.st.Size, Mode: fileMode(f.st.Mode), Mtime: time.Unix(f.st.Mtim.Unix())}
	if f.is(unix.S_IFLNK) {
		s.LinkTarget = v.target(path.Join("/", p))
	}
	return s, nil
}

// fileMode is a mode in Go's form, which the API has.
func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	}
	for bit, flag := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if m&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// maxLinks is the kernel's own bound of links in one path (path_resolution(7)).
const maxLinks = 40

// target is where a link leads in the end, as far as that is there: a path for the client to ask
// for, which is resolved anew when it does.
func (v *View) target(link string) string {
	done, rest := "/", strings.Split(strings.TrimPrefix(link, "/"), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, name)
		to, ok := v.readLink(done, name)
		if !ok {
			done = next
			continue
		}
		if links++; links > maxLinks || len(to) == 0 {
			return next
		}
		if path.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done
}

// readLink reads a link in a directory whose path has none.
func (v *View) readLink(dir, name string) (string, bool) {
	fd, err := openIn(int(v.root.Fd()), dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	var n int
	err = linux.Retry(func() (err error) { n, err = unix.Readlinkat(fd, name, buf); return err })
	if err != nil || n == len(buf) {
		return "", false
	}
	return string(buf[:n]), true
}
