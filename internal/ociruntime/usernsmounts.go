package ociruntime

import (
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// What root of a user namespace cannot mount or make, and what the container gets instead.

// sysfs plans a new sysfs in p.target, or where the kernel refuses it (the network namespace
// is not the user namespace's own) the host's, with all below it, as crun does. That is the
// whole host's, so it is read-only whatever the options say (CVE-2023-25809).
func (p *planner) sysfs(source string, o mountOptions) {
	refused, made := p.NewLabel(), p.NewLabel()
	p.newFSOr(refused, "sysfs", source, o.forFS(), o.set|o.RecSet)
	p.Jump(made)
	p.Bind(refused)
	p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str("/sys"), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)).Out(p.tree)
	p.setattr(launch.Of(p.tree), unix.AT_RECURSIVE, o.set|o.RecSet|unix.MOUNT_ATTR_RDONLY, 0, unix.MS_PRIVATE)
	p.Bind(made)
	p.attach(p.tree)
	p.close(p.tree)
	p.close(p.target)
}

// dropUnmapped leaves out "gid=5" of a devpts where no id 5 is: terminals then have the group
// of who opens them.
func (b *box) dropUnmapped(data []string) []string {
	if b.maps == nil {
		return data
	}
	var kept []string
	for _, d := range data {
		v, ok := strings.CutPrefix(d, "gid=")
		if id, err := strconv.ParseUint(v, 10, 32); ok && err == nil && !mapped(b.maps.gids, uint32(id)) {
			b.warn("mounts: devpts without " + d + ": the user namespace does not map that group")
			continue
		}
		kept = append(kept, d)
	}
	return kept
}

func deviceKind(t string) uint32 {
	switch t {
	case "b":
		return unix.S_IFBLK
	case "p":
		return unix.S_IFIFO
	}
	return unix.S_IFCHR
}

// bindNode plans a bind of the host's device of the same name: nodes cannot be made in a user
// namespace. The host's must be the device that is meant, and not a file that somebody put
// there.
func (p *planner) bindNode(name string, kind, major, minor uint32) {
	p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(name), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Out(p.tree)
	st, arg := p.Mem(256) // struct statx: mode at 28, rdev_major and rdev_minor at 128
	p.Call("statx", unix.SYS_STATX, launch.Of(p.tree), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_TYPE), arg)
	p.Assert32(st[28:], unix.S_IFMT, kind, uint16(unix.ENODEV))
	p.Assert32(st[128:], ^uint32(0), major, uint16(unix.ENODEV))
	p.Assert32(st[132:], ^uint32(0), minor, uint16(unix.ENODEV))
	p.resolve(name, true)
	p.attach(p.tree)
	p.close(p.tree)
	p.close(p.target)
}
