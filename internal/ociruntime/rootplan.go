package ociruntime

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// enterMounts takes the mount namespace out of the host's reach and attaches the container's root
// where it is on the host. So a bind source below the root sees what earlier mounts have put there,
// and createContainer hooks find the host's files and the container's mounts, as with runc.
//
//	new namespace   the clone of the root goes on top of root.path; [planner.enterRoot] pivots
//	given           there is no root.path: the clone goes on top of /; [planner.enterRoot] pivots
//	--no-pivot      the clone goes on top of /; the host's tree stays below it
//	none            the clone is never attached: all mounts are made on the detached tree (Linux
//	                6.15), the host does not see them, and the kernel takes them down with the
//	                last process. A mount there cannot be changed any more, so what is to be
//	                read-only is so before anything is mounted in it
//
// A user namespace may lack the right to reach root.path; the clone then goes on top of / as well.
func (p *planner) enterMounts(b *box) {
	if p.detached = !hasNamespace(b.spec, specs.MountNamespace); p.detached {
		p.takeRoot(b)
		return
	}
	p.Doing("make", "the mount namespace private")
	prop := uint64(unix.MS_SLAVE)
	if f, _, ok := propagation(b.spec.Linux.RootfsPropagation); ok && f != unix.MS_UNBINDABLE {
		prop = f
	}
	private := func(mount string) {
		p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, launch.Int(unix.AT_FDCWD), p.Str(mount), launch.Hex(0), p.Attr(0, 0, unix.MS_PRIVATE), launch.Int(attrSize))
	}
	p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.AT_RECURSIVE), p.Attr(0, 0, prop), launch.Int(attrSize))
	p.receiveTrees(b.sync, &b.late)
	p.takeRoot(b)
	attach := func(name, mount string) launch.Step {
		if mount != "" {
			private(mount) // or the root would be attached on the host, too
		}
		p.Doing("attach the root file system to", name)
		return p.Call("move_mount", unix.SYS_MOVE_MOUNT, launch.Of(p.root), p.Str(""), launch.Int(unix.AT_FDCWD), p.Str(name), launch.Hex(unix.MOVE_MOUNT_F_EMPTY_PATH))
	}
	if b.noPivot || b.rootGiven {
		attach("/", "/")
		return
	}
	unreachable, done := p.NewLabel(), p.NewLabel()
	attach(b.rootfs, b.rootMount).Ok(eACCES).Else(unreachable)
	p.Jump(done)
	p.Bind(unreachable)
	attach("/", "/")
	p.Bind(done)
}

// enterRoot makes the container's root the root and takes the host's away. With noPivot the host's
// stays below it, where ".." and setns(2) do not lead; only who may unmount the root can get
// there, which is why --no-pivot is for roots on a ramdisk, that cannot be pivoted from.
func (p *planner) enterRoot(b *box) {
	p.Doing("change to", "the container's root")
	old := p.Slot("oldroot")
	p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), launch.Int(0)).Out(old)
	p.Call("fchdir", unix.SYS_FCHDIR, launch.Of(p.root))
	if !b.noPivot && hasNamespace(b.spec, specs.MountNamespace) {
		p.Call("pivot_root", unix.SYS_PIVOT_ROOT, p.Str("."), p.Str("."))
		// With a shared rootfsPropagation the old tree is still in the host's peer groups:
		// taking it down would take the host's mounts down with it.
		p.setattr(launch.Of(old), unix.AT_RECURSIVE, 0, 0, unix.MS_PRIVATE)
		p.Call("fchdir", unix.SYS_FCHDIR, launch.Of(old))
		p.Call("umount2", unix.SYS_UMOUNT2, p.Str("."), launch.Hex(unix.MNT_DETACH))
		p.Call("fchdir", unix.SYS_FCHDIR, launch.Of(p.root))
	}
	p.close(old)
	p.Call("chroot", unix.SYS_CHROOT, p.Str("."))
}

// chrootOf takes the root of another process, which setns(2) gives only with its mount namespace.
func (p *planner) chrootOf(pid int) {
	p.Call("chroot", unix.SYS_CHROOT, p.Str("/proc/"+itoa(uint64(pid))+"/root"))
}

// realRoot is root.path without a symbolic link at its end, to which a mount cannot be attached.
// (runc refuses one; crun, and keel, take it: bundles that share a root are made so.)
func realRoot(name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return name, nil // what is wrong with it, who opens it says
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", fmt.Errorf("open root.path: %w", err)
	}
	return real, nil
}

// needsDevices is false when the bundle brings its own /dev (runc's needsSetupDev): nothing is
// made in the host's.
func needsDevices(s *specs.Spec) bool {
	for _, m := range s.Mounts {
		if o := parseMountOptions(m); path.Clean("/"+m.Destination) == "/dev" && (o.Bind() || m.Type == "bind") {
			return false
		}
	}
	return true
}

// clonesInParent says whether the parent clones a bind source, and in the host's namespace: when
// the child sees another's mounts, or no namespace of its own; when the clone is to share its mounts
// with the host, for which the mount that the root is on no longer does; and when it is id-mapped,
// which takes a user namespace to look at. With a user namespace see [treeMode].
func (b *box) clonesInParent(m specs.Mount, o mountOptions) bool {
	if b.rootMount != "" && slices.ContainsFunc(o.Propagation, func(f uint64) bool { return f&unix.MS_SHARED != 0 }) {
		return true
	}
	for _, n := range b.spec.Linux.Namespaces {
		if n.Type == specs.MountNamespace {
			return n.Path != "" || wantsIDMap(m, o)
		}
	}
	return true
}

// sharedParent is the mount point that a root lies below, when linux.rootfsPropagation leaves the
// host's mounts shared; else "". pivot_root(2) refuses a root below a shared mount.
func sharedParent(rootfs, rootfsPropagation string) (string, error) {
	if f, _, ok := propagation(rootfsPropagation); !ok || f != unix.MS_SHARED {
		return "", nil
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil {
		rootfs, err = filepath.EvalSymlinks(rootfs)
	}
	if err != nil {
		return "", fmt.Errorf("find the mount that root.path is on: %w", err)
	}
	return mountAbove(string(b), rootfs), nil
}

// mountAbove is the innermost mount point of a mountinfo file that is a path or above it.
func mountAbove(mountinfo, name string) (mount string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		m := unescape.Replace(f[4])
		if len(m) >= len(mount) && (m == name || m == "/" || strings.HasPrefix(name, m+"/")) {
			mount = m
		}
	}
	return mount
}
