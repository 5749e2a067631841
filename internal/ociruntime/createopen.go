package ociruntime

import (
	"errors"
	"fmt"

	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// openRoot takes hold of the root and of the bundle.
func (n *creation) openRoot() (err error) {
	if n.b.rootGiven {
		err = n.giveRoot()
	} else {
		err = n.openRootPath()
	}
	if err != nil {
		return err
	}
	if n.bundleFD, err = unix.Open(n.b.bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the bundle %s: %w", n.b.bundle, err)
	}
	n.undo.fd(n.bundleFD)
	n.s.Process.Env = n.r.withHome(n.b.rootTree, n.s.Process)
	return nil
}

// openRootPath takes hold of root.path.
func (n *creation) openRootPath() (err error) {
	b, l := n.b, n.s.Linux
	if b.late.mode == treesCloned {
		b.rootTree, err = cloneTree(unix.AT_FDCWD, b.rootfs, true)
		if n.me.userns && errors.Is(err, unix.EPERM) {
			b.late.mode = treesInside // our mount namespace is not of our user namespace
		}
	}
	if b.late.mode != treesCloned {
		b.rootTree, err = unix.Open(b.rootfs, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("open root.path %s: %w", b.rootfs, err)
	}
	n.undo.fd(b.rootTree)
	if !isDir(b.rootTree) {
		return fmt.Errorf("open root.path %s: not a directory", b.rootfs)
	}
	if b.late.mode == treesCloned {
		if err := apply(b.rootTree, rootPropagation(l.RootfsPropagation)); err != nil {
			return fmt.Errorf("set the propagation of the root: %w", err)
		}
	}
	b.rootMount, err = sharedParent(b.rootfs, l.RootfsPropagation)
	return err
}

// isDir says whether a descriptor is of a directory.
func isDir(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// openNamespaces opens those to join, and decides by whom and when the new ones are made.
func (n *creation) openNamespaces() (err error) {
	b, l := n.b, n.s.Linux
	if n.join, err = openNamespaces(l.Namespaces, &n.undo); err != nil {
		return err
	}
	if b.maps, err = containerMaps(&n.me, n.s, n.join, n.o.handles().UserNS != 0); err != nil {
		return err
	}
	b.userns = n.me.userns || b.maps != nil
	n.maps = &mapSource{caller: &n.me, container: b.maps, undo: &n.undo}
	if b.stage = staged(&n.me, l, n.join); len(b.stage) == 0 {
		n.pidns, b.join = pidNS(n.join)
	}
	for _, ns := range l.Namespaces {
		f := ocispec.NamespaceFlag(ns.Type)
		n.c.Namespaces |= f
		if ns.Path == "" && f != unix.CLONE_NEWCGROUP && f != unix.CLONE_NEWTIME {
			b.newFlags |= f
		}
	}
	if b.newFlags&unix.CLONE_NEWUSER == 0 && len(b.stage) == 0 { // it must own the others
		b.unshare = b.newFlags & (unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	}
	if len(l.NetDevices) > 0 { // it must be there when they are moved
		b.unshare &^= unix.CLONE_NEWNET
	}
	return nil
}

// openMounts makes the mounts that the child cannot make, or not as well.
func (n *creation) openMounts() error {
	b := n.b
	for i, m := range n.s.Mounts {
		mo := parseMountOptions(m)
		if m.Type == "tmpfs" && mo.TmpCopyUp && b.late.mode == treesCloned {
			mo.Data = append(mo.Data, labelMount(m.Type, n.s.Linux.MountLabel)...)
			fd, err := copiedUp(b.rootTree, m, mo)
			if err != nil {
				return fmt.Errorf("mounts[%d] on %s: %w", i, m.Destination, err)
			}
			b.sources[i] = fd
			n.undo.fd(fd)
			continue
		}
		if !mo.Bind() && m.Type != "bind" {
			continue
		}
		if b.late.mode != treesCloned {
			if b.late.mode == treesInside && wantsIDMap(m, mo) {
				return fmt.Errorf("mounts[%d]: an id-mapped mount needs CAP_SYS_ADMIN on the host", i)
			}
			b.late.mounts = append(b.late.mounts, i)
			continue
		}
		if !b.clonesInParent(m, mo) {
			continue
		}
		fd, err := bindSource(n.bundleFD, m, mo, n.maps)
		if err != nil {
			return fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		b.sources[i] = fd
		n.undo.fd(fd)
	}
	return nil
}
