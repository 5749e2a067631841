package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/unpack"
)

// ChangeKind is what happened to a path, with Docker's numbers.
type ChangeKind int

// The kinds of changes.
const (
	Modified ChangeKind = iota
	Added
	Deleted
)

// String is the letter that `docker diff` shows.
func (k ChangeKind) String() string { return "CAD"[k : k+1] }

// Change is one difference between a writable layer and what is below it.
type Change struct {
	Kind ChangeKind
	Path string // absolute in the container
}

// maxChangePath is the longest path that a lower layer can have (unpack refuses longer ones).
const maxChangePath = unix.PathMax - 1

// ChangesWritable tells fn what is different in a writable layer from its parent, a directory
// before what is in it. What is different is Docker's: kind, mode, owner, device, capabilities; of files,
// also size and time; a directory with changes below it is Modified. Added files and directories of leaveOut (paths
// without a slash at either end) are not told of when they are empty. A container may be writing meanwhile.
func (s *Snapshotter) ChangesWritable(ctx context.Context, parent string, dir *os.File, leaveOut map[string]bool, fn func(Change) error) error {
	err := s.changes(ctx, parent, dir, leaveOut, fn)
	if err != nil {
		return fmt.Errorf("compare the writable layer in %s with snapshot %q: %w", dir.Name(), parent, err)
	}
	return nil
}

func (s *Snapshotter) changes(ctx context.Context, parent string, dir *os.File, leaveOut map[string]bool, fn func(Change) error) error {
	v := &changeVisitor{lower: -1, tell: fn, whole: true, leaveOut: leaveOut}
	if parent != "" {
		lower, err := s.MountParent(ctx, parent, MountOptions{})
		if err != nil {
			return err
		}
		defer lower.Close()
		v.lower = int(lower.Fd())
	}
	if d, ok := s.driver.(stacked); ok {
		fs, _, _ := d.overlay()
		v.whole, v.opaque = false, fs.xattr("opaque")
	}
	upper, err := openPath(int(dir.Fd()), upperName)
	if err != nil {
		return err
	}
	defer unix.Close(upper)
	if err := v.deleted(upper); err != nil {
		return err
	}
	return walkTree(ctx, upper, true, v)
}

// xattr is the full name of one of overlayfs' own attributes.
func (o *overlayfs) xattr(name string) string {
	if o.userXattr {
		return "user.overlay." + name
	}
	return "trusted.overlay." + name
}

// changeVisitor sees an upper directory and looks up each name below.
type changeVisitor struct {
	lower    int // root of the tree below, -1 for none
	tell     func(Change) error
	whole    bool   // the tree is a whole one, as if every directory were opaque
	opaque   string // the attribute
	leaveOut map[string]bool
	above    []ancestor
}

// ancestor is a directory on the way down.
type ancestor struct {
	name string
	told bool
}

func (v *changeVisitor) path(name string) string {
	var b strings.Builder
	for _, a := range v.above {
		b.WriteString("/" + a.name)
	}
	if name != "" {
		b.WriteString("/" + name)
	}
	return b.String()
}

// report tells a change of name in the current directory, after the directories above it.
func (v *changeVisitor) report(kind ChangeKind, name string) error {
	for i := range v.above {
		if a := &v.above[i]; !a.told {
			a.told = true
			if err := v.tell(Change{Modified, (&changeVisitor{above: v.above[:i]}).path(a.name)}); err != nil {
				return err
			}
		}
	}
	return v.tell(Change{kind, v.path(name)})
}

// below opens the directory of the lower tree that is under the current one: -1, there is none.
func (v *changeVisitor) below() (int, error) {
	path := strings.TrimPrefix(v.path(""), "/")
	if v.lower < 0 || len(path) > maxChangePath {
		return -1, nil
	}
	if path == "" {
		path = "."
	}
	fd, err := linux.OpenBeneath(v.lower, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return -1, nil // ELOOP: a link is there now
	}
	return fd, err
}

// compare says what happened to a name of the current directory; same: nothing.
func (v *changeVisitor) compare(parent int, name string, st *unix.Stat_t) (kind ChangeKind, same bool, err error) {
	dir, err := v.below()
	if err != nil {
		return 0, false, err
	}
	added := func() (ChangeKind, bool, error) {
		path := strings.TrimPrefix(v.path(name), "/")
		return Added, v.leaveOut[path] && unpack.IsEmpty(parent, name, st), nil
	}
	if dir < 0 {
		return added()
	}
	defer unix.Close(dir)
	var low unix.Stat_t
	if err := unix.Fstatat(dir, name, &low, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if err == unix.ENOENT {
			return added()
		}
		return 0, false, err
	}
	if low.Mode != st.Mode || low.Uid != st.Uid || low.Gid != st.Gid || low.Rdev != st.Rdev {
		return Modified, false, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && (low.Mtim != st.Mtim || low.Size != st.Size) {
		return Modified, false, nil
	}
	a, err := capability(dir, name)
	if err != nil {
		return 0, false, err
	}
	b, err := capability(parent, name)
	return Modified, a == b, err
}

// capability reads security.capability of a file.
func capability(dir int, name string) (string, error) {
	buf := make([]byte, 64)
	n, err := linux.Lgetxattr(dir, name, "security.capability", buf)
	switch {
	case err == nil:
		return string(buf[:n]), nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOENT):
		return "", nil
	}
	return "", err
}

func (v *changeVisitor) enter(parent, dir int, name string, st *unix.Stat_t) error {
	kind, same, err := v.compare(parent, name, st)
	if err != nil {
		return err
	}
	if !same {
		if err := v.report(kind, name); err != nil {
			return err
		}
	}
	v.above = append(v.above, ancestor{name, !same})
	return v.deleted(dir)
}

func (v *changeVisitor) leave(int, *unix.Stat_t) error {
	if n := len(v.above); n > 0 {
		v.above = v.above[:n-1]
	}
	return nil
}

func (v *changeVisitor) file(parent int, name string, st *unix.Stat_t) error {
	if !v.whole && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return v.report(Deleted, name)
	}
	kind, same, err := v.compare(parent, name, st)
	if err != nil || same {
		return err
	}
	return v.report(kind, name)
}

// deleted tells the names that the tree below has in the current directory and dir, an opaque one,
// has not.
func (v *changeVisitor) deleted(dir int) error {
	if !v.whole {
		buf := make([]byte, 8)
		n, err := linux.Lgetxattr(dir, ".", v.opaque, buf)
		if err != nil || n != 1 || buf[0] != 'y' {
			return nil // without the attribute, or without any: not opaque
		}
	}
	low, err := v.below()
	if err != nil || low < 0 {
		return err
	}
	defer unix.Close(low)
	entries, err := linux.ReadDir(low)
	if err != nil {
		return err
	}
	var gone []string
	for _, e := range entries {
		var st unix.Stat_t
		switch err := unix.Fstatat(dir, e.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err {
		case nil:
		case unix.ENOENT:
			gone = append(gone, e.Name)
		default:
			return err
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		if err := v.report(Deleted, name); err != nil {
			return err
		}
	}
	return nil
}

// DiffWritable writes a writable layer as the tar of an image layer: what changed above its
// parent.
func (s *Snapshotter) DiffWritable(ctx context.Context, parent string, dir *os.File, w io.Writer, o unpack.WriteOptions) (st unpack.WriteStats, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write the writable layer in %s: %w", dir.Name(), err)
		}
	}()
	fd, err := linux.OpenBeneath(int(dir.Fd()), upperName, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return st, err
	}
	upper := os.NewFile(uintptr(fd), dir.Name()+"/"+upperName)
	defer upper.Close()
	switch d, ok := s.driver.(stacked); {
	case parent == "":
		return unpack.Write(ctx, w, upper, o)
	case ok:
		fs, _, _ := d.overlay()
		return unpack.DiffUpper(ctx, w, upper, fs.userXattr, o)
	}
	lower, err := s.MountParent(ctx, parent, MountOptions{})
	if err != nil {
		return st, err
	}
	defer lower.Close()
	return unpack.Diff(ctx, w, lower, upper, o)
}
