package unpack

import (
	"archive/tar"
	"bufio"
	"context"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// WriteOptions of Write, Diff and DiffUpper.
type WriteOptions struct {
	// Compression is "" for none, "gzip" or "zstd"; Level is the compressor's own, 0 its default.
	Compression string
	Level       int
	// UIDMap and GIDMap turn ids on the disk back into those of the archive, as Extract's
	// options of the same maps turned them. An id outside is an error.
	UIDMap, GIDMap []IDMap
	// Content makes Diff read both files when size and time agree; without it they are
	// taken for equal unless both times are whole seconds.
	Content bool
	// Unmapped, if set, is written as the owner of files whose user or group is outside of the maps.
	Unmapped *Owner
	// Mounts goes into file systems that are mounted in the tree, but for those that show the kernel (proc, sysfs,
	// cgroup and the like): of these only the directory is written. Without it, a mount is an error.
	Mounts bool
	// Plain: the archive is no layer, so a name that begins with ".wh." is one like others.
	Plain bool
	// LeaveOut are paths, without a slash at either end, of files and directories that stay out
	// when they are empty: the mount points that a runtime made.
	LeaveOut map[string]bool
}

// WriteStats of one archive.
type WriteStats struct {
	// Bytes of the tar stream, StreamBytes of what was written: the same without compression.
	Bytes, StreamBytes int64
	Entries            int64
	// Skipped: sockets, which tar cannot hold. Changed: files that changed while they were
	// read; each has the size that it had at first.
	Skipped, Changed int64
	DiffID, Digest   Sum
}

// Write writes the tree in dir to w as a layer: the root as "./", then each directory's files
// in order of their names' bytes, then its directories, so that the same tree always gives
// the same bytes. A symbolic link is never followed, whatever others do to the tree meanwhile.
func Write(ctx context.Context, w io.Writer, dir *os.File, o WriteOptions) (WriteStats, error) {
	return writeArchive(ctx, w, o, func(t *treeWriter) error {
		t.root = dir
		if err := t.directory("", true); err != nil {
			return err
		}
		return t.tree("")
	})
}

// WriteTree writes the tree in dir with prefix before each name: "PREFIX/" is dir itself. Prefix "." makes
// the names of Write.
func WriteTree(ctx context.Context, w io.Writer, dir *os.File, prefix string, o WriteOptions) (WriteStats, error) {
	return writeArchive(ctx, w, o, func(t *treeWriter) error {
		t.root, t.prefix = dir, prefix+"/"
		if err := t.directory("", true); err != nil {
			return err
		}
		return t.tree("")
	})
}

// WriteFile writes an archive of one file that is not a directory: name in dir, called as.
func WriteFile(ctx context.Context, w io.Writer, dir *os.File, name, as string, o WriteOptions) (WriteStats, error) {
	return writeArchive(ctx, w, o, func(t *treeWriter) error {
		t.root = dir
		fd, err := t.open("")
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return t.entry(fd, name, as)
	})
}

// writeArchive sets the pipeline up: tar → DiffID → compressor → Digest → w.
func writeArchive(ctx context.Context, w io.Writer, o WriteOptions, walk func(t *treeWriter) error) (st WriteStats, err error) {
	fail := func(err error) (WriteStats, error) { return WriteStats{}, fmt.Errorf("write layer: %w", err) }
	if err := checkMaps(o.UIDMap, o.GIDMap); err != nil {
		return fail(err)
	}
	outer := &summed{w: w, sum: newSum()}
	var packer io.WriteCloser
	switch o.Compression {
	case "":
	case "gzip":
		level := o.Level
		if level == 0 {
			level = gzip.DefaultCompression
		}
		packer, err = gzip.NewWriterLevel(outer, level)
	case "zstd":
		level := zstd.SpeedDefault
		if o.Level != 0 {
			level = zstd.EncoderLevelFromZstd(o.Level)
		}
		packer, err = zstd.NewWriter(outer, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(2))
	default:
		err = fmt.Errorf("the compression %q is not known", o.Compression)
	}
	if err != nil {
		return fail(err)
	}
	inner := &summed{w: outer, sum: newSum()}
	if packer != nil {
		inner.w = packer
	}
	buffered := bufio.NewWriterSize(inner, 128<<10)
	t := &treeWriter{ctx: ctx, o: o, tar: tar.NewWriter(buffered), st: &st, links: make(map[inode]string)}
	err = walk(t)
	if err == nil {
		err = t.tar.Close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	if packer != nil {
		if cerr := packer.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return fail(err)
	}
	st.Bytes, st.StreamBytes = inner.n, outer.n
	inner.sum.Sum(st.DiffID[:0])
	outer.sum.Sum(st.Digest[:0])
	return st, nil
}

// summed counts and sums what goes through.
type summed struct {
	w   io.Writer
	n   int64
	sum hash.Hash
}

func (s *summed) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.n += int64(n)
	s.sum.Write(b[:n])
	return n, err
}

type inode struct{ dev, ino uint64 }

// treeWriter writes files of one tree. It holds no descriptor while it goes down, so that a tree of
// any depth can be read: a directory is opened by its path from the root, in which the kernel
// follows no link.
type treeWriter struct {
	ctx   context.Context
	o     WriteOptions
	root  *os.File
	tar   *tar.Writer
	st    *WriteStats
	links map[inode]string // files of several names that were written
	upper string           // prefix of overlayfs's xattrs, if root is an upperdir
	// prefix comes before each name in the archive.
	prefix string
	buf    []byte
}

// open opens a directory of the tree.
func (t *treeWriter) open(path string) (int, error) {
	if !t.o.Mounts {
		return openPath(t.root, path)
	}
	if path == "" {
		path = "."
	}
	if len(path) > maxPath {
		return -1, tooLong(path)
	}
	return linux.Resolve(int(t.root.Fd()), path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func tooLong(path string) error {
	return fmt.Errorf("%s: a path of more than %d bytes, which an archive cannot hold", quote(path), maxPath)
}

// openPath opens a directory of the tree.
func openPath(root *os.File, path string) (int, error) {
	if path == "" {
		path = "."
	}
	if len(path) > maxPath {
		return -1, tooLong(path)
	}
	return openLow(int(root.Fd()), path)
}

// gone says whether an error means that the tree changed under us.
func gone(err error) bool {
	return err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP || err == unix.ESTALE
}

// tree writes what is below the directory at path.
func (t *treeWriter) tree(path string) error {
	if err := t.ctx.Err(); err != nil {
		return context.Cause(t.ctx)
	}
	fd, err := t.open(path)
	if gone(err) {
		t.st.Changed++
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", quote(path), err)
	}
	if t.o.Mounts && showsKernel(fd) {
		unix.Close(fd)
		return nil
	}
	subs, err := t.level(fd, path)
	unix.Close(fd)
	if err != nil {
		return err
	}
	for _, n := range subs {
		sub := joinPath(path, n)
		if err := t.directory(sub, false); err != nil {
			return err
		}
		if err := t.tree(sub); err != nil {
			return err
		}
	}
	return nil
}

// showsKernel says whether a directory's file system has no files of its own.
func showsKernel(fd int) bool {
	var st unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(fd, &st) }); err != nil {
		return false
	}
	switch int64(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.NSFS_MAGIC, unix.SELINUX_MAGIC,
		unix.BINFMTFS_MAGIC, mqueueMagic:
		return true
	}
	return false
}

// mqueueMagic is MQUEUE_MAGIC of ipc/mqueue.c.
const mqueueMagic = 0x19800202

// level writes the whiteouts and files of an open directory, and returns the names of its directories, sorted.
func (t *treeWriter) level(fd int, path string) (subs []string, err error) {
	names, err := readNames(fd, 0)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", quote(path), err)
	}
	slices.Sort(names)
	var rest []string
	for _, n := range names {
		if strings.HasPrefix(n, whiteoutPrefix) && !t.o.Plain {
			return nil, fmt.Errorf("%s: a name that a layer keeps for whiteouts", quote(joinPath(path, n)))
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW); gone(err) {
			t.st.Changed++
			continue
		} else if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", quote(joinPath(path, n)), err)
		}
		switch {
		case t.o.LeaveOut[joinPath(path, n)] && IsEmpty(fd, n, &st):
		case t.upper != "" && isWhiteout(&st):
			if err := t.whiteout(joinPath(path, whiteoutPrefix+n)); err != nil {
				return nil, err
			}
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			subs = append(subs, n)
		default:
			rest = append(rest, n)
		}
	}
	for _, n := range rest {
		if err := t.entry(fd, n, joinPath(path, n)); err != nil {
			return nil, err
		}
	}
	return subs, nil
}

// IsEmpty says whether name in the open directory dirfd, whose attributes are st, is an empty file or
// an empty directory.
func IsEmpty(dirfd int, name string, st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return st.Size == 0
	case unix.S_IFDIR:
		fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		names, err := readNames(fd, 1)
		return err == nil && len(names) == 0
	}
	return false
}

// whiteout writes an empty file; image-spec wants them before their siblings.
func (t *treeWriter) whiteout(path string) error {
	return t.header(&tar.Header{Typeflag: tar.TypeReg, Name: t.prefix + path, Mode: 0o600})
}

// directory writes the header of the directory at path.
func (t *treeWriter) directory(path string, root bool) error {
	fd, err := t.open(path)
	if gone(err) && !root {
		t.st.Changed++
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", quote(path), err)
	}
	defer unix.Close(fd)
	return t.openDirectory(fd, path)
}

func (t *treeWriter) openDirectory(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", quote(path), err)
	}
	h, err := t.newHeader(path, &st)
	if err != nil {
		return err
	}
	h.Typeflag = tar.TypeDir
	if h.Name == "" {
		h.Name = "."
	}
	if !strings.HasSuffix(h.Name, "/") {
		h.Name += "/"
	}
	opaque, err := t.attributes(fd, path, h)
	if err != nil {
		return err
	}
	if err := t.header(h); err != nil || !opaque {
		return err
	}
	return t.whiteout(joinPath(path, opaqueName))
}

// attributes puts the extended attributes of an open file into its header. In an upperdir it says whether
// the directory is opaque, and refuses what only overlayfs could read.
func (t *treeWriter) attributes(fd int, path string, h *tar.Header) (opaque bool, err error) {
	names, err := xattrNames(fd)
	if err != nil {
		return false, fmt.Errorf("reading the extended attributes of %s: %w", quote(path), err)
	}
	for _, n := range names {
		own, ours := strings.CutPrefix(n, t.upper)
		ours = ours && t.upper != ""
		if !keepXattr(n) && !ours {
			continue
		}
		v, err := readXattr(fd, n)
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("reading the extended attribute %s of %s: %w", quote(n), quote(path), err)
		}
		switch {
		case ours && own == "opaque":
			opaque = string(v) == "y"
		case ours && (own == "metacopy" || own == "redirect" || own == "whiteout"):
			return false, fmt.Errorf("%s has overlayfs's attribute %s: the snapshot was mounted with features that a layer cannot hold", quote(path), n)
		case !ours:
			if h.PAXRecords == nil {
				h.PAXRecords = make(map[string]string)
			}
			h.PAXRecords[xattrPrefix+n] = string(v)
		}
	}
	return opaque, nil
}

// newHeader has what all kinds share.
func (t *treeWriter) newHeader(path string, st *unix.Stat_t) (*tar.Header, error) {
	if len(path) > maxPath {
		return nil, tooLong(path)
	}
	uid, ok := unmapID(t.o.UIDMap, st.Uid)
	if !ok && t.o.Unmapped != nil {
		uid, ok = t.o.Unmapped.UID, true
	}
	if !ok {
		return nil, fmt.Errorf("%s: its user %d is not in the map of user ids", quote(path), st.Uid)
	}
	gid, ok := unmapID(t.o.GIDMap, st.Gid)
	if !ok && t.o.Unmapped != nil {
		gid, ok = t.o.Unmapped.GID, true
	}
	if !ok {
		return nil, fmt.Errorf("%s: its group %d is not in the map of group ids", quote(path), st.Gid)
	}
	h := &tar.Header{
		Name: t.prefix + path, Mode: int64(st.Mode & 0o7777), Uid: int(uid), Gid: int(gid),
		ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec),
	}
	if st.Mtim.Nsec != 0 {
		h.Format = tar.FormatPAX // the others have whole seconds
	}
	return h, nil
}

func (t *treeWriter) header(h *tar.Header) error {
	t.st.Entries++
	if err := t.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("writing the header of %s: %w", quote(h.Name), err)
	}
	return nil
}

// entry writes what is no directory: name in the open directory dirfd.
func (t *treeWriter) entry(dirfd int, name, path string) error {
	if err := t.ctx.Err(); err != nil {
		return context.Cause(t.ctx)
	}
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if gone(err) {
		t.st.Changed++
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", quote(path), err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return t.file(dirfd, name, path)
	}
	h, err := t.newHeader(path, &st)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		if h.Linkname, err = readLink(dirfd, name); err != nil {
			t.st.Changed++
			return nil
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	case unix.S_IFSOCK:
		t.st.Skipped++
		return nil
	default: // a directory by now
		t.st.Changed++
		return nil
	}
	t.linked(&st, h)
	return t.header(h)
}

// linked turns a header into a hard link if the file was written under another name.
func (t *treeWriter) linked(st *unix.Stat_t, h *tar.Header) bool {
	if st.Nlink < 2 {
		return false
	}
	id := inode{uint64(st.Dev), st.Ino}
	first, ok := t.links[id]
	if !ok {
		t.links[id] = h.Name
		return false
	}
	h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, first, 0, nil
	return true
}

// file writes a regular file, with the size that it has when it is opened.
func (t *treeWriter) file(dirfd int, name, path string) error {
	fd, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if gone(err) {
		t.st.Changed++
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", quote(path), err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", quote(path), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG { // it was exchanged
		t.st.Changed++
		return nil
	}
	h, err := t.newHeader(path, &st)
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if _, err := t.attributes(fd, path, h); err != nil {
		return err
	}
	if t.linked(&st, h) {
		return t.header(h)
	}
	if err := t.header(h); err != nil {
		return err
	}
	return t.content(fd, path, st.Size)
}

// content writes size bytes of an open file, zeros for what is not there any more.
func (t *treeWriter) content(fd int, path string, size int64) error {
	if t.buf == nil {
		t.buf = make([]byte, 128<<10)
	}
	for left := size; left > 0; {
		b := t.buf[:min(left, int64(len(t.buf)))]
		n, err := retry(func() (int, error) { return unix.Read(fd, b) })
		if err != nil {
			return fmt.Errorf("reading %s: %w", quote(path), err)
		}
		if n == 0 {
			t.st.Changed++
			clear(b)
			n = len(b)
			for ; left > int64(n); left -= int64(n) {
				if _, err := t.tar.Write(b); err != nil {
					return fmt.Errorf("writing %s: %w", quote(path), err)
				}
			}
			n = int(left)
		}
		if _, err := t.tar.Write(b[:n]); err != nil {
			return fmt.Errorf("writing %s: %w", quote(path), err)
		}
		left -= int64(n)
		if err := t.ctx.Err(); err != nil {
			return context.Cause(t.ctx)
		}
	}
	return nil
}
