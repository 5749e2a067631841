package ociruntime

import (
	"path"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// errnos that plans tolerate.
const (
	eNOENT  = uint16(unix.ENOENT)
	eEXIST  = uint16(unix.EEXIST)
	eACCES  = uint16(unix.EACCES)
	eNOTDIR = uint16(unix.ENOTDIR)
	eINVAL  = uint16(unix.EINVAL)
	eNOSYS  = uint16(unix.ENOSYS)
	ePERM   = uint16(unix.EPERM)
)

const (
	inRoot   = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	howSize  = 24 // sizeof(struct open_how)
	attrSize = 32 // sizeof(struct mount_attr)
)

// planner writes a plan; its methods are the phrases that plans are made of.
type planner struct {
	*launch.Plan
	root, target, parent, tree, fs, cgroups, hierarchy, mode, from, in, out launch.Slot

	mountLabel string        // linux.mountLabel, for new file systems
	late       []launch.Slot // mounts to make read-only in the end
	detached   bool          // the root stays detached: see enterMounts
	statx      launch.Arg    // scratch: struct statx or struct statfs
	statxMem   []byte
	tooLarge   string // what the plan has too much of; "" if nothing
}

// Offsets in struct statx: stx_mode; stx_rdev_major, and stx_rdev_minor 4 bytes on.
const (
	statxMode = 28
	statxRdev = 128
)

func newPlanner() *planner {
	p := launch.New()
	mem, arg := p.Mem(256)
	return &planner{Plan: p, statx: arg, statxMem: mem, root: p.Slot("root"), target: p.Slot("target"), parent: p.Slot("parent"), tree: p.Slot("tree"), fs: p.Slot("fs"),
		cgroups: p.Slot("cgroups"), hierarchy: p.Slot("hierarchy"), mode: p.Slot("mode"),
		from: p.Slot("from"), in: p.Slot("in"), out: p.Slot("out")}
}

func (p *planner) close(s launch.Slot) { p.Call("close", unix.SYS_CLOSE, launch.Of(s)) }

// openIn opens a path of the container's root, following its links inside the root only.
func (p *planner) openIn(name string, flags uint64, out launch.Slot) launch.Step {
	return p.Call("openat2", unix.SYS_OPENAT2, launch.Of(p.root), p.Str(rel(name)), p.How(flags|unix.O_CLOEXEC, resolveFlags(name), 0), launch.Int(howSize)).Out(out)
}

// resolveFlags are those of openat2(2). What the runtime itself fills must not be a link, which
// would move it, in the root though (CVE-2026-41579, CVE-2025-52565; SECURITY.md R3).
func resolveFlags(name string) uint64 {
	switch rel(name) {
	case "dev", "dev/console":
		return inRoot | unix.RESOLVE_NO_SYMLINKS
	}
	return inRoot
}

// rel makes a container path relative to the root descriptor.
func rel(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// resolve opens a mount target into p.target, making what is missing: directories, and a
// regular file at the end when file is set. A dangling link is an error, never followed out.
func (p *planner) resolve(name string, file bool) {
	missing, done := p.NewLabel(), p.NewLabel()
	p.openIn(name, unix.O_PATH, p.target).Ok(eNOENT).Else(missing)
	p.Jump(done)
	p.Bind(missing)
	p.makeAll(name, file)
	p.openIn(name, unix.O_PATH, p.target)
	p.Bind(done)
}

// maxPlan bounds a plan's arguments, in bytes. An ordinary plan has some 10 KiB.
const maxPlan = 64 << 20

func (p *planner) largeAt(path string) {
	p.tooLarge = "more than " + strconv.Itoa(maxPlan>>20) + " MiB of arguments at the path " + strconv.Quote(path[:min(len(path), 64)])
}

// makeAll makes the missing directories of a path, and a file at its end when file is set.
// Each directory is reached from the root anew, because only there links stay inside; so a
// path of n bytes takes up to n²/4, and a configuration with thousands of them more memory
// than there is.
func (p *planner) makeAll(name string, file bool) {
	if p.Size() > maxPlan {
		p.largeAt(name)
		return
	}
	dir, base := path.Split(rel(name))
	if base == "." {
		return
	}
	parts := strings.Split(strings.TrimSuffix(dir, "/"), "/")
	for i, part := range parts {
		if part == "" {
			break
		}
		p.openIn(strings.Join(parts[:i], "/"), unix.O_PATH|unix.O_DIRECTORY, p.parent)
		p.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(p.parent), p.Str(part), launch.Oct(0o755)).Ok(eEXIST)
		p.close(p.parent)
	}
	p.openIn(dir, unix.O_PATH|unix.O_DIRECTORY, p.parent)
	if file {
		p.makeFile(base)
	} else {
		p.makeDir(base)
	}
	p.close(p.parent)
}

func (p *planner) makeDir(base string) {
	p.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(p.parent), p.Str(base), launch.Oct(0o755)).Ok(eEXIST)
}

func (p *planner) makeFile(base string) {
	p.Call("mknodat", unix.SYS_MKNODAT, launch.Of(p.parent), p.Str(base), launch.Oct(unix.S_IFREG|0o644), launch.Int(0)).Ok(eEXIST)
}

// attach moves the detached mount in slot from to p.target and closes the target.
func (p *planner) attach(from launch.Slot) launch.Step { return p.attachTo(p.target, from) }

func (p *planner) attachTo(target, from launch.Slot) launch.Step {
	return p.Call("move_mount", unix.SYS_MOVE_MOUNT, launch.Of(from), p.Str(""), launch.Of(target), p.Str(""),
		launch.Hex(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// newFS makes a detached mount of a new file system in p.tree.
func (p *planner) newFS(kind, source string, data []string, attrs uint64) {
	p.newFSOr(0, kind, source, data, attrs)
}

// newFSOr is newFS that goes on at refused, unless that is 0, when the kernel says EPERM.
func (p *planner) newFSOr(refused launch.Label, kind, source string, data []string, attrs uint64) {
	open := p.Call("fsopen", unix.SYS_FSOPEN, p.Str(kind), launch.Hex(unix.FSOPEN_CLOEXEC)).Out(p.fs)
	if refused != 0 {
		open.Ok(ePERM).Else(refused)
	}
	if source != "" {
		p.Call("fsconfig", unix.SYS_FSCONFIG, launch.Of(p.fs), launch.Int(unix.FSCONFIG_SET_STRING), p.Str("source"), p.Str(source), launch.Int(0))
	}
	for _, d := range append(data, labelMount(kind, p.mountLabel)...) {
		if k, v, ok := strings.Cut(d, "="); ok {
			p.Call("fsconfig", unix.SYS_FSCONFIG, launch.Of(p.fs), launch.Int(unix.FSCONFIG_SET_STRING), p.Str(k), p.Str(v), launch.Int(0))
		} else if d != "" {
			p.Call("fsconfig", unix.SYS_FSCONFIG, launch.Of(p.fs), launch.Int(unix.FSCONFIG_SET_FLAG), p.Str(d), launch.Int(0), launch.Int(0))
		}
	}
	p.Call("fsconfig", unix.SYS_FSCONFIG, launch.Of(p.fs), launch.Int(unix.FSCONFIG_CMD_CREATE), launch.Int(0), launch.Int(0), launch.Int(0))
	mount := p.Call("fsmount", unix.SYS_FSMOUNT, launch.Of(p.fs), launch.Hex(unix.FSMOUNT_CLOEXEC), launch.Hex(attrs)).Out(p.tree)
	if refused != 0 {
		mount.Ok(ePERM).Else(refused)
	}
	p.close(p.fs)
}

func (p *planner) setattr(fd launch.Arg, flags int, set, clear, propagation uint64) launch.Step {
	return p.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, fd, p.Str(""), launch.Hex(uint64(unix.AT_EMPTY_PATH|flags)), p.Attr(set, clear, propagation), launch.Int(attrSize))
}

func (p *planner) prctl(name string, args ...launch.Arg) launch.Step {
	return p.Call("prctl", unix.SYS_PRCTL, args...)
}
