package ociruntime

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const noticeThere = 3

// withMember runs f while there is a process in a user namespace: in the one that fd is of, or,
// with fd -1, in a new one. The process does nothing but wait, and ends with this one.
func withMember(fd int, f func(pid int) error) error {
	var hold [2]int
	if err := unix.Pipe2(hold[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	p := newPlanner()
	flags := uint64(0)
	if fd >= 0 {
		p.Doing("join", "the user namespace")
		p.Call("setns", unix.SYS_SETNS, p.FD(fd, "namespace"), launch.Hex(unix.CLONE_NEWUSER))
	} else {
		flags = unix.CLONE_NEWUSER
	}
	p.Notify(noticeThere, 0)
	_, b := p.Mem(1)
	p.Call("read", unix.SYS_READ, p.FD(hold[0], "hold"), b, launch.Int(1))
	p.Exit(0)
	child, err := p.Start(launch.Clone{Flags: flags})
	unix.Close(hold[0])
	defer unix.Close(hold[1])
	if err != nil {
		return err
	}
	defer child.Kill()
	if _, err := child.Next(); err != nil {
		return err
	}
	return f(child.Pid)
}

// inspect reads the maps of a user namespace that is there already. Those in config.json, which
// engines repeat, must be the same: the caller would rely on ids that are others'.
func inspect(fd int, l *specs.Linux) (m *idMaps, err error) {
	err = withMember(fd, func(pid int) (err error) {
		m, err = readMaps(pid)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the id maps of the user namespace to join: %w", err)
	case len(l.UIDMappings) > 0 && !slices.Equal(l.UIDMappings, m.uids):
		return nil, errors.New("linux.uidMappings: not those of the user namespace to join")
	case len(l.GIDMappings) > 0 && !slices.Equal(l.GIDMappings, m.gids):
		return nil, errors.New("linux.gidMappings: not those of the user namespace to join")
	case !mapped(m.uids, 0) || !mapped(m.gids, 0):
		return nil, errors.New("the user namespace to join does not map 0: root in the container is who sets it up")
	}
	return m, nil
}

// mapSource makes the user namespaces that id-mapped mounts take their maps from, one for each
// pair of maps. It belongs to one creation.
type mapSource struct {
	caller    *caller
	container *idMaps // of the container's user namespace, nil for none
	undo      *undoList
	made      []mapFD
}

type mapFD struct {
	uids, gids []specs.LinuxIDMapping
	fd         int
}

// fd is a descriptor of a user namespace with the given maps.
func (s *mapSource) fd(uids, gids []specs.LinuxIDMapping) (int, error) {
	for _, m := range s.made {
		if slices.Equal(m.uids, uids) && slices.Equal(m.gids, gids) {
			return m.fd, nil
		}
	}
	fd := -1
	err := withMember(-1, func(pid int) (err error) {
		if err = s.caller.mapIDs(pid, &specs.Linux{UIDMappings: uids, GIDMappings: gids}); err == nil {
			fd, err = unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("make a user namespace for the id-mapped mount: %w", err)
	}
	s.undo.fd(fd)
	s.made = append(s.made, mapFD{uids, gids, fd})
	return fd, nil
}

// idmapFD is the namespace for one mount: by its own maps, or the container's.
func (s *mapSource) idmapFD(m specs.Mount) (int, error) {
	switch {
	case len(m.UIDMappings) > 0:
		return s.fd(m.UIDMappings, m.GIDMappings)
	case s.container == nil:
		return -1, errors.New("an id-mapped mount without maps of its own needs a user namespace to take them from")
	}
	return s.fd(s.container.uids, s.container.gids)
}

// applyIDMap id-maps a detached mount, with all below it when rec is set.
func applyIDMap(tree, userns int, rec bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if rec {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(tree, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)})
	if err == nil {
		return nil
	}
	var st unix.Statfs_t
	kind := "file system"
	if unix.Fstatfs(tree, &st) == nil {
		kind = fsName(st.Type)
	}
	switch err {
	case unix.EINVAL:
		return fmt.Errorf("this kernel cannot id-map %s: %w", kind, err)
	case unix.EPERM:
		return fmt.Errorf("id-map %s: only its owner's root may, and not twice: %w", kind, err)
	}
	return fmt.Errorf("id-map %s: %w", kind, err)
}

// fsName names a file system by its magic number (statfs(2)).
func fsName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.PROC_SUPER_MAGIC:
		return "proc"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	case unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return "cgroup"
	case unix.DEVPTS_SUPER_MAGIC:
		return "devpts"
	case 0x01021997:
		return "9p"
	}
	return "the file system of type 0x" + strconv.FormatInt(magic, 16)
}
