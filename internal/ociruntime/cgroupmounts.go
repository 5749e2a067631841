package ociruntime

import (
	"path"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroupView is a v1 hierarchy as a container sees it: a directory named as the host's mount
// point, with the container's group in it, and links from the names of single controllers.
type cgroupView struct {
	name  string   // "cpu,cpuacct"
	dir   string   // the container's group on the host
	links []string // "cpu", "cpuacct"
}

// show sets what a cgroup mount shows: the directories by controller, "" for the v2 hierarchy.
func (b *box) show(h *cgroup.Host, paths map[string]string) {
	b.cgroups, b.cgroupV2 = cgroupViews(h, paths), paths[""]
}

// cgroupViews are the v1 hierarchies that the container has a group in.
func cgroupViews(h *cgroup.Host, paths map[string]string) (list []cgroupView) {
	for _, hi := range h.Hierarchies {
		if hi.V2 {
			continue
		}
		v := cgroupView{name: path.Base(hi.Mount)}
		for _, c := range hi.Controllers {
			if dir := paths[c]; dir != "" {
				v.dir = dir
			}
			if n := strings.TrimPrefix(c, "name="); n != v.name {
				v.links = append(v.links, n)
			}
		}
		if v.dir != "" {
			list = append(list, v)
		}
	}
	return list
}

// cgroupMount shows the container its own groups, on p.target, which it closes: on v1 and hybrid
// hosts a tmpfs with one bind a hierarchy, on v2 hosts the hierarchy.
func (p *planner) cgroupMount(b *box, kind string, o mountOptions) {
	if b.userns && !hasNamespace(b.spec, specs.CgroupNamespace) {
		// Root of a user namespace may own groups of the host (delegation), and without a cgroup
		// namespace it is the host's hierarchy that it sees (CVE-2023-25809).
		o.set, o.clear = o.set|unix.MOUNT_ATTR_RDONLY, o.clear&^unix.MOUNT_ATTR_RDONLY
	}
	if kind == "cgroup2" || len(b.cgroups) == 0 {
		p.cgroup2(b.cgroupV2, o)
		return
	}
	p.newFS("tmpfs", "tmpfs", []string{"mode=755"}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	sys, dir := p.cgroups, p.hierarchy
	p.propagate(o)
	p.Call("fcntl", unix.SYS_FCNTL, launch.Of(p.tree), launch.Int(unix.F_DUPFD_CLOEXEC), launch.Int(3)).Out(sys)
	p.close(p.tree)
	if !p.detached {
		p.attach(sys)
	}
	for _, v := range b.cgroups {
		p.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(sys), p.Str(v.name), launch.Oct(0o755))
		p.Call("openat2", unix.SYS_OPENAT2, launch.Of(sys), p.Str(v.name), p.How(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_BENEATH, 0), launch.Int(howSize)).Out(dir)
		p.cgroupDir(v.dir, o)
		p.attachTo(dir, p.tree)
		p.close(p.tree)
		p.close(dir)
		for _, l := range v.links {
			p.Call("symlinkat", unix.SYS_SYMLINKAT, p.Str(v.name), launch.Of(sys), p.Str(l)).Ok(eEXIST)
		}
	}
	if o.set&unix.MOUNT_ATTR_RDONLY != 0 {
		p.setattr(launch.Of(sys), 0, unix.MOUNT_ATTR_RDONLY, 0, 0)
	}
	if p.detached {
		p.attach(sys)
	}
	p.close(p.target)
	p.close(sys)
}

// cgroupDir makes p.tree a clone of the host's mount that begins at one group.
func (p *planner) cgroupDir(dir string, o mountOptions) {
	p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(dir), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Out(p.tree)
	p.setattr(launch.Of(p.tree), 0, o.set|o.RecSet, o.clear, unix.MS_PRIVATE)
}

// cgroup2 mounts the v2 hierarchy, whose root is that of the container's cgroup namespace. In a
// user namespace without a cgroup namespace of its own that is not allowed: there the container
// gets its own group alone.
func (p *planner) cgroup2(dir string, o mountOptions) {
	own, attach := p.NewLabel(), p.NewLabel()
	tolerate := func(s launch.Step) {
		if dir != "" {
			s.Ok(ePERM, uint16(unix.EBUSY)).Else(own)
		}
	}
	tolerate(p.Call("fsopen", unix.SYS_FSOPEN, p.Str("cgroup2"), launch.Hex(unix.FSOPEN_CLOEXEC)).Out(p.fs))
	tolerate(p.Call("fsconfig", unix.SYS_FSCONFIG, launch.Of(p.fs), launch.Int(unix.FSCONFIG_CMD_CREATE), launch.Int(0), launch.Int(0), launch.Int(0)))
	tolerate(p.Call("fsmount", unix.SYS_FSMOUNT, launch.Of(p.fs), launch.Hex(unix.FSMOUNT_CLOEXEC), launch.Hex(o.set|o.RecSet)).Out(p.tree))
	p.close(p.fs)
	p.Jump(attach)
	if dir != "" {
		p.Bind(own)
		p.cgroupDir(dir, o)
	}
	p.Bind(attach)
	p.propagate(o)
	p.attach(p.tree)
	p.close(p.tree)
	p.close(p.target)
}
