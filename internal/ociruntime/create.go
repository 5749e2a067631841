package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CreateOptions say how a container is created from its bundle.
type CreateOptions struct {
	Bundle        string
	ConsoleSocket string // unix socket that gets the terminal's master
	PidFile       string
	PidfdSocket   string // unix socket that gets a pidfd of init
	NoPivot       bool
	NoNewKeyring  bool
	Detach        bool
	Keep          bool
	NoSubreaper   bool      // with Run and without Detach: orphans go to the host's init, not to us
	PreserveFDs   int       // descriptors from 3 on that the program gets
	ListenFDs     int       // descriptors before those that systemd has passed (sd_listen_fds(3))
	NotifySocket  string    // socket that is told when the container is ready (sd_notify(3))
	Run           bool      // start at once
	PrintPlan     io.Writer // print the launch plan and create nothing
	Handles       *Handles  // of a caller that stays: descriptors in place of paths
}

// Create makes a container. With Run its program runs when Create returns, otherwise it
// waits for [Container.Start]. After a failure at any step nothing is left: no process,
// mount, cgroup or state directory.
func (r *Runtime) Create(id string, o CreateOptions) (proc *Process, err error) {
	n, err := r.newCreation(id, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.undo.run()
		}
		n.place.close()
	}()
	for _, phase := range [...]func() error{n.openRoot, n.openNamespaces, n.openMounts, n.chooseCgroup, n.chooseEnding, n.makeDir} {
		if err := phase(); err != nil {
			return nil, err
		}
	}
	p := newPlanner()
	if err := p.planCreate(n.b); err != nil {
		return nil, err
	}
	p.finish(n.end)
	if o.PrintPlan != nil {
		n.undo.run()
		_, err := o.PrintPlan.Write(p.AppendText(nil))
		return nil, err
	}
	if err := n.start(p.Plan); err != nil {
		return nil, err
	}
	if err := n.attend(); err != nil {
		return nil, err
	}
	return n.settle()
}

// creation is a container on its way; the phases of [Runtime.Create] are its methods, in the
// order of this file; those that open things are in createopen.go.
type creation struct {
	r    *Runtime
	o    CreateOptions
	c    *Container
	s    *specs.Spec
	raw  []byte // config.json
	undo undoList

	direct   bool // the program starts without a stop in the created state
	me       caller
	b        *box
	bundleFD int
	join     []joined
	maps     *mapSource
	place    *placement
	pidns    int // descriptor of a pid namespace to be born in, or 0
	sync     [2]int
	end      ending
	limits   []specs.POSIXRlimit
	half     *halfState

	child  *launch.Child
	notify *notifier
	reap   bool // orphans come to us
}

// newCreation reads and checks what the container is to be, and changes nothing.
func (r *Runtime) newCreation(id string, o CreateOptions) (*creation, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	bundle, err := filepath.Abs(o.Bundle)
	if err != nil {
		return nil, err
	}
	given := o.handles()
	var config *ocispec.Config
	raw := given.Config
	switch {
	case given.Decoded != nil:
		config, err = given.Decoded, r.checkConfig(given.Decoded, configFile)
	case raw != nil:
		config, err = r.checkedConfig(raw, configFile)
	default:
		config, raw, err = r.readConfig(filepath.Join(bundle, configFile))
	}
	if err != nil {
		return nil, err
	}
	std, err := given.Stdio.numbers()
	if err != nil {
		return nil, err
	}
	s := &config.Spec
	if s.Process == nil {
		return nil, errors.New("config.json: process is missing")
	}
	if o.Handles == nil {
		if err := checkConsole(s.Process.Terminal, o.Detach || !o.Run, o.ConsoleSocket); err != nil {
			return nil, err
		}
	}
	if err := given.joinUserNS(s); err != nil {
		return nil, err
	}
	rootfs := s.Root.Path // only ever opened whole, by the host, before the container exists
	if !filepath.IsAbs(rootfs) {
		rootfs = filepath.Clean(bundle + "/" + rootfs)
	}
	if given.Root == 0 {
		if rootfs, err = realRoot(rootfs); err != nil {
			return nil, err
		}
	}
	if s.Process.Terminal {
		std = ownStandard
	}
	n := &creation{r: r, o: o, s: s, raw: raw, me: thisCaller()}
	n.b = &box{spec: s, console: -1, std: std, rootTree: given.Root, rootGiven: given.Root != 0, nulls: nullDescriptors(std), noPivot: o.NoPivot, sources: map[int]int{}, warn: r.warn, rootfs: rootfs, bundle: bundle}
	n.b.late = late{mode: treeModeFor(s.Linux, &n.me), rootfs: rootfs, bundle: bundle, given: given.Root != 0}
	n.direct = o.Run
	if h := s.Hooks; h != nil {
		n.b.hooksBefore = len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
		n.direct = n.direct && len(h.StartContainer) == 0
	}
	stateRoot := r.Root
	n.c = &Container{r: r, dir: filepath.Join(stateRoot, id), spec: config}
	n.c.State = State{OCIVersion: specs.Version, ID: id, Bundle: bundle, Rootfs: rootfs, Annotations: s.Annotations, Created: time.Now().UTC(),
		Owner: "root", Rootless: r.Rootless, Descriptors: stdio(s.Process.Terminal, std), NoNewKeyring: o.NoNewKeyring}
	return n, nil
}

// chooseCgroup decides where the group is; it is not made yet.
func (n *creation) chooseCgroup() (err error) {
	if n.place, err = n.r.place(n.s, n.c.ID); err != nil {
		return err
	}
	paths := n.place.group.Paths()
	n.b.show(n.place.host, paths)
	n.b.joinFiles = n.place.join
	n.c.Cgroups, n.c.SystemdUnit = paths, n.place.unit.Name
	return nil
}

// chooseEnding decides what the process becomes on its last steps to the program.
func (n *creation) chooseEnding() (err error) {
	s, b, o := n.s, n.b, &n.o
	filter, err := n.r.filter(n.c.spec)
	if err != nil {
		return err
	}
	if n.sync, err = socketPair(&n.undo); err != nil {
		return err
	}
	b.sync, b.console = n.sync[1], n.sync[1]
	n.end = ending{proc: s.Process, filter: filter, startFD: -1, statusFD: -1, sync: n.sync[1], openFiles: n.r.OpenFiles, linux: s.Linux,
		preserve: o.ListenFDs + o.PreserveFDs, setgroups: n.me.groups, held: n.me.caps, hooks: hooksInside(s)}
	n.limits = n.me.clampLimits(s.Process.Rlimits, n.r.Warn)
	if b.maps == nil {
		n.end.limits = n.limits
	} else {
		n.end.setgroups, n.end.held = b.maps.setgroups, ^uint64(0)
	}
	if o.ListenFDs > 0 {
		s.Process.Env = append(s.Process.Env, "LISTEN_FDS="+strconv.Itoa(o.ListenFDs), "LISTEN_PID=1")
	}
	if !o.NoNewKeyring {
		n.end.keyring = n.c.ID
	}
	if n.end.labels, err = openLabels(s.Process, s.Linux.MountLabel, &n.undo); err != nil {
		return err
	}
	b.labels = n.end.labels
	return nil
}

// makeDir makes the state directory, which takes the id: from here on there is something to
// undo on the host.
func (n *creation) makeDir() (err error) {
	real := n.o.PrintPlan == nil
	switch {
	case real:
		if n.half, err = n.c.makeDir(n.raw, n.direct, &n.undo, &n.end); err != nil {
			return err
		}
		n.undo.add(n.place.undo)
		if err := n.place.early(n.c, n.b); err != nil {
			return err
		}
		if n.o.NotifySocket != "" {
			if err := n.c.mountNotify(n.b, n.bundleFD, n.maps, &n.undo); err != nil {
				return err
			}
		}
	case !n.direct:
		n.end.startFD, n.end.statusFD = 0, 0
	}
	tasks, err := n.c.joinClass(n.s.Linux.IntelRdt, real, &n.undo)
	if err != nil {
		return err
	}
	n.b.joinFiles = append(n.b.joinFiles, tasks...)
	return nil
}

// start gives birth to the process that executes the plan.
func (n *creation) start(plan *launch.Plan) (err error) {
	b := n.b
	n.r.debug("create container %s of bundle %s: the root is %s", n.c.ID, b.bundle, b.rootfs)
	clone := launch.Clone{Flags: b.newFlags &^ b.unshare, PidNS: n.pidns, Share: !n.r.OwnMemory && mayShare(n.s, n.c.Namespaces)}
	if len(b.stage) > 0 {
		clone.Flags = 0 // they are made when the others have been entered
	}
	if err := n.place.begin(); err != nil {
		return err
	}
	// An ordinary user can write the id maps only of a process that is dumpable.
	if b.newFlags&unix.CLONE_NEWUSER == 0 || n.me.has(unix.CAP_SYS_ADMIN) {
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if clone.Cgroup, err = openCgroup(n.place.birth, &n.undo); err != nil {
		return err
	}
	if n.o.Run {
		if n.notify, err = n.c.bindNotify(n.o.NotifySocket); err != nil {
			return err
		}
		n.undo.add(n.notify.close)
	}
	if n.reap = n.o.Run && !n.o.Detach && !n.o.NoSubreaper; n.reap {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become the reaper of the container's orphans: %w", err)
		}
	}
	if n.child, err = plan.Start(clone); err != nil {
		return explainStart(err, &n.me, b)
	}
	n.undo.add(func() { n.child.Kill() })
	n.r.debug("container %s: process %d begins, with the new namespaces %#x", n.c.ID, n.child.Pid, b.newFlags)
	return nil
}

// attend does what only the outside can do, while the child makes its mounts, and lets the
// child go on.
func (n *creation) attend() (err error) {
	c, b, s, child := n.c, n.b, n.s, n.child
	if b.maps != nil {
		b.maps.ownPipes(&s.Process.User, b.std)
	}
	if err := n.place.finish(c, child.Pid, s.Linux.Resources); err != nil {
		return err
	}
	if len(b.stage) > 0 {
		if err := goAhead(n.sync[0]); err != nil {
			return err
		}
		if err := succeed(child, n.sync[0]); err != nil {
			return err
		}
	}
	if err := n.place.limit(n.r, s.Linux.Resources); err != nil {
		return err
	}
	n.r.debug("container %s: init is process %d, with limits in the cgroups %v", c.ID, child.Pid, c.Cgroups)
	c.InitPid = child.Pid
	if c.InitStart, err = startTime(child.Pid); err != nil {
		return err
	}
	if b.newFlags&unix.CLONE_NEWUSER != 0 {
		if err := n.me.mapIDs(child.Pid, s.Linux); err != nil {
			return err
		}
	}
	if err := prepareProcess(child.Pid, s, b.maps != nil, n.limits); err != nil {
		return err
	}
	if err := moveNetDevices(s.Linux.NetDevices, child.Pid, b.join, &n.undo); err != nil {
		return orEnd(child, err)
	}
	if err := n.half.write(&c.State); err != nil {
		return fmt.Errorf("write the state of container %s: %w", c.ID, err)
	}
	if err := goAhead(n.sync[0]); err != nil {
		return err
	}
	return b.sendTrees(n.sync[0], child.PidFD, n.maps)
}

// settle follows the child until it waits for start, or its program runs, and makes the
// container one that exists.
func (n *creation) settle() (*Process, error) {
	c, o := n.c, &n.o
	proc := &Process{child: n.child, c: c, detach: o.Detach || !o.Run, keep: o.Keep, master: -1, reap: n.reap, notify: n.notify}
	if err := proc.follow(n.s, n.sync[0], o.ConsoleSocket, n.direct); err != nil {
		return nil, err
	}
	if err := c.commitState(); err != nil {
		return nil, err
	}
	n.r.debug("container %s is made; its program runs: %t", c.ID, n.direct)
	if err := publish(n.child, o.PidFile, o.PidfdSocket); err != nil {
		return nil, err
	}
	n.undo.closeFDs()
	n.undo = undoList{} // it exists: from here on it is stopped and deleted, not undone
	var err error
	switch {
	case o.Run && !n.direct:
		err = c.Start("")
	case o.Run && n.s.Hooks != nil:
		err = c.runHooks("poststart", n.s.Hooks.Poststart, StatusRunning)
	}
	if err != nil {
		return nil, errors.Join(err, proc.abandon())
	}
	return proc, nil
}

func socketPair(undo *undoList) ([2]int, error) {
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, fmt.Errorf("make the synchronisation socket: %w", err)
	}
	undo.fd(s[0])
	undo.fd(s[1])
	return s, nil
}
