package ociruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// containerMaps are the id maps of the container's user namespace, new or joined; nil when it
// stays in the runtime's. Those of one that is given by the caller are taken from config.json.
func containerMaps(me *caller, s *specs.Spec, join []joined, given bool) (*idMaps, error) {
	for _, n := range s.Linux.Namespaces {
		if n.Type != specs.UserNamespace {
			continue
		}
		m := me.newMaps(s.Linux)
		for _, j := range join {
			if j.flag == unix.CLONE_NEWUSER && !given {
				var err error
				if m, err = inspect(j.fd, s.Linux); err != nil {
					return nil, err
				}
			}
		}
		return m, m.checkUser(&s.Process.User)
	}
	return nil, me.checkGroups(&s.Process.User)
}

// checkGroups refuses what setgroups(2) will: runc gives a container fewer groups than it was
// asked for, and nobody is told.
func (c *caller) checkGroups(u *specs.User) error {
	if !c.groups && len(u.AdditionalGids) > 0 {
		return errors.New("process.user.additionalGids: setgroups is denied in the runtime's user namespace")
	}
	return nil
}

// staged are the namespaces to join when that takes two processes, see [planner.stage]: one of
// them is a user namespace; or there is to be a new one, which must not take away the right to
// enter the others; or one is a pid namespace that a thread of ours could not come back from.
func staged(me *caller, l *specs.Linux, join []joined) []joined {
	for _, n := range l.Namespaces {
		if n.Type == specs.UserNamespace || n.Type == specs.PIDNamespace && n.Path != "" && !me.returns() {
			return join
		}
	}
	return nil
}

// returns says whether a thread that has entered another pid namespace may enter its own again,
// as launch.Clone.PidNS does. In a user namespace that mostly belongs to one above.
func (c *caller) returns() bool { return !c.userns && c.has(unix.CAP_SYS_ADMIN) }

// ownPipes gives the pipes of standard input and output to the user that the program will be,
// so that it can open /dev/stdin and its like (runc's InitializeIO). Only pipes: they are nobody
// else's, where a file or a device of the host is.
func (m *idMaps) ownPipes(u *specs.User, std standard) {
	uid, ok := outside(m.uids, u.UID)
	for _, fd := range std {
		var st unix.Stat_t
		if ok && unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			unix.Fchown(fd, int(uid), -1) // an ordinary user may not; the pipe stays his
		}
	}
}

// notDumpable plans to close the process to everybody (CVE-2016-9962).
func (p *planner) notDumpable() {
	p.prctl("", launch.Int(unix.PR_SET_DUMPABLE), launch.Int(0), launch.Int(0), launch.Int(0), launch.Int(0))
}

// openFor plans to be open to the creator while he runs hooks: an ordinary user may enter the
// namespaces of a process only while it is dumpable. What else is in its user namespace then
// are the hooks.
func (p *planner) openFor(userns bool, wait func()) {
	if userns {
		p.prctl("", launch.Int(unix.PR_SET_DUMPABLE), launch.Int(1), launch.Int(0), launch.Int(0), launch.Int(0))
	}
	wait()
	if userns {
		p.notDumpable()
	}
}

// hooksInside says whether `start` runs hooks while init waits, rather than before it lets init
// go: startContainer hooks of a container with a user namespace. Init and start both ask it.
func hooksInside(s *specs.Spec) bool {
	if s.Hooks == nil || len(s.Hooks.StartContainer) == 0 {
		return false
	}
	for _, n := range s.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			return true
		}
	}
	return false
}

// raise plans to raise hard limits while the process may: once in a user namespace it can only
// lower them. The soft limits stay until the end; the plan itself needs descriptors.
func (p *planner) raise(limits []specs.POSIXRlimit, namespaces uint64) {
	if namespaces&unix.CLONE_NEWUSER == 0 {
		return
	}
	for _, l := range limits {
		n := ocispec.RlimitNumber(l.Type)
		var now unix.Rlimit
		if unix.Prlimit(0, n, nil, &now) != nil || l.Hard <= now.Max {
			continue
		}
		mem, arg := p.Mem(16)
		binary.NativeEndian.PutUint64(mem, now.Cur)
		binary.NativeEndian.PutUint64(mem[8:], l.Hard)
		p.Doing("raise the limit", l.Type)
		p.Call("prlimit64", unix.SYS_PRLIMIT64, launch.Int(0), launch.Int(n), arg, launch.Int(0))
	}
}

// createGroup makes the container's cgroup, or says where there is no right to make one.
func (c *Container) createGroup(g *cgroup.Group) error {
	if err := g.Create(); err != nil {
		var rights *cgroup.NoRightsError
		if !errors.As(err, &rights) {
			return fmt.Errorf("create the cgroup: %w", err)
		}
		c.r.warn(err.Error())
	}
	c.Cgroups = g.Paths()
	return nil
}

func dirOf(g *cgroup.Group) string {
	dir, _ := g.Dir()
	return dir
}

// shownCgroups are the directories that a cgroup mount shows: the container's own, and in the
// hierarchies where it has none, the runtime's, in which its processes are.
func shownCgroups(h *cgroup.Host, g *cgroup.Group) (map[string]string, error) {
	shown := g.Paths()
	for i := range h.Hierarchies {
		hi := &h.Hierarchies[i]
		own, err := h.Own(hi)
		if err != nil {
			return nil, err
		}
		names := hi.Controllers
		if hi.V2 {
			names = []string{""}
		}
		for _, n := range names {
			if shown[n] == "" {
				shown[n] = hi.Mount + own
			}
		}
	}
	return shown, nil
}

// explainMount adds to a refused mount what it would have needed.
func explainMount(err error) error {
	var e *launch.Error
	if !errors.As(err, &e) || e.Errno != unix.EPERM {
		return err
	}
	switch {
	case strings.HasPrefix(e.Doing, "mount proc on "):
		return fmt.Errorf("%w (a user namespace gets a procfs only of a pid namespace of its own, and where the host's /proc has nothing mounted over it)", err)
	case strings.HasPrefix(e.Doing, "mount mqueue on "):
		return fmt.Errorf("%w (a user namespace gets an mqueue only of an ipc namespace of its own)", err)
	}
	return err
}

// explainStart says what the kernel means when it makes no process for the container.
func explainStart(err error, me *caller, b *box) error {
	user := b.newFlags&unix.CLONE_NEWUSER != 0
	switch {
	case errors.Is(err, unix.EPERM) && !user && !me.has(unix.CAP_SYS_ADMIN):
		return fmt.Errorf("rootless container requires user namespaces: %w", err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (too many namespaces: see the limits in /proc/sys/user)", err)
	case errors.Is(err, unix.EPERM) && user:
		return fmt.Errorf("%w (this host does not let users make user namespaces, or the runtime is in a chroot)", err)
	}
	return err
}
