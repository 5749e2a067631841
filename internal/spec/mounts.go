package spec

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultMounts are what every container has, with dockerd's options.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: shmPath, Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
	}
}

const shmPath = "/dev/shm"

// defaultShmSize is that of /dev/shm in bytes.
const defaultShmSize = 64 << 20

// mounts lists the default mounts, the init, and the user's mounts, each after those that it is in.
func (b *builder) mounts() error {
	user, err := b.userMounts()
	if err != nil {
		return err
	}
	taken := make(map[string]bool)
	for _, m := range user {
		taken[m.Destination] = true
	}
	for _, m := range defaultMounts() {
		if taken[m.Destination] || taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/") {
			continue
		}
		if m, ok := b.adapt(m); ok {
			b.spec.Mounts = append(b.spec.Mounts, m)
		}
	}
	if b.wantsInit() && !taken[InitPath] {
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: InitPath, Type: "bind", Source: b.Init, Options: []string{"bind", "ro"}})
	}
	b.spec.Mounts = append(b.spec.Mounts, user...)
	return nil
}

// adapt makes one of the default mounts fit the container; false: it has none.
func (b *builder) adapt(m specs.Mount) (specs.Mount, bool) {
	h := b.Host
	writable := h.Privileged
	switch m.Destination {
	case shmPath:
		if h.IpcMode.IsNone() {
			return m, false
		}
		if h.IpcMode.IsHost() || b.Shm != "" {
			source := b.Shm
			if source == "" {
				source = shmPath
			}
			return specs.Mount{Destination: shmPath, Type: "bind", Source: source, Options: []string{"rbind", "rprivate"}}, true
		}
		size := h.ShmSize
		if size == 0 {
			size = defaultShmSize
		}
		m.Options = append(m.Options, "size="+strconv.FormatInt(size, 10))
	case "/dev/pts":
		if b.IDs != nil && b.IDs.Size <= 5 { // the group tty is not mapped
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
		}
	case "/sys/fs/cgroup":
		if b.security.WritableCgroups != nil {
			writable = *b.security.WritableCgroups
		}
		fallthrough
	case "/sys":
		if writable {
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "ro" })
		}
	}
	return m, true
}

// userMounts are those that were asked for, and the container's own files.
func (b *builder) userMounts() ([]specs.Mount, error) {
	all := slices.Clone(b.Mounts)
	for _, f := range []Mount{
		{Destination: "/etc/resolv.conf", Source: b.Files.ResolvConf},
		{Destination: "/etc/hostname", Source: b.Files.Hostname},
		{Destination: "/etc/hosts", Source: b.Files.Hosts},
	} {
		if f.Source == "" || slices.ContainsFunc(all, func(m Mount) bool { return m.Destination == f.Destination }) {
			continue
		}
		f.IDMap, f.ReadOnly = b.IDs != nil, b.spec.Root.Readonly
		all = append(all, f)
	}
	// A mount point that lies in another mount comes after it.
	slices.SortStableFunc(all, func(x, y Mount) int { return depth(x.Destination) - depth(y.Destination) })
	var out []specs.Mount
	for _, m := range all {
		if !path.IsAbs(m.Destination) || path.Clean(m.Destination) != m.Destination || m.Destination == "/" {
			return nil, invalid(fmt.Sprintf("invalid mount path: '%s' mount path must be absolute", m.Destination))
		}
		one := b.bind
		if m.Tmpfs != nil {
			one = b.tmpfs
		}
		s, err := one(m)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func depth(p string) int { return strings.Count(p, "/") }

func (b *builder) bind(m Mount) (specs.Mount, error) {
	s := specs.Mount{Destination: m.Destination, Type: "bind", Source: m.Source, Options: []string{"rbind"}}
	if m.NonRecursive {
		s.Options[0] = "bind"
	}
	if m.ReadOnly {
		if m.ReadOnlyNonRecursive && m.ReadOnlyForceRecursive {
			return s, invalid("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
		}
		ro := "ro"
		switch {
		case m.ReadOnlyNonRecursive:
		case b.Facts.RecursiveReadOnly:
			ro = "rro"
		case m.ReadOnlyForceRecursive:
			return s, invalid("the kernel cannot make mounts recursively read-only (it needs Linux 5.12)")
		}
		s.Options = append(s.Options, ro)
	}
	if m.Propagation == "" {
		m.Propagation = "rprivate"
	}
	s.Options = append(s.Options, m.Propagation)
	b.spread(m.Propagation)
	for _, o := range []struct {
		name string
		on   bool
	}{{"nosuid", m.NoSuid}, {"nodev", m.NoDev}, {"noexec", m.NoExec}} {
		if o.on {
			s.Options = append(s.Options, o.name)
		}
	}
	if m.IDMap {
		if b.IDs == nil {
			return s, invalid(fmt.Sprintf("the mount on %s cannot be id-mapped: the container has no user namespace", m.Destination))
		}
		idmap := "ridmap"
		if m.NonRecursive {
			idmap = "idmap"
		}
		s.Options = append(s.Options, idmap)
		s.UIDMappings, s.GIDMappings = b.idMappings(), b.idMappings()
	}
	return s, nil
}

// spread makes the root's propagation let mounts through that a bind mount wants to have or give.
func (b *builder) spread(propagation string) {
	l := b.spec.Linux
	switch propagation {
	case "shared", "rshared":
		l.RootfsPropagation = "shared"
	case "slave", "rslave":
		if l.RootfsPropagation == "" {
			l.RootfsPropagation = "rslave"
		}
	}
}

// tmpfs merges the options with Docker's defaults: of those that contradict each other the last one
// counts.
func (b *builder) tmpfs(m Mount) (specs.Mount, error) {
	options, err := mergeTmpfs(append([]string{"noexec", "nosuid", "nodev", "rprivate"}, m.Tmpfs...))
	if err == nil && m.ReadOnly && !slices.Contains(options, "ro") {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: m.Destination, Type: "tmpfs", Source: "tmpfs", Options: options}, err
}
