package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mode is the kind of cgroup layout of a host.
type Mode uint8

const (
	None   Mode = iota // no cgroup file system is mounted
	V1                 // controllers each in a hierarchy of their own
	V2                 // one hierarchy
	Hybrid             // V1, and a v2 hierarchy beside it
)

func (m Mode) String() string {
	return [...]string{"none", "v1", "v2", "hybrid"}[m&3]
}

// Hierarchy is one mounted cgroup tree.
type Hierarchy struct {
	// Controllers of a v1 hierarchy, or its name as "name=systemd". Nil on v2, whose
	// controllers can move at any time: see [Host.V2Controllers].
	Controllers []string
	V2          bool
	Mount       string // directory
}

// Name is the key of the hierarchy in /proc/PID/cgroup: "cpu,cpuacct", "name=systemd", "".
func (h *Hierarchy) Name() string { return strings.Join(h.Controllers, ",") }

// Host is the cgroup layout of this machine as the calling process sees it.
type Host struct {
	Hierarchies []Hierarchy // v1 in a fixed order, v2 last

	procSelf string // /proc/self
	ownOnce  sync.Once
	own      map[string]string // own cgroup by controller name
	ownErr   error
}

// controllersV1 returns the v1 hierarchies that runc joins, in the order in which the child
// joins them.
func controllersV1() [15]string {
	return [...]string{"cpuset", "cpu", "cpuacct", "memory", "devices", "freezer", "net_cls", "blkio",
		"perf_event", "net_prio", "hugetlb", "pids", "rdma", "misc", "name=systemd"}
}

// Detect finds the hierarchies. In the common case it costs a listing of /sys/fs/cgroup and a
// statfs(2) for each mount, and reads no file: /proc/self/mountinfo grows with every container,
// and /proc/self/cgroup takes the kernel's global cgroup lock.
func Detect() (*Host, error) {
	return detect("/sys/fs/cgroup", "/proc/self", fsMagic, "/proc/cgroups")
}

// fsMagic returns the type of the file system that path is on, 0 when that cannot be told.
func fsMagic(path string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return 0
	}
	return int64(st.Type)
}

func detect(root, procSelf string, magic func(string) int64, procCgroups string) (*Host, error) {
	h := &Host{procSelf: procSelf}
	switch magic(root) {
	case unix.CGROUP2_SUPER_MAGIC:
		h.Hierarchies = []Hierarchy{{V2: true, Mount: root}}
		return h, nil
	case unix.TMPFS_MAGIC:
		if h.probeV1(root, magic) && !h.missing(procCgroups) {
			return h, nil
		}
	}
	h.Hierarchies = nil
	if err := h.fromMountinfo(procSelf + "/mountinfo"); err != nil {
		return nil, err
	}
	return h, nil
}

// probeV1 looks for each controller under root, where it is a mount or a link to one. It
// reports whether it found any.
func (h *Host) probeV1(root string, magic func(string) int64) bool {
	names, err := listNames(root)
	if err != nil {
		return false
	}
	for _, c := range controllersV1() {
		dir := strings.TrimPrefix(c, "name=")
		// A mount of several (cpu,cpuacct) goes before the link with one of its names.
		i := slices.IndexFunc(names, func(n string) bool {
			return strings.Contains(n, ",") && slices.Contains(strings.Split(n, ","), dir)
		})
		if i < 0 {
			if i = slices.Index(names, dir); i < 0 {
				continue
			}
		}
		mount := root + "/" + names[i]
		if j := slices.IndexFunc(h.Hierarchies, func(hi Hierarchy) bool { return hi.Mount == mount }); j >= 0 {
			h.Hierarchies[j].Controllers = append(h.Hierarchies[j].Controllers, c)
		} else if magic(mount) == unix.CGROUP_SUPER_MAGIC {
			h.Hierarchies = append(h.Hierarchies, Hierarchy{Controllers: []string{c}, Mount: mount})
		}
	}
	if len(h.Hierarchies) == 0 {
		return false
	}
	if slices.Contains(names, "unified") && magic(root+"/unified") == unix.CGROUP2_SUPER_MAGIC {
		h.Hierarchies = append(h.Hierarchies, Hierarchy{V2: true, Mount: root + "/unified"})
	}
	return true
}

// listNames returns the entries of a small directory.
func listNames(dir string) ([]string, error) {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	names := make([]string, 0, 32)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
		if n < len(buf)/2 {
			return names, nil
		}
	}
}

// missing tells whether a common controller was not found although /proc/cgroups says that
// it is on some v1 hierarchy, so that it must be mounted at an unusual place.
func (h *Host) missing(procCgroups string) bool {
	lost := slices.ContainsFunc([]string{"cpu", "cpuset", "memory", "devices", "freezer", "pids", "blkio"},
		func(c string) bool { return h.v1(c) == nil })
	if !lost {
		return false
	}
	i := strings.LastIndexByte(procCgroups, '/')
	text, err := readLong(procCgroups[:i], procCgroups[i+1:])
	if err != nil {
		return true
	}
	known := controllersV1()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 4 && f[1] != "0" && !strings.HasPrefix(f[0], "#") && slices.Contains(known[:], f[0]) && h.v1(f[0]) == nil {
			return true
		}
	}
	return false
}

// Mode returns the kind of layout.
func (h *Host) Mode() Mode {
	var one, two bool
	for i := range h.Hierarchies {
		if h.Hierarchies[i].V2 {
			two = true
		} else {
			one = true
		}
	}
	switch {
	case one && two:
		return Hybrid
	case one:
		return V1
	case two:
		return V2
	}
	return None
}

// v1 returns the v1 hierarchy of a controller, or nil.
func (h *Host) v1(controller string) *Hierarchy {
	for i := range h.Hierarchies {
		if slices.Contains(h.Hierarchies[i].Controllers, controller) {
			return &h.Hierarchies[i]
		}
	}
	return nil
}

func (h *Host) v2() *Hierarchy {
	for i := range h.Hierarchies {
		if h.Hierarchies[i].V2 {
			return &h.Hierarchies[i]
		}
	}
	return nil
}

// V2Controllers returns the controllers that the v2 hierarchy holds now; none without one.
func (h *Host) V2Controllers() ([]string, error) {
	two := h.v2()
	if two == nil {
		return nil, nil
	}
	text, err := readFile(two.Mount, "cgroup.controllers")
	return strings.Fields(text), err
}

// Own returns the cgroup that the calling process is in, as a path below the hierarchy's
// mount point that begins with "/".
func (h *Host) Own(hi *Hierarchy) (string, error) {
	h.ownOnce.Do(func() {
		text, err := readLong(h.procSelf, "cgroup")
		h.own, h.ownErr = parseProcCgroup(text), err
	})
	if h.ownErr != nil {
		return "", fmt.Errorf("find the runtime's own cgroup: %w", h.ownErr)
	}
	key := ""
	if !hi.V2 {
		key = hi.Controllers[0]
	}
	own, ok := h.own[key]
	if !ok {
		return "", fmt.Errorf("%s/cgroup does not name the hierarchy %q", h.procSelf, hi.Name())
	}
	if own == "/" {
		return own, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(hi.Mount+own, &st); err == nil || !errors.Is(err, unix.ENOENT) {
		return own, nil
	}
	// Inside a container without a cgroup namespace the mount shows a part of the tree only.
	root, err := h.mountRoot(hi)
	if err != nil {
		return "", err
	}
	if rel, ok := strings.CutPrefix(own, root); ok && (rel == "" || rel[0] == '/') {
		if rel == "" {
			rel = "/"
		}
		return rel, nil
	}
	return "", &os.PathError{Op: "find own cgroup", Path: hi.Mount + own, Err: unix.ENOENT}
}

// parseProcCgroup parses /proc/PID/cgroup (cgroups(7)): controller → path, "" for v2.
func parseProcCgroup(text string) map[string]string {
	m := make(map[string]string, 16)
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
			continue
		}
		if strings.HasPrefix(f[1], "name=") {
			m[f[1]] = f[2]
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			m[c] = f[2]
		}
	}
	return m
}
