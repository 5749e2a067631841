package ociruntime

import (
	"fmt"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// box is what the parent has prepared for the plan of a new container.
type box struct {
	spec        *specs.Spec
	sync        int          // read end: one byte from the parent lets the child go on
	console     int          // socket for the terminal's descriptor, or -1
	rootTree    int          // detached clone of the root
	rootfs      string       // of the host, absolute: where rootTree is attached
	rootGiven   bool         // rootTree is the caller's, and has no place on the host
	rootMount   string       // mount point that rootfs is below, when the host's is shared
	bundle      string       // what relative bind sources are relative to
	sources     map[int]int  // mounts index -> detached mount that the parent has made
	cgroups     []cgroupView // v1 hierarchies as the container sees them
	cgroupV2    string       // directory of the container in the v2 hierarchy
	join        []joined     // namespaces to enter
	joinFiles   []string
	newFlags    uint64 // namespaces that are new
	unshare     uint64 // those of them that the child makes, while the runtime goes on; the rest come by clone3
	late        late
	stage       []joined // namespaces to enter by [planner.stage], in place of join
	maps        *idMaps  // of the container's own or joined user namespace; nil without one
	userns      bool     // the container is not in the initial user namespace
	noPivot     bool
	labels      *labels
	warn        func(string)
	hooksBefore bool     // the parent runs hooks before pivot_root
	entered     bool     // the plan has joined the cgroups
	std         standard // descriptors that the process takes as its standard ones
	nulls       []int    // standard descriptors to replace by the container's /dev/null
}

const noticeHooks = 2

// planCreate writes the first part of a container's life, up to its own root.
func (p *planner) planCreate(b *box) error {
	s := b.spec
	p.session()
	p.takeStandard(b.std)
	p.name("keel:[INIT]")
	p.mountLabel = s.Linux.MountLabel
	if len(b.stage) > 0 {
		p.Doing("wait for", "the runtime")
		p.read1(b.sync, "sync")
		p.joinCgroups(b.joinFiles)
		b.joinFiles = nil
		p.stage(b.sync, b.stage, b.newFlags)
		p.session()
		p.enter(b)
	}
	if b.newFlags&unix.CLONE_NEWUSER != 0 {
		p.enter(b)
		p.becomeRoot()
	}
	p.openLabels(b.labels)
	p.notDumpable()
	if b.unshare != 0 {
		p.Doing("make", "the namespaces")
		p.Call("unshare", unix.SYS_UNSHARE, launch.Hex(b.unshare))
	}
	p.join(b.join, ^uint64(unix.CLONE_NEWCGROUP))
	p.timens(s.Linux)
	if s.Hostname != "" {
		p.Doing("set the hostname", s.Hostname)
		p.Call("sethostname", unix.SYS_SETHOSTNAME, p.Str(s.Hostname), launch.Int(len(s.Hostname)))
	}
	if s.Domainname != "" {
		p.Doing("set the domainname", s.Domainname)
		p.Call("setdomainname", unix.SYS_SETDOMAINNAME, p.Str(s.Domainname), launch.Int(len(s.Domainname)))
	}
	if b.newFlags&unix.CLONE_NEWNET != 0 {
		p.loopback()
	}
	p.sysctls(s.Linux.Sysctl)

	p.enterMounts(b)
	for i, m := range s.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			p.enter(b)
		}
		if err := p.mount(b, i, m); err != nil {
			return err
		}
		if p.Size() > maxPlan {
			p.largeAt(m.Destination)
			break
		}
	}
	if needsDevices(s) {
		p.devices(b)
		p.ownNull(b.nulls)
	}
	p.enter(b)
	if s.Process != nil && s.Process.Terminal {
		p.terminal(b.console, s.Process.ConsoleSize, true)
		p.control()
	}
	if b.hooksBefore {
		p.openFor(b.maps != nil, func() {
			p.Doing("wait for", "the hooks")
			p.Notify(noticeHooks, 0)
			p.read1(b.sync, "sync")
		})
	}
	p.protect()
	p.hide(s.Linux)
	if s.Root.Readonly {
		p.Doing("make read-only", "the root")
		p.setattr(launch.Of(p.root), 0, unix.MOUNT_ATTR_RDONLY, 0, 0)
	}
	p.enterRoot(b)
	if f, rec, ok := propagation(s.Linux.RootfsPropagation); ok {
		p.Doing("set the propagation", s.Linux.RootfsPropagation)
		flags := 0
		if rec {
			flags = unix.AT_RECURSIVE
		}
		p.setattr(launch.Of(p.root), flags, 0, 0, f)
	}
	if s.Process != nil {
		p.makeCwd(s.Process.Cwd)
	}
	if p.tooLarge != "" {
		return fmt.Errorf("config.json asks for too much: the launch plan would have %s", p.tooLarge)
	}
	return nil
}

// enter waits until the runtime has made the cgroups, and goes in; it comes as late as it may,
// so that the mounts are made at the same time. The first call counts.
func (p *planner) enter(b *box) {
	if b.entered {
		return
	}
	b.entered = true
	p.Doing("wait for", "the runtime")
	p.read1(b.sync, "sync")
	p.joinCgroups(b.joinFiles)
	p.affinity("")
	p.join(b.join, unix.CLONE_NEWCGROUP)
	for _, n := range b.spec.Linux.Namespaces {
		if n.Path == "" && n.Type == specs.CgroupNamespace {
			p.Doing("make", "the cgroup namespace")
			p.Call("unshare", unix.SYS_UNSHARE, launch.Hex(unix.CLONE_NEWCGROUP))
		}
	}
}

// join enters those of the existing namespaces whose flags are in mask.
func (p *planner) join(list []joined, mask uint64) {
	for _, n := range list {
		if n.flag&mask != 0 {
			p.Doing("join the namespace", n.path)
			p.Call("setns", unix.SYS_SETNS, p.FD(n.fd, "namespace"), launch.Hex(n.flag))
		}
	}
}

// read1 waits for a byte; a closed socket means that the runtime is gone.
func (p *planner) read1(fd int, name string) {
	_, arg := p.Mem(1)
	p.Call("read", unix.SYS_READ, p.FD(fd, name), arg, launch.Int(1)).Want(1)
}

// joinCgroups plans the moves into cgroups. Writing 0 to `tasks` from a single-threaded process
// avoids the kernel's global thread group lock and its RCU grace period
// (cgroup_procs_write_start). It is done with the creator's uid, before the user namespace's
// root takes over.
func (p *planner) joinCgroups(files []string) {
	for _, f := range files {
		p.Doing("join the cgroup", f)
		p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str(f), launch.Hex(unix.O_WRONLY|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
		p.Call("write", unix.SYS_WRITE, launch.Of(p.target), p.Str("0"), launch.Int(1)).Want(1)
		p.close(p.target)
	}
}

// becomeRoot takes the ids of the user namespace's root.
func (p *planner) becomeRoot() {
	p.Doing("become", "root of the user namespace")
	zero := launch.Int(0)
	p.Call("setresgid", unix.SYS_SETRESGID, zero, zero, zero)
	p.Call("setresuid", unix.SYS_SETRESUID, zero, zero, zero)
}

// makeCwd makes a missing working directory, as runc does. A name that a magic link or a
// loop is in the way of is left to the step that enters it, which names it.
func (p *planner) makeCwd(cwd string) {
	p.Doing("make the working directory", cwd)
	make, done := p.NewLabel(), p.NewLabel()
	p.openIn(cwd, unix.O_PATH, p.target).Ok(eNOENT).Else(make)
	p.Jump(done)
	p.Bind(make)
	p.makeAll(cwd, false)
	p.Bind(done)
}

func (p *planner) loopback() {
	p.Doing("bring up", "the loopback interface")
	ifr, arg := p.Mem(40) // struct ifreq
	copy(ifr, "lo")
	ifr[16] = unix.IFF_UP
	p.Call("socket", unix.SYS_SOCKET, launch.Int(unix.AF_INET), launch.Hex(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), launch.Int(0)).Out(p.target)
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(p.target), launch.Hex(unix.SIOCSIFFLAGS), arg)
	p.close(p.target)
}

// sysctls are written through a procfs of the plan's own, made before the root (R2).
func (p *planner) sysctls(list map[string]string) {
	if len(list) == 0 {
		return
	}
	p.Doing("mount", "a private procfs")
	p.newFS("proc", "", nil, 0)
	for _, k := range sortedKeys(list) {
		name, _ := ocispec.SysctlPath(k) // what was validated is what is written
		p.Doing("set the sysctl", k)
		p.Call("openat2", unix.SYS_OPENAT2, launch.Of(p.tree), p.Str("sys/"+name), p.How(unix.O_WRONLY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV, 0), launch.Int(howSize)).Out(p.target)
		p.Call("write", unix.SYS_WRITE, launch.Of(p.target), p.Str(list[k]), launch.Int(len(list[k]))).Want(uint32(len(list[k])))
		p.close(p.target)
	}
	p.close(p.tree)
}

// timens makes the time namespace and enters it: unshare affects children only, setns the
// (single-threaded) caller itself.
func (p *planner) timens(l *specs.Linux) {
	for _, n := range l.Namespaces {
		if n.Type != specs.TimeNamespace || n.Path != "" {
			continue
		}
		p.Doing("make", "the time namespace")
		p.Call("unshare", unix.SYS_UNSHARE, launch.Hex(unix.CLONE_NEWTIME))
		text := ""
		for _, k := range sortedKeys(l.TimeOffsets) {
			text += fmt.Sprintf("%s %d %d\n", k, l.TimeOffsets[k].Secs, l.TimeOffsets[k].Nanosecs)
		}
		if text != "" {
			p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/proc/self/timens_offsets"), launch.Hex(unix.O_WRONLY|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
			p.Call("write", unix.SYS_WRITE, launch.Of(p.target), p.Str(text), launch.Int(len(text))).Want(uint32(len(text)))
			p.close(p.target)
		}
		p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/proc/self/ns/time_for_children"), launch.Hex(unix.O_RDONLY|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
		p.Call("setns", unix.SYS_SETNS, launch.Of(p.target), launch.Hex(unix.CLONE_NEWTIME))
		p.close(p.target)
	}
}

// hide masks and protects paths. The mask is a clone of the host's own /dev/null, taken
// before the root changes, never a file of the container (CVE-2025-31133).
func (p *planner) hide(l *specs.Linux) {
	for _, name := range l.ReadonlyPaths {
		p.Doing("make read-only", name)
		skip := p.NewLabel()
		p.openIn(name, unix.O_PATH, p.target).Ok(eNOENT).Else(skip)
		p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Of(p.target), p.Str(""), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)).Out(p.tree)
		p.setattr(launch.Of(p.tree), unix.AT_RECURSIVE, unix.MOUNT_ATTR_RDONLY, 0, 0)
		p.attach(p.tree)
		p.close(p.tree)
		p.close(p.target)
		p.Bind(skip)
	}
	st, arg := p.Mem(256) // struct statx; stx_mode is the 16 bits at 28
	for _, name := range l.MaskedPaths {
		p.Doing("mask", name)
		skip, file, done := p.NewLabel(), p.NewLabel(), p.NewLabel()
		p.openIn(name, unix.O_PATH, p.target).Ok(eNOENT, eNOTDIR).Else(skip)
		// A file cannot cover a directory. To find out by trying would cost 50 µs: a clone that
		// is not attached goes with an RCU grace period.
		p.Call("statx", unix.SYS_STATX, launch.Of(p.target), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_TYPE), arg)
		p.Assert32(st[28:], unix.S_IFMT, unix.S_IFDIR, eACCES).Else(file)
		p.newFS("tmpfs", "tmpfs", []string{"nr_blocks=1", "nr_inodes=1"}, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
		p.Jump(done)
		p.Bind(file)
		p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str("/dev/null"), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Out(p.tree)
		p.Bind(done)
		p.attach(p.tree)
		p.close(p.tree)
		p.close(p.target)
		p.Bind(skip)
	}
}
