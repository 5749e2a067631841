package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// copyTree copies the tree src into the empty directory dst: modes, owners, times, extended
// attributes, holes, devices, and hard links among the tree's own files. No file of dst is a file
// of src; on a file system with reflinks they share blocks. scratch is a directory beside dst.
func copyTree(ctx context.Context, dst, src, scratch int) error {
	if err := unix.Mkdirat(scratch, "links", 0o700); err != nil {
		return fmt.Errorf("mkdir links: %w", err)
	}
	links, err := linux.OpenBeneath(scratch, "links", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(links)
	at, err := linux.OpenBeneath(dst, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	c := &copier{at: at, links: links}
	defer func() { unix.Close(c.at) }()
	if err := walkTree(ctx, src, false, c); err != nil {
		return err
	}
	// The extra names count in st_nlink, so they are gone before the copy is seen.
	entries, err := linux.ReadDir(links)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := unix.Unlinkat(links, e.Name, 0); err != nil {
			return fmt.Errorf("unlink links/%s: %w", e.Name, err)
		}
	}
	return unix.Unlinkat(scratch, "links", unix.AT_REMOVEDIR)
}

// copier is a visitor that makes in at, a directory of the copy, what it sees in the original. The
// copy is nobody else's: ".." leads back.
type copier struct {
	at    int
	links int // directory with one name for each file with several, by its inode number
	depth int
	buf   []byte
}

func (c *copier) enter(_, _ int, name string, _ *unix.Stat_t) error {
	if err := unix.Mkdirat(c.at, name, 0o700); err != nil {
		return err
	}
	fd, err := unix.Openat(c.at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	unix.Close(c.at)
	c.at = fd
	c.depth++
	return nil
}

func (c *copier) leave(dir int, st *unix.Stat_t) error {
	if err := copyAttributes(c.at, dir, st, nil); err != nil {
		return err
	}
	if c.depth == 0 {
		return nil
	}
	fd, err := unix.Openat(c.at, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	unix.Close(c.at)
	c.at = fd
	c.depth--
	return nil
}

func (c *copier) file(parent int, name string, st *unix.Stat_t) error {
	shared := ""
	if st.Nlink > 1 {
		shared = strconv.FormatUint(st.Ino, 10)
		err := unix.Linkat(c.links, shared, c.at, name, 0)
		if err != unix.ENOENT {
			return err
		}
	}
	if err := c.copyFile(parent, name, st); err != nil {
		return err
	}
	if shared != "" {
		return unix.Linkat(c.at, name, c.links, shared, 0)
	}
	return nil
}

func (c *copier) copyFile(parent int, name string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		src, err := openRegular(parent, name, st)
		if err != nil {
			return err
		}
		defer unix.Close(src)
		dst, err := unix.Openat(c.at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		defer unix.Close(dst)
		if err := c.copyData(dst, src, st.Size); err != nil {
			return err
		}
		return copyAttributes(dst, src, st, nil)
	case unix.S_IFLNK:
		target, err := readlink(parent, name, st.Size)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, c.at, name); err != nil {
			return err
		}
	case unix.S_IFCHR, unix.S_IFBLK, unix.S_IFIFO, unix.S_IFSOCK:
		if err := unix.Mknodat(c.at, name, st.Mode, int(st.Rdev)); err != nil {
			return err
		}
	}
	return copyLinkAttributes(c.at, parent, name, st)
}

// copyData copies size bytes but for holes. copy_file_range(2) shares blocks where the file system
// can, as FICLONE does.
func (c *copier) copyData(dst, src int, size int64) error {
	in, out := reader{fd: src}, dst
	for in.off < size {
		if _, err := in.SkipHole(size - in.off); err != nil {
			return err
		}
		if in.off >= size {
			break
		}
		n, err := unix.CopyFileRange(src, &in.off, out, ptr(in.off), int(min(size-in.off, in.end-in.off, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EXDEV || err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			if err := c.copyBytes(&in, out); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
	}
	return unix.Ftruncate(dst, size)
}

func ptr(off int64) *int64 { return &off }

// copyBytes copies up to 1 MiB by reading and writing.
func (c *copier) copyBytes(in *reader, out int) error {
	if c.buf == nil {
		c.buf = make([]byte, 1<<20)
	}
	at := in.off
	n, err := in.Read(c.buf)
	if err != nil {
		return err
	}
	for p := c.buf[:n]; len(p) > 0; {
		w, err := unix.Pwrite(out, p, at)
		if err != nil && err != unix.EINTR {
			return err
		}
		w = max(w, 0)
		p, at = p[w:], at+int64(w)
	}
	return nil
}

// openRegular opens a regular file that st was taken of.
func openRegular(parent int, name string, st *unix.Stat_t) (int, error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil || now.Ino != st.Ino || now.Dev != st.Dev || now.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, errors.Join(err, errors.New("it was replaced while the tree was read"))
	}
	return fd, nil
}

func readlink(parent int, name string, size int64) (string, error) {
	buf := make([]byte, min(max(size, 64), unix.PathMax)+1)
	n, err := unix.Readlinkat(parent, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// reader reads a regular file and knows its holes (erofs.Holes).
type reader struct {
	fd       int
	off, end int64 // data is known from off to end
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Pread(r.fd, p, r.off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		r.off += int64(n)
		return n, nil
	}
}

// SkipHole moves to the next data, at most limit bytes, in steps of 4096 bytes or to the limit.
func (r *reader) SkipHole(limit int64) (int64, error) {
	if r.off < r.end || limit <= 0 {
		return 0, nil
	}
	data, err := unix.Seek(r.fd, r.off, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // a hole up to the end
		data = r.off + limit
	case err != nil: // the file system does not know
		r.end = math.MaxInt64
		return 0, nil
	}
	if data-r.off >= limit {
		r.off += limit
		return limit, nil
	}
	if r.end, err = unix.Seek(r.fd, data, unix.SEEK_HOLE); err != nil {
		r.end = data + 1
	}
	n := (data - r.off) &^ 4095
	r.off += n
	return n, nil
}

// copyAttributes gives the file or directory dst the owner, extended attributes (those that keep
// takes; nil: all), mode and times of src. Both are open.
func copyAttributes(dst, src int, st *unix.Stat_t, keep func(string) bool) error {
	// The owner first: chown clears set-id bits and capabilities.
	if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	names, err := xattrNames(func(buf []byte) (int, error) { return unix.Flistxattr(src, buf) })
	if err != nil {
		return err
	}
	for _, name := range names {
		if keep != nil && !keep(name) {
			continue
		}
		value, err := xattrValue(func(buf []byte) (int, error) { return unix.Fgetxattr(src, name, buf) })
		if err != nil {
			return fmt.Errorf("getxattr %s: %w", name, err)
		}
		if err := unix.Fsetxattr(dst, name, value, 0); err != nil && !ignorable(name, err) {
			return fmt.Errorf("setxattr %s: %w", name, err)
		}
	}
	if err := unix.Fchmod(dst, st.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	return unix.UtimesNanoAt(dst, "", []unix.Timespec{st.Atim, st.Mtim}, unix.AT_EMPTY_PATH)
}

// copyLinkAttributes does the same for what is not opened: links, devices, FIFOs, sockets.
func copyLinkAttributes(dst, src int, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("chown: %w", err)
	}
	names, err := xattrNames(func(buf []byte) (int, error) { return linux.Llistxattr(src, name, buf) })
	if err != nil {
		return err
	}
	for _, attr := range names {
		value, err := xattrValue(func(buf []byte) (int, error) { return linux.Lgetxattr(src, name, attr, buf) })
		if err != nil {
			return fmt.Errorf("getxattr %s: %w", attr, err)
		}
		if err := linux.Lsetxattr(dst, name, attr, value); err != nil && !ignorable(attr, err) {
			return fmt.Errorf("setxattr %s: %w", attr, err)
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		// mknod took the umask off. The file is ours and no link, so chmod follows none.
		if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
			return fmt.Errorf("chmod: %w", err)
		}
	}
	return unix.UtimesNanoAt(dst, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// ignorable: labels of a security module that is not there, or that sets its own.
func ignorable(name string, err error) bool {
	return (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM)) && (name == "security.selinux" || name == "security.ima" || name == "security.evm")
}

func xattrNames(list func([]byte) (int, error)) ([]string, error) {
	buf, err := grow(list)
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listxattr: %w", err)
	}
	if len(buf) == 0 {
		return nil, nil
	}
	return strings.Split(string(bytes.TrimSuffix(buf, []byte{0})), "\x00"), nil
}

func xattrValue(get func([]byte) (int, error)) ([]byte, error) { return grow(get) }

// grow calls f with a buffer that is large enough: 64 KiB is the kernel's limit (XATTR_SIZE_MAX).
func grow(f func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size = 64 << 10 {
		buf := make([]byte, size)
		n, err := f(buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ERANGE && size < 64<<10:
			continue
		case err != nil:
			return nil, err
		}
		return buf[:n], nil
	}
}

var _ io.Reader = (*reader)(nil)
