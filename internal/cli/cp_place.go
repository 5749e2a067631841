package cli

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// place is the source or the destination of a copy.
type place struct {
	path   string
	exists bool
	dir    bool
}

// maxLinks is how many links lead to a destination at most.
const maxLinks = 10

// splitEntry cuts a path into its directory and its last part, which is "." if the path says so.
func splitEntry(name string) (dir, base string) {
	clean := path.Clean(name)
	if path.Base(name) == "." {
		clean += "/."
	}
	// Not path.Dir: it would take the "." away.
	i := strings.LastIndexByte(clean, '/')
	switch {
	case clean == "/":
		return "/", "/"
	case i < 0:
		return ".", clean
	case i == 0:
		return "/", clean[1:]
	}
	return clean[:i], clean[i+1:]
}

// destination says into which directory an archive of src goes, and what its first part is to be
// called there; "" leaves it its name.
func destination(src, dst place) (dir, name string, err error) {
	parent, base := splitEntry(dst.path)
	switch {
	case dst.exists && dst.dir:
		return dst.path, "", nil
	case dst.exists && src.dir:
		return "", "", errors.New("cannot copy directory")
	case !dst.exists && !src.dir && (strings.HasSuffix(dst.path, "/") || base == "."):
		return "", "", errors.New("no such directory")
	}
	return parent, base, nil
}

// renamed joins the end of a path, "/" or "/.", to what the path's link leads to, and says which
// name the user used, if it is another.
func renamed(name, resolved string) (target, rename string) {
	if path.Base(name) == "." && path.Base(resolved) != "." {
		resolved += "/."
	}
	if strings.HasSuffix(name, "/") && !strings.HasSuffix(resolved, "/") {
		resolved += "/"
	}
	if path.Base(name) != path.Base(resolved) {
		rename = path.Base(name)
	}
	return resolved, rename
}

// localSource looks at what is to be copied from the user's files. Links on the way to it are
// followed; it itself is with follow, or when the path ends with a slash.
func localSource(name string, follow bool) (src place, rename string, err error) {
	if follow {
		resolved, err := filepath.EvalSymlinks(name)
		if err != nil {
			return src, "", err
		}
		src.path, rename = renamed(name, resolved)
	} else {
		dir, base := filepath.Split(name)
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return src, "", err
		}
		src.path = strings.TrimSuffix(dir, "/") + "/" + base
		if strings.HasSuffix(name, "/") && filepath.Base(name) != filepath.Base(src.path) {
			rename = filepath.Base(name)
		}
	}
	st, err := os.Lstat(src.path)
	if err != nil {
		return src, "", err
	}
	src.exists, src.dir = true, st.IsDir()
	return src, rename, nil
}

// localTarget looks at where a copy goes; links are followed, also one that leads to nothing yet.
func localTarget(name string) (place, error) {
	target := name
	for range maxLinks + 1 {
		st, err := os.Lstat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			parent, _ := splitEntry(target)
			st, err := os.Stat(parent)
			if err == nil && !st.IsDir() {
				err = errors.New("not a directory")
			}
			return place{path: target}, err
		case err != nil:
			return place{}, err
		case st.Mode()&fs.ModeSymlink == 0:
			return place{path: target, exists: true, dir: st.IsDir()}, nil
		}
		link, err := os.Readlink(target)
		if err != nil {
			return place{}, err
		}
		if !filepath.IsAbs(link) {
			parent, _ := splitEntry(target)
			link = filepath.Join(parent, link)
		}
		target = link
	}
	return place{}, errors.New("too many symlinks in " + name)
}
