package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// entry is the way into a running container, for exec and for startContainer hooks.
//
// What is in the container may look at a process from the moment that it is in its pid
// namespace. Until execve ours is non-dumpable, so nobody without CAP_SYS_PTRACE over the
// host's user namespace can trace it or read its descriptors, root or memory (CVE-2016-9962).
// Where somebody may have that capability, non-dumpable is no help, and the plan enters the
// pid namespace last ([launch.Plan.Rebirth]): with the container's root, user and
// capabilities, and with no descriptors but the report and those that the program gets
// (CVE-2024-21626). What is left to take is CAP_SYS_ADMIN, while a filter without
// no_new_privs is being installed, as in runc. It costs 0.3 ms and is not done for others.
type entry struct {
	c      *Container
	pidfd  int // init
	root   int // O_PATH, the root of init
	cgroup int // group to be born into, or 0
	files  []string
	filter *seccomp.Program
	spec   *ocispec.Config
	labels *labels
	me     caller
	maps   *idMaps // of the container's user namespace; nil without one
	byBus  bool    // systemd moves the process into the group
	sub    string  // below the container's group
	second bool    // it takes two processes, see [planner.stage]
	traced bool    // a process that sees the pid namespace may have CAP_SYS_PTRACE
}

// tracedFile marks a container in which a process was given CAP_SYS_PTRACE that config.json
// does not give.
const tracedFile = "traced"

// entry finds out what it takes to enter for a process; sub is as [cgroup.Group.ExecFiles] takes it.
func (c *Container) entry(sub map[string]string, pr *specs.Process, undo *undoList) (*entry, error) {
	e := &entry{c: c}
	var err error
	if e.pidfd, err = unix.PidfdOpen(c.InitPid, 0); err != nil {
		return nil, fmt.Errorf("open init process %d of container %s: %w", c.InitPid, c.ID, err)
	}
	undo.fd(e.pidfd)
	if start, err := startTime(c.InitPid); err != nil || start != c.InitStart {
		return nil, fmt.Errorf("cannot exec in a stopped container: %s", c.ID)
	}
	g, err := c.cgroup()
	if err != nil {
		return nil, err
	}
	files, v2, err := g.ExecFiles(sub, c.InitPid)
	if err != nil {
		return nil, err
	}
	birth := ""
	if a := pr.ExecCPUAffinity; a == nil || a.Initial == "" { // it holds before the cgroup is joined
		files, birth = bornInto(files, v2)
	}
	if e.byBus = c.attachesByBus(); e.byBus {
		files, birth = nil, ""
		e.sub = sub[""]
	}
	if e.cgroup, err = openCgroup(birth, undo); err != nil {
		return nil, err
	}
	spec, err := c.Config()
	if err != nil {
		return nil, err
	}
	e.me = thisCaller()
	e.second = c.Namespaces&(unix.CLONE_NEWUSER|unix.CLONE_NEWPID) != 0 && !e.me.returns()
	if c.Namespaces&unix.CLONE_NEWUSER != 0 {
		if e.maps, err = readMaps(c.InitPid); err != nil {
			return nil, fmt.Errorf("read the id maps of container %s: %w", c.ID, err)
		}
	}
	if e.root, err = unix.Open("/proc/"+itoa(uint64(c.InitPid))+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == unix.EACCES && c.waits() {
		return nil, fmt.Errorf("cannot exec in a container that was not started, as an ordinary user: %s: its init is closed to everybody until then", c.ID)
	} else if err != nil {
		return nil, fmt.Errorf("open the root of container %s: %w", c.ID, err)
	}
	undo.fd(e.root)
	if e.filter, err = c.r.filter(spec); err != nil {
		return nil, err
	}
	if e.labels, err = openLabels(pr, "", undo); err != nil {
		return nil, err
	}
	tasks, err := c.joinClass(spec.Linux.IntelRdt, false, undo)
	if err != nil {
		return nil, err
	}
	e.files = append(files, tasks...)
	e.spec = spec
	e.traced = c.mayTrace(spec)
	return e, nil
}

// mayTrace says whether a process in the container's pid namespace may have CAP_SYS_PTRACE
// over the host's user namespace.
func (c *Container) mayTrace(spec *ocispec.Config) bool {
	if c.Namespaces&unix.CLONE_NEWUSER != 0 || c.Namespaces&unix.CLONE_NEWPID == 0 {
		return false
	}
	for _, n := range spec.Linux.Namespaces {
		if n.Type == specs.PIDNamespace && n.Path != "" { // others live there, with capabilities of their own
			return true
		}
	}
	if tracing(spec.Process) {
		return true
	}
	_, err := os.Lstat(filepath.Join(c.dir, tracedFile))
	return !errors.Is(err, os.ErrNotExist)
}

// tracing says whether a process gets CAP_SYS_PTRACE, in whatever set.
func tracing(p *specs.Process) bool {
	s := capSets(p.Capabilities, ^uint64(0))
	return (s.bounding|s.effective|s.permitted|s.inheritable|s.ambient)&(1<<unix.CAP_SYS_PTRACE) != 0
}

// ending is the end of the plan for a process, whose user must exist in there. sync is a socket
// pair of the plan's own.
func (e *entry) ending(pr *specs.Process, sync [2]int) (ending, error) {
	out := ending{proc: pr, filter: e.filter, joining: true, rebirth: e.rebirth(), startFD: -1, statusFD: -1, sync: sync[1],
		labels: e.labels, openFiles: e.c.r.OpenFiles, linux: e.spec.Linux, setgroups: e.me.groups, held: e.me.caps, limits: e.me.clampLimits(pr.Rlimits, e.c.r.Warn)}
	if !e.c.NoNewKeyring { // the caller's keys are none of the container's business
		out.keyring = e.c.ID
	}
	if e.maps != nil {
		out.setgroups, out.held = e.maps.setgroups, ^uint64(0)
		return out, e.maps.checkUser(&pr.User)
	}
	return out, e.me.checkGroups(&pr.User)
}

func (e *entry) rebirth() bool { return e.traced && !e.second }

// begin plans the way in, up to the container's own root.
func (e *entry) begin(p *planner, sync [2]int, end *ending) {
	c := e.c
	if e.byBus {
		p.Doing("wait for", "systemd")
		p.read1(sync[1], "sync")
	}
	p.joinExec(end.proc, e.spec.Process, e.files)
	if e.second {
		p.stage(sync[1], []joined{{e.pidfd, c.Namespaces, "namespaces of container " + c.ID}}, 0)
		p.notDumpable()
	} else {
		p.raise(end.limits, c.Namespaces)
		p.Doing("join the namespaces of", "container "+c.ID)
		p.Call("setns", unix.SYS_SETNS, p.FD(e.pidfd, "init"), launch.Hex(c.Namespaces))
		if e.maps != nil {
			p.becomeRoot()
			p.notDumpable()
		}
	}
	p.openLabels(e.labels)
	if c.Namespaces&unix.CLONE_NEWNS == 0 { // its root is not the root of a mount namespace
		p.chrootOf(c.InitPid)
	}
	p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), launch.Int(0)).Out(p.root)
}

// start starts a plan that [entry.begin] began, for the given process.
func (e *entry) start(p *planner, sync [2]int, pr *specs.Process) (*launch.Child, error) {
	if !e.traced && tracing(pr) && e.maps == nil {
		f, err := os.OpenFile(filepath.Join(e.c.dir, tracedFile), os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("mark container %s as one that may trace: %w", e.c.ID, err)
		}
		f.Close()
	}
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	clone := launch.Clone{Cgroup: e.cgroup, Share: !e.c.r.OwnMemory && !e.second && !e.traced && mayShareExec(e.c, e.spec, pr)}
	if !e.second && !e.traced && e.c.Namespaces&unix.CLONE_NEWPID != 0 {
		clone.PidNS = e.pidfd
	}
	child, err := p.Start(clone)
	if err != nil {
		return nil, err
	}
	if e.byBus {
		if err = e.c.attachByBus(e.sub, child.Pid); err == nil {
			err = goAhead(sync[0])
		}
	}
	if err == nil && e.second {
		err = succeed(child, sync[0])
	}
	if err != nil {
		child.Kill()
		return nil, err
	}
	return child, nil
}
