package ociruntime

import (
	"errors"
	"fmt"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ExecOptions say what to execute in a running container.
type ExecOptions struct {
	Process       *specs.Process // complete
	ConsoleSocket string
	PidFile       string
	PidfdSocket   string
	Detach        bool
	IgnorePaused  bool // of a paused container: the process waits, frozen like the others
	PreserveFDs   int
	Cgroup        map[string]string // as cgroup.Group.ExecFiles
}

// Exec starts a further process in the container's namespaces and cgroup. The process is
// born in the pid namespace (on a thread that joined it) and is non-dumpable until execve,
// so nobody inside can trace it or read its descriptors (CVE-2016-9962).
func (c *Container) Exec(o ExecOptions) (*Process, error) {
	warnings, err := ocispec.ValidateProcess(o.Process)
	if err != nil {
		return nil, fmt.Errorf("process.%w", err)
	}
	for _, w := range warnings {
		c.r.warn("process." + w)
	}
	if err := checkConsole(o.Process.Terminal, o.Detach, o.ConsoleSocket); err != nil {
		return nil, err
	}
	switch s := c.Status(); {
	case s == StatusStopped || s == StatusCreating:
		return nil, fmt.Errorf("cannot exec in a %s container", s)
	case s == StatusPaused && !o.IgnorePaused:
		return nil, errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	var undo undoList
	ok := false
	defer func() {
		if !ok {
			undo.run()
		}
	}()
	pidfd, err := unix.PidfdOpen(c.InitPid, 0)
	if err != nil {
		return nil, fmt.Errorf("open init process %d of container %s: %w", c.InitPid, c.ID, err)
	}
	undo.fd(pidfd)
	if start, err := startTime(c.InitPid); err != nil || start != c.InitStart {
		return nil, fmt.Errorf("cannot exec in a stopped container: %s", c.ID)
	}
	g, err := c.cgroup()
	if err != nil {
		return nil, err
	}
	files, v2, err := g.ExecFiles(o.Cgroup, c.InitPid)
	if err != nil {
		return nil, err
	}
	birth := ""
	if a := o.Process.ExecCPUAffinity; a == nil || a.Initial == "" { // it holds before the cgroup is joined
		files, birth = bornInto(files, v2)
	}
	byBus := c.attachesByBus()
	if byBus {
		files, birth = nil, ""
	}
	cgroupFD, err := openCgroup(birth, &undo)
	if err != nil {
		return nil, err
	}
	spec, err := c.Config()
	if err != nil {
		return nil, err
	}
	root, err := unix.Open("/proc/"+itoa(uint64(c.InitPid))+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES && c.waits() {
		return nil, fmt.Errorf("cannot exec in a container that was not started, as an ordinary user: %s: its init is closed to everybody until then", c.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("open the root of container %s: %w", c.ID, err)
	}
	undo.fd(root)
	o.Process.Env = c.r.withHome(root, o.Process)
	filter, err := c.r.filter(spec)
	if err != nil {
		return nil, err
	}
	sync, err := socketPair(&undo)
	if err != nil {
		return nil, err
	}
	attrs, err := openLabels(o.Process, "", &undo)
	if err != nil {
		return nil, err
	}
	tasks, err := c.joinClass(spec.Linux.IntelRdt, false, &undo)
	if err != nil {
		return nil, err
	}
	files = append(files, tasks...)
	me := thisCaller()
	e := ending{proc: o.Process, filter: filter, startFD: -1, statusFD: -1, sync: sync[1], preserve: o.PreserveFDs, labels: attrs, openFiles: c.r.OpenFiles, linux: spec.Linux, setgroups: me.groups, held: me.caps}
	limits := clampLimits(o.Process.Rlimits, c.r.Warn)
	if !c.NoNewKeyring { // the caller's keys are none of the container's business
		e.keyring = c.ID
	}
	if c.Namespaces&unix.CLONE_NEWUSER != 0 {
		maps, err := readMaps(c.InitPid)
		if err != nil {
			return nil, fmt.Errorf("read the id maps of container %s: %w", c.ID, err)
		}
		if err := maps.checkUser(&o.Process.User); err != nil {
			return nil, err
		}
		maps.ownPipes(&o.Process.User)
		e.setgroups, e.held = maps.setgroups, ^uint64(0)
	} else if err := me.checkGroups(&o.Process.User); err != nil {
		return nil, err
	}
	e.limits = limits
	p := newPlanner()
	var clone launch.Clone
	second := c.Namespaces&(unix.CLONE_NEWUSER|unix.CLONE_NEWPID) != 0 && !me.returns()
	if second || byBus {
		p.Doing("leave to the runtime", "its end of the socket") // to see when it is gone
		p.Call("close", unix.SYS_CLOSE, launch.Int(sync[0]))
	}
	if byBus {
		p.Doing("wait for", "systemd")
		p.read1(sync[1])
	}
	if !second {
		p.Doing("start", "a session")
		p.Call("setsid", unix.SYS_SETSID)
		p.joinExec(o.Process, spec.Process, files)
		p.raise(limits, c.Namespaces)
		p.Doing("join the namespaces of", "container "+c.ID)
		p.Call("setns", unix.SYS_SETNS, launch.Int(pidfd), launch.Hex(c.Namespaces))
		if c.Namespaces&unix.CLONE_NEWUSER != 0 {
			p.becomeRoot()
			p.notDumpable()
		}
		if c.Namespaces&unix.CLONE_NEWPID != 0 {
			clone.PidNS = pidfd
		}
	} else {
		p.joinExec(o.Process, spec.Process, files)
		p.stage(sync[1], []joined{{pidfd, c.Namespaces, "namespaces of container " + c.ID}}, 0)
		p.notDumpable()
		p.Doing("start", "a session")
		p.Call("setsid", unix.SYS_SETSID)
	}
	p.openLabels(attrs)
	if c.Namespaces&unix.CLONE_NEWNS == 0 { // its root is not the root of a mount namespace
		p.chrootOf(c.InitPid)
	}
	p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/"), launch.Hex(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), launch.Int(0)).Out(p.root)
	if o.Process.Terminal {
		p.terminal(sync[1], o.Process.ConsoleSize, false)
	}
	p.finish(e)
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	clone.Cgroup = cgroupFD
	clone.Share = !second && mayShareExec(c, spec, o.Process)
	child, err := p.Start(clone)
	if err != nil {
		return nil, err
	}
	undo.add(func() { child.Kill() })
	c.r.debug("container %s: process %d executes %s", c.ID, child.Pid, o.Process.Args[0])
	if byBus {
		if err := c.attachByBus(o.Cgroup[""], child.Pid); err != nil {
			return nil, err
		}
		if err := goAhead(sync[0]); err != nil {
			return nil, err
		}
	}
	if second {
		if err := succeed(child, sync[0]); err != nil {
			return nil, err
		}
	}
	proc := &Process{child: child, c: c, detach: o.Detach, exec: true, master: -1}
	if err := proc.followExec(o.Process, sync[0], o.ConsoleSocket); err != nil {
		return nil, err
	}
	if err := publish(child, o.PidFile, o.PidfdSocket); err != nil {
		return nil, err
	}
	ok = true
	undo.closeFDs()
	return proc, nil
}
