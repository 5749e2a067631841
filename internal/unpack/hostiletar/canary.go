package hostiletar

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// Token is in every file of a canary; it must not be seen in any root.
const Token = "canary-7f3a9c51"

// Canary is a directory of files that lies outside of every root.
type Canary struct {
	Path   string // absolute
	before string
}

// NewCanary makes the directory "canary" in dir. Roots for archives belong beside it, in dir, so
// that "../canary" leads there from them.
func NewCanary(dir string) (*Canary, error) {
	path := filepath.Join(dir, "canary")
	for _, d := range []string{path, filepath.Join(path, "dir")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{"file", "dir/file", "x", "passwd"} {
		if err := os.WriteFile(filepath.Join(path, f), []byte(Token), 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink("file", filepath.Join(path, "link")); err != nil {
		return nil, err
	}
	c := &Canary{Path: path}
	var err error
	c.before, err = c.state()
	return c, err
}

// Check is an error if anything changed: a name, content, mode, owner, time, number of links.
func (c *Canary) Check() error {
	now, err := c.state()
	if err != nil {
		return err
	}
	if now != c.before {
		return fmt.Errorf("the canary %s was touched:\n%s\nwas:\n%s", c.Path, now, c.before)
	}
	return nil
}

func (c *Canary) state() (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(c.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %o %d:%d links %d size %d mtime %v ctime %v", path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim, st.Ctim)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	})
	return b.String(), err
}

// List describes what is in a root, a line each, sorted: kind, mode, path as %q, and the target of a link, the
// size and the first bytes of a file, or the device. Whiteouts of overlayfs are "whiteout".
// It is an error if the token of a canary is in a file.
func List(root string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		line, err := describe(path, info)
		if err != nil {
			return err
		}
		rel := path[len(root)+1:]
		if len(rel) > 300 {
			rel = fmt.Sprintf("%s…(%d)", rel[:40], len(rel))
		}
		out = append(out, fmt.Sprintf(line, rel))
		return nil
	})
	sort.Strings(out)
	return out, err
}

// describe returns a format with one verb, for the path.
func describe(path string, info fs.FileInfo) (string, error) {
	st := info.Sys().(*syscall.Stat_t)
	perm := fmt.Sprintf("%04o", st.Mode&0o7777)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return "dir " + perm + " %q", nil
	case syscall.S_IFLNK:
		to, err := os.Readlink(path)
		return "link %q -> " + strings.ReplaceAll(fmt.Sprintf("%q", to), "%", "%%"), err
	case syscall.S_IFIFO:
		return "fifo " + perm + " %q", nil
	case syscall.S_IFCHR:
		if st.Rdev == 0 {
			return "whiteout %q", nil
		}
		return "char " + perm + " %q", nil
	case syscall.S_IFBLK:
		return "block " + perm + " %q", nil
	case syscall.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		head := make([]byte, 4096)
		n, _ := f.Read(head)
		if strings.Contains(string(head[:n]), Token) {
			return "", errors.New(path + " has the canary's content")
		}
		return fmt.Sprintf("file %s %%q links %d size %d ", perm, st.Nlink, st.Size) + strings.ReplaceAll(fmt.Sprintf("%q", head[:min(n, 12)]), "%", "%%"), nil
	}
	return "other %q", nil
}
