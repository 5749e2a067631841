package unpack

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// link makes a hard link to a file that this archive, or a lower layer, has. The target's
// own name is never followed: linkat(2) without AT_SYMLINK_FOLLOW.
func (x *extractor) link(p *dir, base, path string) error {
	h := x.h
	x.st.Links++
	target, err := localName(h.link, x.o.Limits.Depth)
	if err != nil {
		return refusal(err, h.name, "a hard link")
	}
	if target == "" {
		return refusal(ErrArchive, h.name, "a hard link to the root")
	}
	p.pins++
	defer func() { p.pins-- }()
	tp, tbase := splitPath(target)
	// This makes parents that are missing: the target may be in a lower layer, and if not, the
	// archive is refused anyway.
	t, err := x.parent(tp, h.name, true)
	if err != nil {
		return err
	}
	t.pins++
	defer func() { t.pins-- }()
	tpath := joinPath(t.path, tbase)
	if below(tpath, path) {
		return refusal(ErrArchive, h.name, "a hard link to itself or to something below it")
	}
	var st unix.Stat_t
	err = unix.Fstatat(t.fd, tbase, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT && x.o.Lowers != nil {
		if err := x.copyUp(t, tbase, tpath); err != nil {
			return err
		}
		err = unix.Fstatat(t.fd, tbase, &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	switch {
	case err == unix.ENOENT:
		return x.noTarget()
	case err != nil:
		return fmt.Errorf("looking at %s: %w", quote(h.link), err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return refusal(ErrArchive, h.name, "a hard link to the directory %s", quote(h.link))
	case x.o.Whiteouts == Overlay && isWhiteout(&st):
		return refusal(ErrArchive, h.name, "a hard link to %s, which the archive removes", quote(h.link))
	}
	err = unix.Linkat(t.fd, tbase, p.fd, base, 0)
	if err == unix.EEXIST {
		if _, _, err := x.replace(p, base, path); err != nil {
			return err
		}
		err = unix.Linkat(t.fd, tbase, p.fd, base, 0)
	}
	if err != nil {
		return fmt.Errorf("linking to %s: %w", quote(h.link), err)
	}
	p.dirty = true
	return nil
}

func (x *extractor) noTarget() error {
	class := ErrArchive
	if x.o.Whiteouts == Overlay && x.o.Lowers == nil {
		class = ErrNeedsLower
	}
	return refusal(class, x.h.name, "a hard link to %s, which is not there", quote(x.h.link))
}

// copyUp copies a file of a lower layer to the same place in this one, as overlayfs does when
// one links to it. It does nothing if the lower layers have no such file.
func (x *extractor) copyUp(p *dir, base, path string) error {
	low, err := x.lower(p, path)
	if err != nil || low == nil {
		return err
	}
	switch low.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return refusal(ErrArchive, x.h.name, "a hard link to the directory %s of a lower layer", quote(x.h.link))
	default:
		return refusal(ErrArchive, x.h.name, "a hard link to %s of a lower layer, which is no file", quote(x.h.link))
	}
	in, err := retry(func() (int, error) {
		return unix.Openat(low.parent, low.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return fmt.Errorf("opening %s of a lower layer: %w", quote(path), err)
	}
	defer unix.Close(in)
	xattrs, err := keptXattrs(in)
	if err != nil {
		return fmt.Errorf("reading the attributes of %s: %w", quote(path), err)
	}
	out, err := x.create(p, base, low.st.Mode&0o777)
	if err != nil {
		return fmt.Errorf("copying %s from a lower layer: %w", quote(path), err)
	}
	p.dirty = true
	var buf []byte // when the kernel does not copy: the lower layer is another file system (EROFS)
	for left := low.st.Size; left > 0 && err == nil; {
		var n int
		if buf == nil {
			n, err = unix.CopyFileRange(in, nil, out, nil, int(min(left, 8<<20)), 0)
			if err == unix.EXDEV || err == unix.EOPNOTSUPP || err == unix.EINVAL {
				buf, err = make([]byte, 128<<10), nil
				continue
			}
		} else {
			n, err = copyPiece(out, in, buf[:min(left, int64(len(buf)))])
		}
		if n == 0 && err == nil {
			break
		}
		left -= int64(n)
		if err == nil {
			err = x.account(int64(n))
		}
	}
	if err == nil {
		err = x.finishFile(p, out, low.st.Mode&0o7777, low.st.Uid, low.st.Gid, xattrs)
	}
	if err == nil {
		err = setTimes(out, low.st.Atim, low.st.Mtim)
	}
	if cerr := unix.Close(out); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copying %s from a lower layer: %w", quote(path), err)
	}
	return nil
}

// copyPiece copies at most len(buf) bytes between two open files.
func copyPiece(out, in int, buf []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(in, buf) })
	if err != nil {
		return 0, err
	}
	for b := buf[:n]; len(b) > 0; {
		w, err := retry(func() (int, error) { return unix.Write(out, b) })
		if err != nil {
			return 0, err
		}
		b = b[w:]
	}
	return n, nil
}
