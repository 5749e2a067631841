package ociruntime

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mount plans mounts[i]. Mounts are made in the order of the list, and binds are cloned at their
// turn: the source may be in an earlier mount.
func (p *planner) mount(b *box, i int, m specs.Mount) error {
	o := parseMountOptions(m)
	dest := path.Clean("/" + m.Destination)
	bind := o.Bind() || m.Type == "bind"
	if err := checkProc(dest, m.Type, bind); err != nil {
		return fmt.Errorf("mounts[%d].destination: %w", i, err)
	}
	if fd, made := b.sources[i]; made {
		p.Doing("mount on", dest)
		p.SetArg(p.tree, p.FD(fd, "mounts["+strconv.Itoa(i)+"].source"))
		p.place(dest, bind)
		return nil
	}
	if slices.Contains(b.late.mounts, i) {
		p.takeBind(b, i, m, o)
		p.Doing("mount "+m.Source+" on", dest)
		p.place(dest, true)
		p.close(p.tree)
		return nil
	}
	if bind {
		source := m.Source
		if !filepath.IsAbs(source) {
			source = filepath.Join(b.bundle, source)
		}
		p.Doing(fmt.Sprintf("open mounts[%d].source", i), source)
		p.cloneBind(source, o)
		p.Doing("mount "+source+" on", dest)
		p.place(dest, true)
		p.close(p.tree)
		return nil
	}
	p.Doing("mount "+m.Type+" on", dest)
	switch m.Type {
	case "":
		return fmt.Errorf("mounts[%d].type of %s is missing", i, dest)
	case "proc", "sysfs":
		p.plainDir(dest)
		if m.Type == "sysfs" && b.userns {
			p.sysfs(m.Source, o)
			return nil
		}
		p.newMount(m, dest, o, 0)
	case "tmpfs":
		if o.TmpCopyUp && b.late.mode != treesCloned {
			p.resolve(dest, false)
			p.outsideProc(dest)
			return p.copyUp(b, dest, o)
		}
		p.tmpfs(m, dest, o)
	case "cgroup", "cgroup2":
		p.resolve(dest, false)
		p.outsideProc(dest)
		p.cgroupMount(b, m.Type, o)
	default:
		p.resolve(dest, false)
		p.outsideProc(dest)
		if m.Type == "devpts" {
			o.Data = b.dropUnmapped(o.Data)
		}
		p.newMount(m, dest, o, 0)
		if m.Type == "mqueue" && p.mountLabel != "" {
			p.labelRoot(dest, p.mountLabel)
		}
	}
	return nil
}

// cloneBind makes a detached clone of a bind source in p.tree, with its attributes. The source is
// a path of the host, resolved once.
func (p *planner) cloneBind(source string, o mountOptions) {
	flags := uint64(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if o.Flags&unix.MS_REC != 0 {
		flags |= unix.AT_RECURSIVE
	}
	if o.SrcNoFollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(source), launch.Hex(flags)).Out(p.tree)
	p.Doing("set the attributes of", source)
	p.propagate(o)
	if o.set|o.clear != 0 {
		p.setattr(launch.Of(p.tree), 0, o.set, o.clear, 0)
	}
	if o.RecSet|o.RecClear != 0 {
		p.setattr(launch.Of(p.tree), unix.AT_RECURSIVE, o.RecSet, o.RecClear, 0)
	}
}

// propagate sets the propagation of the mount in p.tree: each option in turn, as with mount(2).
func (p *planner) propagate(o mountOptions) {
	for _, f := range o.Propagation {
		flags := 0
		if f&unix.MS_REC != 0 {
			flags = unix.AT_RECURSIVE
		}
		p.setattr(launch.Of(p.tree), flags, 0, 0, f&^unix.MS_REC)
	}
}

// place attaches the mount in p.tree. A target that is missing becomes a directory or an empty
// file, whichever the mount's root is.
func (p *planner) place(dest string, bind bool) {
	missing, file, made, done := p.NewLabel(), p.NewLabel(), p.NewLabel(), p.NewLabel()
	p.openIn(dest, unix.O_PATH, p.target).Ok(eNOENT).Else(missing)
	p.Jump(done)
	p.Bind(missing)
	dir, base := path.Split(rel(dest))
	p.makeAll(dir, false)
	p.openIn(dir, unix.O_PATH|unix.O_DIRECTORY, p.parent)
	p.Call("statx", unix.SYS_STATX, launch.Of(p.tree), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_TYPE), p.statx)
	p.Assert32(p.statxMem[statxMode:], unix.S_IFMT, unix.S_IFDIR, 0).Else(file)
	p.makeDir(base)
	p.Jump(made)
	p.Bind(file)
	p.makeFile(base)
	p.Bind(made)
	p.close(p.parent)
	p.openIn(dest, unix.O_PATH, p.target)
	p.Bind(done)
	switch {
	case dest == "/proc" && bind:
		p.mustBeProc()
	default:
		p.outsideProc(dest)
	}
	p.attach(p.tree)
	p.close(p.target)
}

// newMount makes the new file system of a mount and attaches it to p.target. A slot mode that is
// not 0 gives its root a mode. A tmpfs or /dev that is to be read-only becomes so in the end, when
// everything in it is made.
func (p *planner) newMount(m specs.Mount, dest string, o mountOptions, mode launch.Slot) {
	attrs := o.set | o.RecSet
	late := (dest == "/dev" || m.Type == "tmpfs") && attrs&unix.MOUNT_ATTR_RDONLY != 0
	if late {
		attrs &^= unix.MOUNT_ATTR_RDONLY
	}
	p.newFS(m.Type, m.Source, o.forFS(), attrs)
	p.propagate(o)
	if mode != 0 {
		as := p.NewLabel()
		p.JumpZero(mode, as)
		p.Call("fchmodat", unix.SYS_FCHMODAT, launch.Of(p.tree), p.Str("."), launch.Of(mode))
		p.Bind(as)
	}
	switch {
	case late && p.detached:
		p.setattr(launch.Of(p.tree), 0, unix.MOUNT_ATTR_RDONLY, 0, 0)
	case late:
		if len(p.late) == maxLate {
			p.tooLarge = "more than " + strconv.Itoa(maxLate) + " file systems to be made read-only in the end"
			break
		}
		keep := p.Slot("late")
		p.Call("fcntl", unix.SYS_FCNTL, launch.Of(p.tree), launch.Int(unix.F_DUPFD_CLOEXEC), launch.Int(3)).Out(keep)
		p.late = append(p.late, keep)
	}
	p.attach(p.tree)
	p.close(p.target)
	p.close(p.tree)
}

// maxLate bounds the file systems that are made read-only in the end: each has a slot.
const maxLate = 200

// protect makes read-only what mounts or devices had to be made in first.
func (p *planner) protect() {
	for _, s := range p.late {
		p.Doing("make read-only", "a file system of the container")
		p.setattr(launch.Of(s), 0, unix.MOUNT_ATTR_RDONLY, 0, 0)
		p.close(s)
	}
}

// tmpfs plans a tmpfs. Without a mode in the options its root gets that of the directory that it
// covers, as with runc: a private /tmp stays private.
func (p *planner) tmpfs(m specs.Mount, dest string, o mountOptions) {
	if dest == "/dev" && !hasKey(o.Data, "mode") {
		o.Data = append(slices.Clone(o.Data), "mode=755")
	}
	if hasKey(o.Data, "mode") {
		p.resolve(dest, false)
		p.outsideProc(dest)
		p.newMount(m, dest, o, 0)
		return
	}
	mode := p.mode
	missing, done := p.NewLabel(), p.NewLabel()
	p.openIn(dest, unix.O_PATH, p.target).Ok(eNOENT).Else(missing)
	p.Call("statx", unix.SYS_STATX, launch.Of(p.target), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_MODE), p.statx)
	p.Load32(mode, p.statxMem[statxMode:]) // stx_mode, and 16 bits that are 0
	p.Jump(done)
	p.Bind(missing)
	p.makeAll(dest, false)
	p.openIn(dest, unix.O_PATH, p.target)
	p.Set(mode, 0)
	p.Bind(done)
	p.outsideProc(dest)
	p.newMount(m, dest, o, mode)
}

// plainDir opens the target of procfs or sysfs, which must be a plain directory: through a link
// or a volume there later writes would go elsewhere (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561).
func (p *planner) plainDir(dest string) {
	resolve := uint64(inRoot | unix.RESOLVE_NO_SYMLINKS)
	if strings.Count(dest, "/") == 1 {
		resolve |= unix.RESOLVE_NO_XDEV
	}
	open := func() launch.Step {
		return p.Call("openat2", unix.SYS_OPENAT2, launch.Of(p.root), p.Str(rel(dest)), p.How(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, resolve, 0), launch.Int(howSize)).Out(p.target)
	}
	missing, done := p.NewLabel(), p.NewLabel()
	open().Ok(eNOENT).Else(missing)
	p.Jump(done)
	p.Bind(missing)
	p.makeAll(dest, false)
	open()
	p.Bind(done)
}

// inProc are the files of procfs that lxcfs and others put a file of theirs on: runc's list.
func inProc(dest string) bool {
	switch dest {
	case "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
		"/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled":
		return true
	}
	return false
}

// checkProc refuses mounts that would put something else in the place of procfs (CVE-2019-16884).
func checkProc(dest, kind string, bind bool) error {
	switch {
	case dest == "/proc" && kind != "proc" && !bind:
		return fmt.Errorf("%q cannot be mounted because it is not of type proc", dest)
	case strings.HasPrefix(dest, "/proc/") && !inProc(dest):
		return fmt.Errorf("%q cannot be mounted because it is inside /proc", dest)
	}
	return nil
}

// outsideProc fails when p.target, by whatever link, has come to lie in procfs.
func (p *planner) outsideProc(dest string) {
	if inProc(dest) {
		return
	}
	ok := p.NewLabel()
	p.fstatfs(p.target)
	p.Assert32(p.statxMem, 0xffffffff, unix.PROC_SUPER_MAGIC, 0).Else(ok)
	p.Fail(ePERM)
	p.Bind(ok)
}

// mustBeProc fails when the mount in p.tree, which is to be /proc, is none of procfs.
func (p *planner) mustBeProc() {
	p.fstatfs(p.tree)
	p.Assert32(p.statxMem, 0xffffffff, unix.PROC_SUPER_MAGIC, ePERM)
}

func (p *planner) fstatfs(s launch.Slot) {
	p.Call("fstatfs", unix.SYS_FSTATFS, launch.Of(s), p.statx) // f_type is first, in the native order: its low word on little-endian machines
}

func hasKey(data []string, key string) bool {
	for _, d := range data {
		if strings.HasPrefix(d, key+"=") {
			return true
		}
	}
	return false
}
