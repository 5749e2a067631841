package snapshot

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/linux"
)

// imageID is a UUID (version 8) for the image of a snapshot.
func imageID(name string) (id [16]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// imageVisitor writes a tree into an image.
type imageVisitor struct {
	w         *erofs.Writer
	stack     []*erofs.Node
	links     map[uint64]*erofs.Node // by inode number, files with several names
	userXattr bool
}

// root gives the image's root the attributes of a directory.
func (v *imageVisitor) root(dir int) error {
	fd, err := linux.OpenBeneath(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m, err := v.dirMeta(fd, &st)
	if err != nil {
		return err
	}
	v.stack = []*erofs.Node{v.w.Root()}
	return v.w.SetMeta(v.w.Root(), m)
}

func (v *imageVisitor) top() *erofs.Node { return v.stack[len(v.stack)-1] }

func (v *imageVisitor) enter(_, dir int, name string, st *unix.Stat_t) error {
	m, err := v.dirMeta(dir, st)
	if err != nil {
		return err
	}
	n, err := v.w.Add(v.top(), name, m, nil)
	if err != nil {
		return err
	}
	v.stack = append(v.stack, n)
	return nil
}

func (v *imageVisitor) leave(int, *unix.Stat_t) error {
	v.stack = v.stack[:len(v.stack)-1]
	return nil
}

func (v *imageVisitor) file(parent int, name string, st *unix.Stat_t) (err error) {
	if st.Nlink > 1 {
		if n := v.links[st.Ino]; n != nil {
			return v.w.Link(v.top(), name, n)
		}
	}
	m := meta(st)
	var n *erofs.Node
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n, err = v.regular(parent, name, st, m)
	case unix.S_IFLNK:
		if m.Target, err = readlink(parent, name, st.Size); err != nil {
			return err
		}
		fallthrough
	default:
		m.Xattrs, err = v.xattrs(
			func(buf []byte) (int, error) { return linux.Llistxattr(parent, name, buf) },
			func(attr string, buf []byte) (int, error) { return linux.Lgetxattr(parent, name, attr, buf) })
		if err == nil {
			n, err = v.w.Add(v.top(), name, m, nil)
		}
	}
	if err != nil {
		return err
	}
	if st.Nlink > 1 {
		v.links[st.Ino] = n
	}
	return nil
}

func (v *imageVisitor) regular(parent int, name string, st *unix.Stat_t, m erofs.Meta) (*erofs.Node, error) {
	fd, err := openRegular(parent, name, st)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if m.Xattrs, err = v.fdXattrs(fd); err != nil {
		return nil, err
	}
	m.Size = st.Size
	return v.w.Add(v.top(), name, m, &reader{fd: fd})
}

func (v *imageVisitor) dirMeta(fd int, st *unix.Stat_t) (m erofs.Meta, err error) {
	m = meta(st)
	m.Xattrs, err = v.fdXattrs(fd)
	return m, err
}

func meta(st *unix.Stat_t) erofs.Meta {
	m := erofs.Meta{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)}
	if f := st.Mode & unix.S_IFMT; f == unix.S_IFCHR || f == unix.S_IFBLK {
		m.Major, m.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return m
}

func (v *imageVisitor) fdXattrs(fd int) ([]erofs.Xattr, error) {
	return v.xattrs(
		func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Fgetxattr(fd, attr, buf) })
}

func (v *imageVisitor) xattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) ([]erofs.Xattr, error) {
	names, err := xattrNames(list)
	if err != nil {
		return nil, err
	}
	own := "trusted.overlay."
	if v.userXattr {
		own = "user.overlay."
	}
	var out []erofs.Xattr
	for _, name := range names {
		if !erofs.Representable(name) || strings.HasPrefix(name, own) && !keptOverlayXattr(name) {
			continue
		}
		value, err := xattrValue(func(buf []byte) (int, error) { return get(name, buf) })
		if err != nil {
			return nil, fmt.Errorf("getxattr %s: %w", name, err)
		}
		out = append(out, erofs.Xattr{Name: name, Value: value})
	}
	return out, nil
}
