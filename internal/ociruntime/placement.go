package ociruntime

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// placement is how a new container gets its cgroup:
//
//	           place                begin            finish, while the process makes its mounts
//	files      directories known ► that of v2 made ► the others made; limit: limits set. It joins them itself
//	rootless   directories known, made by early, before there is a plan
//	systemd    directories known ►                 ► unit made around it, limits set
//
// systemd wants the process first: a scope without one ends at once.
type placement struct {
	host   *cgroup.Host
	config cgroup.Config
	group  *cgroup.Group
	join   []string        // files that the process writes itself into
	birth  string          // v2 directory that it is born into
	driver *systemd.Driver // nil: files
	unit   systemd.Unit
	extra  []systemd.Property
	inUnit bool // the unit has been made
}

// place decides where a container of that configuration goes. Nothing is made yet.
func (r *Runtime) place(s *specs.Spec, id string) (*placement, error) {
	host, err := r.cgroups()
	if err != nil {
		return nil, err
	}
	c := cgroup.Config{Path: s.Linux.CgroupsPath, ID: id, Resources: s.Linux.Resources, Rootless: r.Rootless, OwnUID: cgroupOwner(s)}
	if r.SystemdCgroup {
		return r.placeInUnit(host, s, c)
	}
	g, err := cgroup.New(host, c)
	if err != nil {
		return nil, err
	}
	p := &placement{group: g, host: host, config: c}
	v2, _ := g.Dir()
	p.join, p.birth = bornInto(g.JoinFiles(), v2)
	return p, nil
}

// cgroupOwner is the host's user who gets the v2 group, as the specification wants it
// (config-linux.md, "Cgroup ownership"): the container has a cgroup namespace of its own and can
// write to /sys/fs/cgroup. nil: it stays ours.
func cgroupOwner(s *specs.Spec) *int {
	own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" })
	writable := slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
		return (m.Type == "cgroup" || m.Type == "cgroup2") && filepath.Clean("/"+m.Destination) == "/sys/fs/cgroup" && !slices.Contains(m.Options, "ro")
	})
	if !own || !writable || s.Process == nil {
		return nil
	}
	uid := int64(s.Process.User.UID)
	if len(s.Linux.UIDMappings) > 0 {
		mapped := int64(-1)
		for _, m := range s.Linux.UIDMappings {
			if i := uid - int64(m.ContainerID); i >= 0 && i < int64(m.Size) {
				mapped = int64(m.HostID) + i
			}
		}
		uid = mapped
	}
	if uid < 0 { // without a mapping, nobody on the host is meant
		return nil
	}
	owner := int(uid)
	return &owner
}

// placeInUnit decides on the unit "slice:prefix:name" of linux.cgroupsPath.
func (r *Runtime) placeInUnit(host *cgroup.Host, s *specs.Spec, c cgroup.Config) (*placement, error) {
	u, err := systemd.ParseUnit(c.Path, c.ID, r.Rootless)
	if err != nil {
		return nil, err
	}
	extra, err := systemd.Annotations(s.Annotations)
	if err != nil {
		return nil, err
	}
	d, err := systemd.Open(r.Rootless)
	if err != nil {
		if !systemd.Running() {
			return nil, fmt.Errorf("systemd is not running on this host, cannot use it for cgroups: %w", err)
		}
		return nil, err
	}
	g, err := d.Group(host, u, c)
	if err != nil {
		d.Close()
		return nil, err
	}
	return &placement{group: g, host: host, config: c, driver: d, unit: u, extra: extra}, nil
}

// early makes the directories of an ordinary user's container before the plan, which is about
// the groups that there are: those that he may not have are left out.
func (p *placement) early(c *Container, b *box) error {
	if p.driver != nil || !c.Rootless {
		return nil
	}
	if err := c.createGroup(p.group); err != nil {
		return err
	}
	b.joinFiles, p.birth = bornInto(p.group.JoinFiles(), dirOf(p.group))
	shown, err := shownCgroups(p.host, p.group)
	if err == nil {
		b.show(p.host, shown)
	}
	return err
}

// begin makes what the process is born into.
func (p *placement) begin() error {
	if p.driver != nil || p.config.Rootless {
		return nil
	}
	return p.group.CreateUnified()
}

// finish makes the rest, for systemd the unit with the process pid in it, and its limits.
func (p *placement) finish(c *Container, pid int, res *specs.LinuxResources) error {
	switch {
	case p.driver != nil:
		if err := p.driver.Create(p.group, p.unit, pid, p.extra, res); err != nil {
			return err
		}
		p.inUnit = true
		c.Cgroups = p.group.Paths()
		return nil
	case p.config.Rootless: // they are there
		return nil
	}
	return c.createGroup(p.group)
}

// limit sets the limits. The container's processes may be in the group already.
func (p *placement) limit(r *Runtime, res *specs.LinuxResources) error {
	if p.driver == nil {
		if err := p.group.Apply(res); err != nil {
			return err
		}
	}
	for _, w := range p.group.Warnings() {
		r.warn(w)
	}
	return nil
}

// undo takes everything back. The process must be dead.
func (p *placement) undo() {
	if p.inUnit {
		p.driver.Delete(p.group, p.unit)
	}
	p.group.Undo()
}

// close hangs up the bus.
func (p *placement) close() {
	if p != nil && p.driver != nil {
		p.driver.Close()
	}
}

// withUnit calls f with the systemd that the container's unit belongs to.
func (c *Container) withUnit(f func(*systemd.Driver, systemd.Unit) error) error {
	d, err := systemd.Open(c.Rootless)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(d, systemd.Unit{Name: c.SystemdUnit, ID: c.ID})
}

// attachesByBus tells whether a further process of the container gets into its cgroup by
// systemd's hand. An ordinary user may move no process out of the group that its session
// gave it: the common parent belongs to root (cgroups(7), "Cgroups delegation").
func (c *Container) attachesByBus() bool { return c.SystemdUnit != "" && c.Rootless }

// attachByBus moves a process into the unit, or the group sub of it ("exec --cgroup").
func (c *Container) attachByBus(sub string, pid int) error {
	if sub != "" && sub[0] != '/' {
		sub = "/" + sub
	}
	return c.withUnit(func(d *systemd.Driver, u systemd.Unit) error { return d.Attach(u, sub, pid) })
}
