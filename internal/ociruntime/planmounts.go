package ociruntime

import (
	"encoding/binary"
	"path"
	"slices"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

var defaultNodes = [...]struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// devices fills /dev: nodes, or in a user namespace binds of the host's nodes, and links.
// /dev is a directory of the root, not a link (resolveFlags).
func (p *planner) devices(b *box) {
	dev := p.Slot("dev")
	p.Doing("open", "/dev")
	p.resolve("/dev", false)
	p.openIn("/dev", unix.O_PATH|unix.O_DIRECTORY, dev)
	p.close(p.target)
	mask := p.Slot("umask")
	p.Call("umask", unix.SYS_UMASK, launch.Oct(0)).Out(mask)
	for _, n := range defaultNodes {
		p.Doing("make the device", "/dev/"+n.name)
		if b.userns {
			p.bindNode("/dev/"+n.name, unix.S_IFCHR, n.major, n.minor)
			continue
		}
		p.Call("mknodat", unix.SYS_MKNODAT, launch.Of(dev), p.Str(n.name), launch.Oct(unix.S_IFCHR|0o666), launch.Int(int(unix.Mkdev(n.major, n.minor)))).Ok(eEXIST)
	}
	for _, d := range b.spec.Linux.Devices {
		p.Doing("make the device", d.Path)
		kind := deviceKind(d.Type)
		if b.userns && kind != unix.S_IFIFO {
			p.bindNode(d.Path, kind, uint32(d.Major), uint32(d.Minor))
			continue
		}
		mode := uint32(0o666)
		if d.FileMode != nil {
			mode = uint32(d.FileMode.Perm())
		}
		mode |= kind
		dir, base := path.Split(path.Clean("/" + d.Path))
		p.resolve(dir, false)
		exists := p.NewLabel()
		p.Call("mknodat", unix.SYS_MKNODAT, launch.Of(p.target), p.Str(base), launch.Oct(mode), launch.Int(int(unix.Mkdev(uint32(d.Major), uint32(d.Minor))))).Ok(eEXIST).Else(exists)
		if d.UID != nil || d.GID != nil {
			uid, gid := -1, -1
			if d.UID != nil {
				uid = int(*d.UID)
			}
			if d.GID != nil {
				gid = int(*d.GID)
			}
			p.Call("fchownat", unix.SYS_FCHOWNAT, launch.Of(p.target), p.Str(base), launch.Int(uid), launch.Int(gid), launch.Hex(unix.AT_SYMLINK_NOFOLLOW))
		}
		p.Bind(exists)
		p.close(p.target)
	}
	p.Doing("make the link", "/dev/ptmx") // in the place of what the image may have there, as runc does
	p.Call("unlinkat", unix.SYS_UNLINKAT, launch.Of(dev), p.Str("ptmx"), launch.Int(0)).Ok(eNOENT)
	p.Call("symlinkat", unix.SYS_SYMLINKAT, p.Str("pts/ptmx"), launch.Of(dev), p.Str("ptmx"))
	links := [][2]string{{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}}
	if unix.Access("/proc/kcore", unix.F_OK) == nil {
		links = append(links, [2]string{"/proc/kcore", "core"})
	}
	for _, l := range links {
		p.Doing("make the link", "/dev/"+l[1])
		p.Call("symlinkat", unix.SYS_SYMLINKAT, p.Str(l[0]), launch.Of(dev), p.Str(l[1])).Ok(eEXIST)
	}
	p.Call("umask", unix.SYS_UMASK, launch.Of(mask))
	p.close(dev)
}

// terminal makes the pseudo terminal in the container's own devpts, takes its other end by
// ioctl, never by name (CVE-2025-52565), and hands the master to the parent.
func (p *planner) terminal(console int, size *specs.Box, bindConsole bool) {
	p.Doing("open", "/dev/pts/ptmx")
	master, peer := p.Slot("ptmx"), p.Slot("pts")
	p.openIn("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY, master)
	// What the root has under that name may be anything: only a pty master is used (R3).
	p.Call("statx", unix.SYS_STATX, launch.Of(master), p.Str(""), launch.Hex(unix.AT_EMPTY_PATH), launch.Hex(unix.STATX_TYPE), p.statx)
	p.Assert32(p.statxMem[statxMode:], unix.S_IFMT, unix.S_IFCHR, uint16(unix.ENODEV))
	p.Assert32(p.statxMem[statxRdev:], 0xffffffff, 5, uint16(unix.ENODEV))
	p.Assert32(p.statxMem[statxRdev+4:], 0xffffffff, 2, uint16(unix.ENODEV))
	_, arg := p.Mem(4)
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(master), launch.Hex(unix.TIOCSPTLCK), arg)
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(master), launch.Hex(unix.TIOCGPTPEER), launch.Hex(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)).Out(peer)
	if size != nil {
		ws, warg := p.Data(8)
		binary.NativeEndian.PutUint16(ws, uint16(size.Height))
		binary.NativeEndian.PutUint16(ws[2:], uint16(size.Width))
		p.Call("ioctl", unix.SYS_IOCTL, launch.Of(master), launch.Hex(unix.TIOCSWINSZ), warg)
	}
	if bindConsole {
		p.Doing("mount the terminal on", "/dev/console")
		p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Of(peer), p.Str(""), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)).Out(p.tree)
		p.resolve("/dev/console", true)
		p.attach(p.tree)
		p.close(p.tree)
		p.close(p.target)
	}
	p.Doing("hand over", "the terminal")
	p.sendFD(console, master)
	for fd := range 3 {
		p.Call("dup3", unix.SYS_DUP3, launch.Of(peer), launch.Int(fd), launch.Hex(0))
	}
	p.close(master)
	p.close(peer)
}

// session leaves the caller's session, and with it its terminal: nothing can be typed into
// that from inside (TIOCSTI).
func (p *planner) session() {
	p.Doing("start", "a session")
	p.Call("setsid", unix.SYS_SETSID)
}

// control makes the terminal on standard input that of the session.
func (p *planner) control() {
	p.Doing("take", "the terminal")
	p.Call("ioctl", unix.SYS_IOCTL, launch.Int(0), launch.Hex(unix.TIOCSCTTY), launch.Int(0))
}
