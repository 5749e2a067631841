package unpack

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// extractor makes the files of one archive.
type extractor struct {
	dirs
	o         Options
	tr        tarReader
	h         *header // the entry at hand
	st        Stats
	lowers    lowers
	opaques   int64  // directories made opaque so far, and one: 0 is never
	umaskFree bool   // new files get exactly the mode they are made with
	uid, gid  uint32 // what new files get by themselves
	created   *pathSet
	// When to look at the free space again.
	nextData, nextEntries int64
}

// Extract makes the files of the archive r below dir. See the package comment for the contract.
func Extract(ctx context.Context, dir *os.File, r io.Reader, o Options) (Stats, error) {
	if o.Whiteouts != Overlay && (o.Lowers != nil || o.UserXattr) {
		return Stats{}, errors.New("unpack: lower layers and user xattrs are for overlay only")
	}
	if err := checkMaps(o.UIDMap, o.GIDMap); err != nil {
		return Stats{}, err
	}
	o.Limits = o.Limits.withDefaults()
	s := startStream(ctx, r, o.Limits, o.Digest)
	x := &extractor{o: o}
	x.tr = tarReader{in: &input{fill: s.next}, maxEntry: o.Limits.Entries}
	err := onOwnThread(func() error { return x.run(dir) })
	s.finish()
	runtime.KeepAlive(dir)
	if err == nil && o.Sync {
		if serr := unix.Syncfs(int(dir.Fd())); serr != nil {
			err = fmt.Errorf("writing %s back: %w", dir.Name(), serr)
		}
	}
	if err != nil {
		return Stats{}, fmt.Errorf("unpack: %w", err)
	}
	s.stats(&x.st)
	return x.st, nil
}

// run is the whole life of the caged thread.
func (x *extractor) run(dir *os.File) (err error) {
	if m := x.o.Maker; m != nil {
		if err := linux.SetFSUser(int(m.UID), int(m.GID)); err != nil {
			return err
		}
	}
	defer x.lowers.close()
	x.umaskFree, x.st.Caged, err = cage(dir, x.o.Lowers)
	if err != nil {
		return err
	}
	if err := x.open(dir); err != nil {
		return err
	}
	empty, err := x.isEmpty()
	x.fresh = empty && !hasXattr(x.root.fd, "system.posix_acl_default")
	if err == nil {
		err = x.entries()
	}
	if err != nil {
		if empty {
			x.root.dirty = false
			if cerr := x.removeBelow(""); cerr != nil {
				err = fmt.Errorf("%w; and emptying the directory again: %w", err, cerr)
			}
		}
		x.closeAll(false)
		return err
	}
	return x.closeAll(true)
}

// open prepares the root.
func (x *extractor) open(root *os.File) error {
	x.resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	if !x.o.Mounts {
		x.resolve |= unix.RESOLVE_NO_XDEV
	}
	// A descriptor of its own: the caller's may be O_PATH. "." resolves nothing.
	fd, err := retry(func() (int, error) {
		return unix.Openat(int(root.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return fmt.Errorf("opening the directory %s: %w", root.Name(), err)
	}
	x.root = &dir{fd: fd, pins: 1}
	if err := x.root.stat(); err != nil {
		unix.Close(fd)
		return fmt.Errorf("looking at the directory %s: %w", root.Name(), err)
	}
	x.byPath = map[string]*dir{"": x.root}
	x.uid, x.gid = uint32(unix.Geteuid()), uint32(unix.Getegid())
	if m := x.o.Maker; m != nil {
		x.uid, x.gid = m.UID, m.GID
	}
	x.lowers = lowers{dirs: x.o.Lowers, opaque: x.opaqueXattr()}
	x.opaques = 1
	if x.o.Whiteouts == Apply {
		x.created = &pathSet{seed: maphash.MakeSeed(), set: make(map[uint64]struct{})}
	}
	return x.account(0)
}

// entries makes all entries, and reads the stream to its end.
func (x *extractor) entries() error {
	for {
		h, err := x.tr.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		x.h = h
		if err := x.entry(); err != nil {
			return err
		}
		if x.tr.entries >= x.nextEntries {
			if err := x.account(0); err != nil {
				return err
			}
		}
	}
	x.st.Entries = x.tr.entries
	if x.tr.in.off == 0 {
		return fmt.Errorf("an empty archive, without an end mark: %w", ErrArchive)
	}
	if err := x.hideRoot(); err != nil {
		return err
	}
	// What follows the end mark is no part of the archive, but of its digest.
	return x.tr.in.drain()
}

// entry makes one entry.
func (x *extractor) entry() error {
	h := x.h
	name, err := localName(h.name, x.o.Limits.Depth)
	if err != nil {
		return err
	}
	switch {
	case h.name == "":
		return refusal(ErrArchive, h.name, "an entry without a name")
	case name == "":
		return x.rootEntry()
	case h.kind == kindChar && h.major == 0 && h.minor == 0:
		return refusal(ErrArchive, h.name, "the character device 0:0, which overlayfs takes for a whiteout")
	}
	h.mtime, h.atime = clampTime(h.mtime), clampTime(h.atime)
	pp, base := splitPath(name)
	mark, hidden, err := readMark(h.name, pp, base, h.kind)
	if err != nil {
		return err
	}
	if mark != noMark {
		if x.o.Whiteouts == Plain {
			return refusal(ErrArchive, h.name, "a name that a layer keeps for whiteouts")
		}
		if mark == meta {
			x.st.SkippedMeta++
			return nil
		}
		x.st.Whiteouts++
		p, err := x.parent(pp, h.name, false)
		if err != nil {
			return err
		}
		if mark == opaque {
			return x.makeOpaque(p)
		}
		return x.makeWhiteout(p, hidden)
	}
	if (h.kind == kindChar || h.kind == kindBlock) && !x.o.Devices {
		x.st.SkippedDevices++
		return nil
	}
	p, err := x.parent(pp, h.name, true)
	if err != nil {
		return err
	}
	path := joinPath(p.path, base)
	if len(path) > maxPath {
		return refusal(ErrLimit, h.name, "links make the path too long")
	}
	switch h.kind {
	case kindFile:
		err = x.file(p, base, path)
	case kindDir:
		err = x.directory(p, base, path)
	case kindSymlink:
		err = x.symlink(p, base, path)
	case kindLink:
		err = x.link(p, base, path)
	default:
		err = x.node(p, base, path)
	}
	if err != nil {
		if errors.Is(err, ErrArchive) {
			return err
		}
		return fmt.Errorf("%s: %w", quote(h.name), err)
	}
	x.created.add(path)
	return nil
}

// account counts n bytes of data, and looks at the free space now and then: an archive
// that would fill the disk fails before everything else on it does.
func (x *extractor) account(n int64) error {
	x.st.Data += n
	if x.st.Data < x.nextData && x.tr.entries < x.nextEntries {
		return nil
	}
	x.nextData, x.nextEntries = x.st.Data+32<<20, x.tr.entries+4096
	var fs unix.Statfs_t
	if err := unix.Fstatfs(x.root.fd, &fs); err != nil {
		return fmt.Errorf("looking at the free space: %w", err)
	}
	if free := int64(min(fs.Bavail, 1<<40)) * int64(fs.Bsize); fs.Blocks != 0 && free < x.o.Limits.FreeBytes {
		return fmt.Errorf("%d bytes are left on the file system, %d must be: %w", free, x.o.Limits.FreeBytes, unix.ENOSPC)
	}
	if fs.Files != 0 && int64(min(fs.Ffree, 1<<62)) < x.o.Limits.FreeInodes {
		return fmt.Errorf("%d inodes are left on the file system, %d must be: %w", fs.Ffree, x.o.Limits.FreeInodes, unix.ENOSPC)
	}
	return nil
}

// pathSet remembers paths by a 64-bit hash with a secret seed: two of a million paths
// coincide once in 10^7 archives. A nil set remembers nothing.
type pathSet struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func (s *pathSet) add(path string) {
	if s != nil {
		s.set[maphash.String(s.seed, path)] = struct{}{}
	}
}

func (s *pathSet) has(path string) bool {
	if s == nil {
		return false
	}
	_, ok := s.set[maphash.String(s.seed, path)]
	return ok
}
