package ociruntime

import (
	"fmt"
	"os"
	"path"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// maxCopied bounds the entries that a plan copies up: each is about eight steps.
const maxCopied = 10000

// copyUp plans "tmpcopyup" in a user namespace: a tmpfs of the container's own with a copy of
// what it covers. The runtime lists the entries; the container's process copies them, since
// the file system and the ids are the user namespace's. p.target is the mount point.
func (p *planner) copyUp(b *box, dest string, o mountOptions) error {
	p.newFS("tmpfs", "tmpfs", o.forFS(), 0)
	src, err := openBelow(b.rootTree, dest, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case err == nil:
		c := &copier{planner: p, maps: b.maps, from: p.from, in: p.in, out: p.out}
		c.dest = dest
		p.Doing("copy up", dest)
		p.openIn(dest, unix.O_RDONLY|unix.O_DIRECTORY, c.from)
		err = c.dir(src, ".", !hasKey(o.Data, "mode"))
		p.close(c.from)
	case os.IsNotExist(err):
		err = nil
	}
	if err != nil {
		return fmt.Errorf("copy up %s: %w", dest, err)
	}
	p.Doing("mount tmpfs on", dest)
	if attrs := o.set | o.RecSet; attrs != 0 {
		p.setattr(launch.Of(p.tree), 0, attrs, 0, 0)
	}
	p.attach(p.tree)
	p.close(p.tree)
	p.close(p.target)
	return nil
}

// copier plans copies from the directory in slot from to the one in p.tree, by relative names.
// Nobody but the plan is in the new file system, so its names lead nowhere else.
type copier struct {
	*planner
	maps          *idMaps
	from, in, out launch.Slot
	dest          string
	count         int
}

// dir copies what is in src, which it closes; name is its path below the top.
func (c *copier) dir(src int, name string, mode bool) error {
	d := os.NewFile(uintptr(src), name)
	defer d.Close()
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if c.count++; c.count > maxCopied {
			return fmt.Errorf("more than %d entries", maxCopied)
		}
		if err := c.entry(src, n, path.Join(name, n)); err != nil {
			return fmt.Errorf("%s: %w", path.Join(name, n), err)
		}
	}
	if mode {
		c.Call("fchmodat", unix.SYS_FCHMODAT, launch.Of(c.tree), c.Str(name), launch.Oct(st.Mode&0o7777))
	}
	c.own(name, &st)
	return nil
}

func (c *copier) entry(src int, base, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	c.Doing("copy up", path.Join(c.dest, name))
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		c.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(c.tree), c.Str(name), launch.Oct(0o700))
		from, err := unix.Openat(src, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return c.dir(from, name, true)
	case unix.S_IFLNK:
		buf := make([]byte, 4096)
		n, err := unix.Readlinkat(src, base, buf)
		if err != nil {
			return err
		}
		c.Call("symlinkat", unix.SYS_SYMLINKAT, c.Str(string(buf[:n])), launch.Of(c.tree), c.Str(name))
		c.own(name, &st)
	case unix.S_IFREG:
		const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
		c.Call("openat2", unix.SYS_OPENAT2, launch.Of(c.from), c.Str(name), c.How(unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, resolve, 0), launch.Int(howSize)).Out(c.in)
		c.Call("openat", unix.SYS_OPENAT, launch.Of(c.tree), c.Str(name), launch.Hex(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC), launch.Oct(0o600)).Out(c.out)
		for left := st.Size; left > 0; left -= maxSend {
			c.Call("sendfile", unix.SYS_SENDFILE, launch.Of(c.out), launch.Of(c.in), launch.Int(0), launch.Int(int(min(left, maxSend))))
		}
		c.close(c.in)
		c.close(c.out)
		c.own(name, &st)
		c.Call("fchmodat", unix.SYS_FCHMODAT, launch.Of(c.tree), c.Str(name), launch.Oct(st.Mode&0o7777))
	}
	return nil
}

// maxSend is MAX_RW_COUNT, what one sendfile(2) moves at most.
const maxSend = 0x7ffff000

// own gives the copy its owner. An id that the user namespace does not map is nobody's there,
// and the copy stays root's.
func (c *copier) own(name string, st *unix.Stat_t) {
	uid, gid, okU, okG := st.Uid, st.Gid, true, true
	if c.maps != nil {
		uid, okU = inside(c.maps.uids, st.Uid)
		gid, okG = inside(c.maps.gids, st.Gid)
	}
	if !okU && !okG {
		return
	}
	u, g := int(uid), int(gid)
	if !okU {
		u = -1
	}
	if !okG {
		g = -1
	}
	c.Call("fchownat", unix.SYS_FCHOWNAT, launch.Of(c.tree), c.Str(name), launch.Int(u), launch.Int(g), launch.Hex(unix.AT_SYMLINK_NOFOLLOW))
}
