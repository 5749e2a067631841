package ociruntime

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// criuDir holds, while a container is restored, the mount points of criu's mount namespace:
//
//	STATE/ID/criu/root  the root: criu wants a mount, whose parent is not mounted over
//	STATE/ID/criu/N     the source of mounts[N], when that is a private mount
//
// The mounts are only in that namespace. They go with criu, however it ends.
const criuDir = "criu"

// mounts makes ready what criu mounts, as create does: the source of a private bind is resolved
// once, here, and gets its attributes; criu binds a copy, with all of them. It returns the steps
// that put them where criu finds them.
//
// A bind that is in a peer group of the host's is made from its path, as in runc: criu puts it back
// into the group by MOVE_MOUNT_SET_GROUP from one of the group's sources, whose root must hold
// those of all others (do_set_group in fs/namespace.c), as the host's own mount does.
func (t *restoring) mounts(opts *criu.Options) (func(p *planner), error) {
	dir := filepath.Join(t.c.dir, criuDir)
	opts.Root = filepath.Join(dir, "root")
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the mount points of criu: %w", err)
	}
	root, err := t.root()
	if err != nil {
		return nil, err
	}
	type placed struct {
		tree int
		dest string
	}
	list := []placed{{root, opts.Root}}
	err = t.binds(func(i, fd int, m specs.Mount, file bool) error {
		if !private(m) {
			source := m.Source
			if !filepath.IsAbs(source) {
				source = filepath.Join(t.c.Bundle, source)
			}
			opts.ExternalMounts = append(opts.ExternalMounts, criu.ExternalMount{Key: path.Clean("/" + m.Destination), Value: source})
			return nil
		}
		p := placed{fd, filepath.Join(dir, itoa(uint64(i)))}
		list = append(list, p)
		opts.ExternalMounts = append(opts.ExternalMounts, criu.ExternalMount{Key: path.Clean("/" + m.Destination), Value: p.dest})
		if file {
			return os.WriteFile(p.dest, nil, 0o600)
		}
		return os.Mkdir(p.dest, 0o700)
	})
	if err != nil {
		return nil, err
	}
	for _, m := range t.spec.Mounts {
		if isBind(m) {
			continue
		}
		dirs := cgroupMounts(t.c.Cgroups)
		for _, name := range outsideNames(t.spec, m, t.c.Cgroups) {
			dest := path.Clean("/" + m.Destination)
			opts.ExternalMounts = append(opts.ExternalMounts, criu.ExternalMount{Key: name, Value: dirs[strings.TrimPrefix(strings.TrimPrefix(name, dest), "/")]})
		}
	}
	for _, name := range append(boundNodes(t.spec), nullDevice) {
		opts.ExternalMounts = append(opts.ExternalMounts, criu.ExternalMount{Key: name, Value: name})
	}
	return func(p *planner) {
		p.ownMounts(unix.MS_SLAVE)
		for _, m := range list {
			p.Doing("attach for criu", m.dest)
			p.Call("move_mount", unix.SYS_MOVE_MOUNT, p.FD(m.tree, "tree"), p.Str(""), launch.Int(unix.AT_FDCWD), p.Str(m.dest), launch.Hex(unix.MOVE_MOUNT_F_EMPTY_PATH))
		}
	}, nil
}

// private tells whether a bind is in no peer group. An id-mapped one is taken for private: from its
// path it would not be mapped.
func private(m specs.Mount) bool {
	o := parseMountOptions(m)
	return slices.Contains(o.Propagation, unix.MS_PRIVATE) || slices.Contains(o.Propagation, unix.MS_PRIVATE|unix.MS_REC) || len(m.UIDMappings)+len(m.GIDMappings) > 0
}

// root clones the root file system.
func (t *restoring) root() (int, error) {
	fd, err := cloneTree(unix.AT_FDCWD, t.c.Rootfs, true)
	if err != nil {
		return -1, fmt.Errorf("open root.path: %w", err)
	}
	t.undo.fd(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return -1, fmt.Errorf("open root.path %s: not a directory", t.c.Rootfs)
	}
	if err := apply(fd, rootPropagation(t.spec.Linux.RootfsPropagation)); err != nil {
		return -1, fmt.Errorf("set the propagation of the root: %w", err)
	}
	return fd, nil
}

// binds clones the source of each bind mount and calls f with it.
func (t *restoring) binds(f func(i, fd int, m specs.Mount, file bool) error) error {
	bundle, err := unix.Open(t.c.Bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the bundle %s: %w", t.c.Bundle, err)
	}
	defer unix.Close(bundle)
	me := thisCaller()
	maps := &mapSource{caller: &me, undo: &t.undo}
	for i, m := range t.spec.Mounts {
		if !isBind(m) {
			continue
		}
		fd, err := bindSource(bundle, m, parseMountOptions(m), maps)
		if err != nil {
			return fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		t.undo.fd(fd)
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil {
			err = f(i, fd, m, st.Mode&unix.S_IFMT != unix.S_IFDIR)
		}
		if err != nil {
			return fmt.Errorf("mounts[%d].source %s: %w", i, m.Source, err)
		}
	}
	return nil
}

// mountPoints makes those that the root lacks, as create does, because criu does not: the bundle's
// root may be a fresh copy. A bind is mounted meanwhile, since others can be below it, in a mount
// namespace that goes with the process that does all this. Below what criu fills itself, a
// tmpfs or a procfs, there is nothing to make.
func (t *restoring) mountPoints() error {
	p := newPlanner()
	root, err := t.root()
	if err != nil {
		return err
	}
	p.ownMounts(unix.MS_PRIVATE)
	p.Doing("attach", "the root file system")
	p.Call("move_mount", unix.SYS_MOVE_MOUNT, p.FD(root, "rootfs"), p.Str(""), launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.MOVE_MOUNT_F_EMPTY_PATH))
	p.SetArg(p.root, p.FD(root, "rootfs"))
	point := func(m specs.Mount, file bool) {
		dest := path.Clean("/" + m.Destination)
		p.Doing("make the mount point", dest)
		if m.Type == "proc" || m.Type == "sysfs" {
			p.plainDir(dest)
			return
		}
		p.resolve(dest, file)
	}
	filled := func(i int) bool {
		for _, m := range t.spec.Mounts[:i] {
			if !isBind(m) && strings.HasPrefix(path.Clean("/"+t.spec.Mounts[i].Destination), strings.TrimSuffix(path.Clean("/"+m.Destination), "/")+"/") {
				return true
			}
		}
		return false
	}
	sources := map[int]func(){}
	err = t.binds(func(i, fd int, m specs.Mount, file bool) error {
		sources[i] = func() {
			point(m, file)
			p.SetArg(p.tree, p.FD(fd, "source"))
			p.attach(p.tree)
			p.close(p.target)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, m := range t.spec.Mounts {
		switch bind, ok := sources[i]; {
		case filled(i):
		case ok:
			bind()
		default:
			point(m, false)
			p.close(p.target)
		}
	}
	p.Exit(0)
	return runPlan(p, launch.Clone{Flags: unix.CLONE_NEWNS})
}

// ownMounts takes a mount namespace that is a copy out of the host's peer groups.
func (p *planner) ownMounts(propagation uint64) {
	p.Doing("make", "the mount namespace private")
	p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.AT_RECURSIVE), p.Attr(0, 0, propagation), launch.Int(attrSize))
}
