package ociruntime

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// mount plans mounts[i].
func (p *planner) mount(b *box, i int, m specs.Mount) error {
	o := parseMountOptions(m)
	dest := path.Clean("/" + m.Destination)
	p.Doing("mount "+strings.TrimSpace(m.Type+" on"), dest)
	if fd, ok := b.sources[i]; ok {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("mounts[%d].source %s: %w", i, m.Source, err)
		}
		p.resolve(dest, st.Mode&unix.S_IFMT != unix.S_IFDIR)
		p.Set(p.tree, fd)
		p.attach(p.tree)
		p.close(p.target)
		return nil
	}
	if slices.Contains(b.late.mounts, i) {
		p.bindLate(b, i, m, o, dest)
		return nil
	}
	if m.Type == "proc" || m.Type == "sysfs" {
		p.plainDir(dest)
	} else {
		p.resolve(dest, false)
	}
	switch m.Type {
	case "cgroup", "cgroup2":
		p.cgroupMount(b, o)
		return nil
	case "tmpfs":
		if o.TmpCopyUp && b.late.mode != treesCloned {
			return p.copyUp(b, dest, o)
		}
		if !hasKey(o.Data, "mode") {
			mode := "mode=1777"
			if dest == "/dev" {
				mode = "mode=755"
			}
			o.Data = append(o.Data, mode)
		}
	case "sysfs":
		if b.userns {
			p.sysfs(m.Source, o)
			return nil
		}
	case "devpts":
		o.Data = b.dropUnmapped(o.Data)
	case "":
		return fmt.Errorf("mounts[%d].type of %s is missing", i, dest)
	}
	source := m.Source
	p.newFS(m.Type, source, o.forFS(), o.set|o.RecSet)
	for _, f := range o.Propagation {
		p.setattr(launch.Of(p.tree), 0, 0, 0, f&^unix.MS_REC)
	}
	p.attach(p.tree)
	p.close(p.tree)
	p.close(p.target)
	return nil
}

// plainDir opens the mount point of a procfs or sysfs into p.target. It must be a plain directory
// of the root: through a link or a volume there later writes would go elsewhere (CVE-2019-16884,
// CVE-2019-19921, CVE-2023-27561).
func (p *planner) plainDir(dest string) {
	made := p.NewLabel()
	p.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(p.root), p.Str(rel(dest)), launch.Oct(0o755)).Ok(eEXIST, eNOENT).Else(made)
	p.Bind(made)
	p.Call("openat2", unix.SYS_OPENAT2, launch.Of(p.root), p.Str(rel(dest)), p.How(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, inRoot|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV, 0), launch.Int(howSize)).Out(p.target)
}

func hasKey(data []string, key string) bool {
	for _, d := range data {
		if strings.HasPrefix(d, key+"=") {
			return true
		}
	}
	return false
}

// cgroupMount shows the container its own groups: on v2 one mount, on v1 a tmpfs with one
// bind a hierarchy. p.target is the mount point.
func (p *planner) cgroupMount(b *box, o mountOptions) {
	dirs := b.cgroupDirs
	if b.ownCgroups != nil {
		dirs = b.ownCgroups
	}
	bind := func(dir string) {
		p.Call("open_tree", unix.SYS_OPEN_TREE, launch.Int(unix.AT_FDCWD), p.Str(dir), launch.Hex(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Out(p.tree)
		p.setattr(launch.Of(p.tree), 0, o.set|o.RecSet, o.clear, unix.MS_PRIVATE)
		p.attach(p.tree)
		p.close(p.tree)
		p.close(p.target)
	}
	v1 := map[string]string{} // directory name in the container -> host directory
	for c, dir := range dirs {
		if c == "" {
			continue
		}
		name := strings.TrimPrefix(c, "name=")
		v1[name] = dir
	}
	if len(v1) == 0 {
		bind(dirs[""])
		return
	}
	p.newFS("tmpfs", "tmpfs", []string{"mode=755"}, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	sys := p.Slot("cgroups")
	p.attach(p.tree)
	p.Call("dup", unix.SYS_FCNTL, launch.Of(p.tree), launch.Int(unix.F_DUPFD_CLOEXEC), launch.Int(3)).Out(sys)
	p.close(p.tree)
	p.close(p.target)
	for _, name := range sortedKeys(v1) {
		p.Call("mkdirat", unix.SYS_MKDIRAT, launch.Of(sys), p.Str(name), launch.Oct(0o755))
		p.Call("openat2", unix.SYS_OPENAT2, launch.Of(sys), p.Str(name), p.How(unix.O_PATH|unix.O_CLOEXEC, unix.RESOLVE_BENEATH, 0), launch.Int(howSize)).Out(p.target)
		bind(v1[name])
	}
	if o.set&unix.MOUNT_ATTR_RDONLY != 0 {
		p.setattr(launch.Of(sys), 0, unix.MOUNT_ATTR_RDONLY, 0, 0)
	}
	p.close(sys)
}

var defaultNodes = [...]struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// devices fills /dev: nodes, or in a user namespace binds of the host's nodes, and links.
// /dev is resolved inside the root whatever it is a link to (CVE-2026-41579).
func (p *planner) devices(b *box) {
	dev := p.Slot("dev")
	p.Doing("open", "/dev")
	p.openIn("/dev", unix.O_PATH|unix.O_DIRECTORY, dev)
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
	for _, l := range [...][2]string{{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"}} {
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
	unlock, arg := p.Mem(4)
	_ = unlock
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(master), launch.Hex(unix.TIOCSPTLCK), arg)
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(master), launch.Hex(unix.TIOCGPTPEER), launch.Hex(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)).Out(peer)
	if size != nil {
		ws, warg := p.Mem(8)
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
	p.Doing("take", "the terminal")
	p.Call("ioctl", unix.SYS_IOCTL, launch.Of(peer), launch.Hex(unix.TIOCSCTTY), launch.Int(0))
	for fd := range 3 {
		p.Call("dup3", unix.SYS_DUP3, launch.Of(peer), launch.Int(fd), launch.Hex(0))
	}
	p.close(master)
	p.close(peer)
}
