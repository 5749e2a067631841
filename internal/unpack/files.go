package unpack

import (
	"fmt"
	"io"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dirAttrs are what a new directory gets.
type dirAttrs struct {
	mode, uid, gid uint32
	atime, mtime   unix.Timespec
	xattrs         []xattr
	opaque         bool // hide what the lower layers have of that name
}

// makeDir makes a directory and opens it. It is unix.EEXIST if something is there.
func (x *extractor) makeDir(p *dir, base, path string, a dirAttrs) (*dir, error) {
	if err := unix.Mkdirat(p.fd, base, a.mode&0o1777); err != nil {
		return nil, err
	}
	p.dirty = true
	x.created.add(path)
	d, err := x.openDir(p, base, path)
	if err != nil {
		return nil, err
	}
	d.ours = true
	if err := x.add(d); err != nil {
		return nil, err
	}
	if a.opaque {
		if err := x.setOpaque(d); err != nil {
			return nil, err
		}
	}
	return d, x.setDir(p, d, a)
}

// setDir gives a directory its attributes; the times follow when it is closed.
func (x *extractor) setDir(p, d *dir, a dirAttrs) error {
	if !x.o.KeepOwner {
		var st unix.Stat_t
		if !d.ours || p.mode&unix.S_ISGID != 0 {
			if err := unix.Fstat(d.fd, &st); err != nil {
				return err
			}
		} else {
			st.Uid, st.Gid = x.uid, x.gid
		}
		if st.Uid != a.uid || st.Gid != a.gid {
			if err := unix.Fchown(d.fd, int(a.uid), int(a.gid)); err != nil {
				return fmt.Errorf("changing the owner: %w", err)
			}
		}
	}
	// A set-group-id parent hands the bit on.
	if !d.ours || !x.umaskFree || d.mode&0o7777 != a.mode {
		if err := unix.Fchmod(d.fd, a.mode); err != nil {
			return fmt.Errorf("changing the mode: %w", err)
		}
	}
	d.mode = d.mode&unix.S_IFMT | a.mode
	if !d.ours {
		if err := clearXattrs(d.fd); err != nil {
			return err
		}
	}
	if err := x.setXattrs(d.fd, a.xattrs); err != nil {
		return err
	}
	d.atime, d.mtime, d.dirty = a.atime, a.mtime, true
	return nil
}

// headerAttrs are the attributes of a directory's entry.
func (x *extractor) headerAttrs() (a dirAttrs, err error) {
	a = dirAttrs{mode: x.mode(), atime: x.h.atime, mtime: x.h.mtime, xattrs: x.h.xattrs}
	a.uid, a.gid, err = x.owner(x.h.uid, x.h.gid)
	return a, err
}

// mode is the mode of the entry at hand.
func (x *extractor) mode() uint32 {
	if x.o.KeepOwner {
		return x.h.mode &^ 0o6000
	}
	return x.h.mode
}

// rootEntry gives the root the attributes of an entry like "./".
func (x *extractor) rootEntry() error {
	if x.h.kind != kindDir {
		return refusal(ErrArchive, x.h.name, "an entry without a name")
	}
	x.h.mtime, x.h.atime = clampTime(x.h.mtime), clampTime(x.h.atime)
	x.st.Dirs++
	x.st.Root = true
	a, err := x.headerAttrs()
	if err == nil {
		err = x.setDir(x.root, x.root, a)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", quote(x.h.name), err)
	}
	return nil
}

func (x *extractor) directory(p *dir, base, path string) error {
	x.st.Dirs++
	a, err := x.headerAttrs()
	if err != nil {
		return err
	}
	if _, err = x.makeDir(p, base, path, a); err != unix.EEXIST {
		return err
	}
	there, hidden, err := x.replace(p, base, path)
	if err != nil {
		return err
	}
	if !there {
		// What the lower layers have there was replaced by what was just removed.
		a.opaque = hidden && x.o.Whiteouts == Overlay
		_, err = x.makeDir(p, base, path, a)
		return err
	}
	d, err := x.child(p, base, path)
	if err != nil {
		return err
	}
	ours := d.ours
	d.ours = false // it may have anything: set all of it
	err = x.setDir(p, d, a)
	d.ours = ours
	return err
}

// file makes a regular file. It is always a new inode: nothing is written through a link.
func (x *extractor) file(p *dir, base, path string) error {
	h := x.h
	x.st.Files++
	if h.size > x.o.Limits.FileSize {
		return refusal(ErrLimit, h.name, "a file of %d bytes", h.size)
	}
	uid, gid, err := x.owner(h.uid, h.gid)
	if err != nil {
		return err
	}
	mode := x.mode()
	fd, err := x.create(p, base, mode&0o777)
	if err == unix.EEXIST {
		if _, _, err := x.replace(p, base, path); err != nil {
			return err
		}
		fd, err = x.create(p, base, mode&0o777)
	}
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	p.dirty = true
	err = x.fill(fd)
	x.st.Size += x.h.size
	if err == nil {
		err = x.finishFile(p, fd, mode, uid, gid, h.xattrs)
	}
	if err == nil {
		err = setTimes(fd, h.atime, h.mtime)
	}
	if cerr := unix.Close(fd); err == nil && cerr != nil {
		err = cerr
	}
	return err
}

func (x *extractor) create(p *dir, base string, mode uint32) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(p.fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	})
}

// fill writes the data of the entry at hand.
func (x *extractor) fill(fd int) error {
	h := x.h
	var pos int64
	piece := func(n int64) error {
		for n > 0 {
			b, err := x.tr.data(n)
			if err != nil {
				if err == io.EOF {
					err = cut(err)
				}
				return err
			}
			n -= int64(len(b))
			if err := x.account(int64(len(b))); err != nil {
				return err
			}
			for len(b) > 0 {
				w, err := retry(func() (int, error) { return unix.Write(fd, b) })
				if err != nil {
					return fmt.Errorf("writing: %w", err)
				}
				b = b[w:]
				pos += int64(w)
			}
		}
		return nil
	}
	if !h.sparse {
		return piece(h.size)
	}
	for _, s := range h.spans {
		if s.len == 0 {
			continue
		}
		if s.off != pos {
			if _, err := unix.Seek(fd, s.off, io.SeekStart); err != nil {
				return fmt.Errorf("leaving a hole: %w", err)
			}
			pos = s.off
		}
		if err := piece(s.len); err != nil {
			return err
		}
	}
	if pos != h.size {
		if err := unix.Ftruncate(fd, h.size); err != nil {
			return fmt.Errorf("leaving a hole at the end: %w", err)
		}
	}
	return nil
}

// finishFile sets owner, mode and extended attributes, in the order in which one does not undo
// the other: chown(2) clears set-id bits and capabilities, a write clears capabilities.
func (x *extractor) finishFile(p *dir, fd int, mode, uid, gid uint32, xattrs []xattr) error {
	if !x.o.KeepOwner && (uid != x.uid || gid != x.gid || p.mode&unix.S_ISGID != 0) {
		if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
			return fmt.Errorf("changing the owner: %w", err)
		}
	}
	if mode&0o7000 != 0 || !x.umaskFree || !p.ours {
		if err := unix.Fchmod(fd, mode); err != nil {
			return fmt.Errorf("changing the mode: %w", err)
		}
		if mode&0o6000 != 0 {
			x.st.SetID = true
		}
	}
	return x.setXattrs(fd, xattrs)
}

func (x *extractor) symlink(p *dir, base, path string) error {
	h := x.h
	x.st.Symlinks++
	if h.link == "" || len(h.link) > maxPath {
		return refusal(ErrArchive, h.name, "a symbolic link to a name of %d bytes", len(h.link))
	}
	x.st.Size += int64(len(h.link))
	return x.place(p, base, path, func() error { return unix.Symlinkat(h.link, p.fd, base) }, false)
}

func (x *extractor) node(p *dir, base, path string) error {
	h := x.h
	x.st.Nodes++
	mode, dev := uint32(unix.S_IFIFO), 0
	switch h.kind {
	case kindChar:
		mode, dev = unix.S_IFCHR, int(unix.Mkdev(h.major, h.minor))
	case kindBlock:
		mode, dev = unix.S_IFBLK, int(unix.Mkdev(h.major, h.minor))
	}
	// Set-id bits mean nothing here.
	return x.place(p, base, path, func() error { return unix.Mknodat(p.fd, base, mode|x.mode()&0o777, dev) }, true)
}

// place makes something that is not opened, with make, and sets its owner, mode and times.
func (x *extractor) place(p *dir, base, path string, make func() error, hasMode bool) error {
	h := x.h
	uid, gid, err := x.owner(h.uid, h.gid)
	if err != nil {
		return err
	}
	err = make()
	if err == unix.EEXIST {
		if _, _, err := x.replace(p, base, path); err != nil {
			return err
		}
		err = make()
	}
	if err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	p.dirty = true
	x.st.DroppedXattrs += int64(len(h.xattrs)) // user.* is for files and directories only
	if !x.o.KeepOwner && (uid != x.uid || gid != x.gid || p.mode&unix.S_ISGID != 0) {
		if err := unix.Fchownat(p.fd, base, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("changing the owner: %w", err)
		}
	}
	if hasMode && (!x.umaskFree || !p.ours) {
		if err := chmodNode(p.fd, base, x.mode()&0o777); err != nil {
			return fmt.Errorf("changing the mode: %w", err)
		}
	}
	ts := []unix.Timespec{h.atime, h.mtime}
	if err := unix.UtimesNanoAt(p.fd, base, ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the times: %w", err)
	}
	return nil
}

// replace removes what stands in the way of the entry at hand. there: it is a directory, and
// the entry one too, and it stays. hidden: something else was there.
func (x *extractor) replace(p *dir, base, path string) (there, hidden bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(p.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, false, fmt.Errorf("looking at what is there: %w", err)
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDir && x.h.kind == kindDir {
		return true, false, nil
	}
	if x.o.SameKind && isDir != (x.h.kind == kindDir) {
		if isDir {
			return false, false, refusal(ErrArchive, x.h.name, "a directory is there, which may not be replaced")
		}
		return false, false, refusal(ErrArchive, x.h.name, "something that is no directory is there, which may not be replaced")
	}
	p.pins++
	err = x.remove(p, base, path)
	p.pins--
	if err != nil {
		return false, false, fmt.Errorf("removing what is there: %w", err)
	}
	return false, true, nil
}

// setTimes sets the times of an open file: utimensat(2) without a path, which x/sys does not have.
func setTimes(fd int, atime, mtime unix.Timespec) error {
	ts := [2]unix.Timespec{atime, mtime}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// chmodNode sets the mode of a fifo or device without following a link that may stand there by now.
func chmodNode(dirfd int, name string, mode uint32) error {
	err := unix.Fchmodat(dirfd, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP && err != unix.ENOSYS {
		return err
	}
	// Before Linux 6.6 there is no fchmodat2(2), and fchmod(2) takes no O_PATH descriptor: the
	// file behind one is reached through procfs, by number.
	fd, err := retry(func() (int, error) { return unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) })
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Fchmodat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), mode, 0)
}
