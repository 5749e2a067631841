package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Config says which group a container wants.
type Config struct {
	// Path is linux.cgroupsPath. Absolute: from the root of each hierarchy. Relative: below
	// the runtime's own cgroup, on v2 beside it (a v2 group with processes cannot hand
	// controllers down). Empty: as relative, with ID for the path.
	Path string
	ID   string // the container's name

	// Resources are used by Create only to know what will be needed; Apply sets them.
	Resources *specs.LinuxResources

	// Rootless: the caller has no rights in the initial user namespace.
	Rootless bool

	// Adopt: systemd has made the directories and put the first process into them, so that
	// Create takes them as they are.
	Adopt bool

	// OwnUID and OwnGID, when not nil, get the v2 directory and the files of
	// /sys/kernel/cgroup/delegate: the container may make groups of its own there.
	OwnUID, OwnGID *int
}

// Group is the set of directories that one container's processes are in. It is not safe for
// use by several goroutines at once, but [Group.Freeze], [Group.Kill] and the readers may be
// called from different processes.
type Group struct {
	host     *Host
	dirs     []groupDir
	rootless bool // tolerate a lack of rights
	config   Config
	created  bool     // by Create of this value: device rules are ours to set
	noRights []string // hierarchies that Create left out
	warnings []string
}

// groupDir is the group's directory in one hierarchy.
type groupDir struct {
	controllers []string // v1; nil on v2
	v2          bool
	mount       string // of the hierarchy; "" when not known (Load)
	path        string
	threaded    bool     // v2: the group can only hold threads of its parent's processes
	made        []string // directories that Create made, parents first
	ready       bool     // CreateUnified has been here
}

func (d *groupDir) name() string { return strings.Join(d.controllers, ",") }

// New computes the directories of a container's group. It changes nothing.
func New(h *Host, c Config) (*Group, error) {
	path, err := cleanPath(c.Path)
	if err != nil {
		return nil, fmt.Errorf("linux.cgroupsPath %q %w", c.Path, err)
	}
	if path == "" {
		if path, err = cleanPath(c.ID); err != nil || path == "" || strings.Contains(c.ID, "/") {
			return nil, fmt.Errorf("the container's id %q cannot name a cgroup", c.ID)
		}
	}
	g := &Group{host: h, config: c, rootless: c.Rootless && c.Path == ""}
	pure := h.Mode() == V2
	for i := range h.Hierarchies {
		hi := &h.Hierarchies[i]
		dir := groupDir{controllers: hi.Controllers, v2: hi.V2, mount: hi.Mount}
		if path[0] == '/' {
			dir.path = hi.Mount + path
		} else {
			own, err := h.Own(hi)
			if err != nil {
				return nil, err
			}
			if pure { // beside our own group
				own = own[:strings.LastIndexByte(own, '/')+1]
			}
			dir.path = hi.Mount + strings.TrimSuffix(own, "/") + "/" + path
		}
		if len(dir.path) >= unix.PathMax-256 { // room for "/" and a file name
			return nil, fmt.Errorf("linux.cgroupsPath makes the directory name longer than %d bytes", unix.PathMax-256)
		}
		g.dirs = append(g.dirs, dir)
	}
	return g, nil
}

// cleanPath removes empty and "." components. It keeps whether the path is absolute.
func cleanPath(p string) (string, error) {
	if p == "" {
		return "", nil
	}
	var b strings.Builder
	for c := range strings.SplitSeq(p, "/") {
		switch {
		case c == "" || c == ".":
			continue
		case c == "..":
			return "", errors.New(`has a component ".."`)
		case len(c) > 255:
			return "", errors.New("has a component longer than 255 bytes")
		case strings.ContainsAny(c, "\x00\n"):
			return "", errors.New("has a NUL or newline byte")
		}
		b.WriteByte('/')
		b.WriteString(c)
	}
	if b.Len() == 0 {
		return "", errors.New("names the root cgroup")
	}
	if p[0] == '/' {
		return b.String(), nil
	}
	return b.String()[1:], nil
}

// Load returns the group that the paths of a state file name: controller → directory, ""
// for v2, as [Group.Paths] gives them and runc writes them.
func Load(h *Host, paths map[string]string) (*Group, error) {
	g := &Group{host: h}
	for _, c := range slices.Sorted(maps.Keys(paths)) {
		path := paths[c]
		if path == "" {
			continue
		}
		if clean, err := cleanPath(path); err != nil || clean != path || path[0] != '/' {
			return nil, fmt.Errorf("the state's cgroup path %q is not a clean absolute path", path)
		}
		if c == "" {
			g.dirs = append(g.dirs, groupDir{v2: true, path: path})
			continue
		}
		i := slices.IndexFunc(g.dirs, func(d groupDir) bool { return !d.v2 && d.path == path })
		if i < 0 {
			g.dirs = append(g.dirs, groupDir{path: path})
			i = len(g.dirs) - 1
		}
		g.dirs[i].controllers = append(g.dirs[i].controllers, c)
	}
	return g, nil
}

// layout is the host's, found when it is first needed: most of what is done to an existing
// group needs its paths alone.
func (g *Group) layout() *Host {
	if g.host == nil {
		h, err := Detect()
		if err != nil {
			h = &Host{} // as on a host without cgroups: what needs more says so
		}
		g.host = h
	}
	return g.host
}

// mountOf is where the hierarchy of the v2 directory is mounted; "" when that cannot be told.
func (g *Group) mountOf(d *groupDir) string {
	if d.mount == "" {
		if two := g.layout().v2(); two != nil {
			d.mount = two.Mount
		}
	}
	return d.mount
}

// Paths returns the group's directories by controller, "" for v2: what a state file keeps.
func (g *Group) Paths() map[string]string {
	m := make(map[string]string, len(g.dirs))
	for i := range g.dirs {
		d := &g.dirs[i]
		if d.v2 {
			m[""] = d.path
		}
		for _, c := range d.controllers {
			m[c] = d.path
		}
	}
	return m
}

// Dir returns the v2 directory of the group, for clone3's CLONE_INTO_CGROUP. On a hybrid host
// the v1 files of [Group.JoinFiles] must still be written.
func (g *Group) Dir() (string, bool) {
	if d := g.two(); d != nil {
		return d.path, true
	}
	return "", false
}

// JoinFiles returns the files that a new process writes "0" into to join the group, in a fixed
// order, v2 last. On v1 that is tasks: moving one thread skips the kernel's global fork lock,
// whose writer waits for an RCU grace period (cgroup_procs_write_start in kernel/cgroup). The
// caller must have a single thread.
func (g *Group) JoinFiles() []string {
	files := make([]string, 0, len(g.dirs))
	for i := range g.dirs {
		files = append(files, g.dirs[i].path+"/"+g.dirs[i].joinFile())
	}
	return files
}

func (d *groupDir) joinFile() string {
	switch {
	case !d.v2:
		return "tasks"
	case d.threaded:
		return "cgroup.threads"
	}
	return "cgroup.procs"
}

// Warnings returns what Apply was asked for and did not do, one sentence each.
func (g *Group) Warnings() []string { return g.warnings }

func (g *Group) two() *groupDir {
	for i := range g.dirs {
		if g.dirs[i].v2 {
			return &g.dirs[i]
		}
	}
	return nil
}

// pure tells whether the group is on a host with v2 alone. A group on a hybrid host that only
// its v2 directory is left of (rootless) is not.
func (g *Group) pure() bool {
	return len(g.dirs) == 1 && g.dirs[0].v2 && (len(g.layout().Hierarchies) == 0 || g.layout().Mode() == V2)
}

// one returns the v1 directory of a controller, or nil.
func (g *Group) one(controller string) *groupDir {
	for i := range g.dirs {
		if slices.Contains(g.dirs[i].controllers, controller) {
			return &g.dirs[i]
		}
	}
	return nil
}

// name2 is the v2 name of a v1 controller.
func name2(controller string) string {
	switch controller {
	case "blkio":
		return "io"
	case "cpuacct":
		return "cpu"
	}
	return controller
}

// locate returns the directory whose files control the named (v1) controller: that of its v1
// hierarchy, or the v2 directory when the controller is there. On a hybrid host the v2 group
// gets it handed down first.
func (g *Group) locate(controller, field string) (*groupDir, error) {
	if d := g.one(controller); d != nil {
		return d, nil
	}
	two := g.two()
	if g.pure() {
		return two, nil
	}
	if two != nil && g.mountOf(two) != "" {
		has, err := g.layout().V2Controllers()
		if err == nil && slices.Contains(has, name2(controller)) {
			if err := enableDown(g.mountOf(two), two.path, []string{name2(controller)}); err != nil {
				return nil, &LimitError{Field: field, Err: err}
			}
			return two, nil
		}
	}
	for _, name := range g.noRights {
		if slices.Contains(strings.Split(name, ","), controller) || (name == "" && g.layout().Mode() == V2) {
			return nil, &LimitError{Field: field, Err: fmt.Errorf("no rights to make a group in the %s hierarchy", controller)}
		}
	}
	if g.layout().v1(controller) != nil {
		return nil, &LimitError{Field: field, Err: fmt.Errorf("the container has no group in the %s hierarchy", controller)}
	}
	return nil, &LimitError{Field: field, Err: fmt.Errorf("this host has no %s cgroup controller", controller)}
}
