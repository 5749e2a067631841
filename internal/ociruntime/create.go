package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Runtime is the place where containers' state is kept, and how they are made.
type Runtime struct {
	Root          string // state directory
	SystemdCgroup bool
	Rootless      bool
	OpenFiles     uint64       // soft RLIMIT_NOFILE of who called us, for containers and hooks without one; 0: as it is
	Resctrl       string       // where resctrl is mounted; "": found when needed
	OwnMemory     bool         // no child shares this program's memory: for one that must outlive a container's OOM kill
	Criu          string       // path, or a name to look up in $PATH; "" for "criu"
	Warn          func(string) // nil: warnings are dropped
	Debug         func(string) // what is being done, step by step; nil: nobody wants to know

	cgroupLock sync.Mutex   // a shim makes several containers at once
	cgroupHost *cgroup.Host // once asked for
}

// cgroups is the cgroup layout of the host.
func (r *Runtime) cgroups() (*cgroup.Host, error) {
	r.cgroupLock.Lock()
	defer r.cgroupLock.Unlock()
	if r.cgroupHost == nil {
		h, err := cgroup.Detect()
		if err != nil {
			return nil, err
		}
		r.cgroupHost = h
	}
	return r.cgroupHost, nil
}

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
}

// Create makes a container. With Run its program runs when Create returns, otherwise it
// waits for [Container.Start]. After a failure at any step nothing is left: no process,
// mount, cgroup or state directory.
func (r *Runtime) Create(id string, o CreateOptions) (proc *Process, err error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	bundle, err := filepath.Abs(o.Bundle)
	if err != nil {
		return nil, err
	}
	config, raw, err := r.readConfig(filepath.Join(bundle, configFile))
	if err != nil {
		return nil, err
	}
	s := &config.Spec
	if s.Process == nil {
		return nil, errors.New("config.json: process is missing")
	}
	if err := checkConsole(s.Process.Terminal, o.Detach || !o.Run, o.ConsoleSocket); err != nil {
		return nil, err
	}
	var undo undoList
	var place *placement
	defer func() {
		if err != nil {
			undo.run()
		}
		place.close()
	}()
	rootfs := s.Root.Path // only ever opened whole, by the host, before the container exists
	if !filepath.IsAbs(rootfs) {
		rootfs = filepath.Clean(bundle + "/" + rootfs)
	}
	if rootfs, err = realRoot(rootfs); err != nil {
		return nil, err
	}
	b := &box{spec: s, console: -1, nulls: nullDescriptors(), noPivot: o.NoPivot, sources: map[int]int{}, warn: r.warn, rootfs: rootfs, bundle: bundle}
	me := thisCaller()
	b.late = late{mode: treeModeFor(s.Linux, &me), rootfs: rootfs, bundle: bundle}
	if s.Hooks != nil {
		b.hooksBefore = len(s.Hooks.Prestart)+len(s.Hooks.CreateRuntime)+len(s.Hooks.CreateContainer) > 0
	}
	// A program starts without a stop in the created state, but for startContainer hooks.
	direct := o.Run && (s.Hooks == nil || len(s.Hooks.StartContainer) == 0)
	stateRoot := r.Root
	c := &Container{r: r, dir: filepath.Join(stateRoot, id), spec: config}
	c.State = State{OCIVersion: specs.Version, ID: id, Bundle: bundle, Rootfs: rootfs, Annotations: s.Annotations, Created: time.Now().UTC(), Owner: "root", Rootless: r.Rootless, Descriptors: stdio(s.Process.Terminal)}
	if b.late.mode == treesCloned {
		b.rootTree, err = cloneTree(unix.AT_FDCWD, rootfs, true)
		if me.userns && errors.Is(err, unix.EPERM) {
			b.late.mode = treesInside // our mount namespace is not of our user namespace
		}
	}
	if b.late.mode != treesCloned {
		b.rootTree, err = unix.Open(rootfs, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open root.path %s: %w", rootfs, err)
	}
	undo.fd(b.rootTree)
	var st unix.Stat_t
	if err := unix.Fstat(b.rootTree, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fmt.Errorf("open root.path %s: not a directory", rootfs)
	}
	if b.late.mode == treesCloned {
		if err := apply(b.rootTree, rootPropagation(s.Linux.RootfsPropagation)); err != nil {
			return nil, fmt.Errorf("set the propagation of the root: %w", err)
		}
	}
	if b.rootMount, err = sharedParent(rootfs, s.Linux.RootfsPropagation); err != nil {
		return nil, err
	}
	bundleFD, err := unix.Open(bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the bundle %s: %w", bundle, err)
	}
	undo.fd(bundleFD)
	s.Process.Env = r.withHome(b.rootTree, s.Process)
	join, err := openNamespaces(s.Linux.Namespaces, &undo)
	if err != nil {
		return nil, err
	}
	if b.maps, err = containerMaps(&me, s, join); err != nil {
		return nil, err
	}
	b.userns = me.userns || b.maps != nil
	maps := &mapSource{caller: &me, container: b.maps, undo: &undo}
	for i, m := range s.Mounts {
		mo := parseMountOptions(m)
		if m.Type == "tmpfs" && mo.TmpCopyUp && b.late.mode == treesCloned {
			mo.Data = append(mo.Data, labelMount(m.Type, s.Linux.MountLabel)...)
			fd, err := copiedUp(b.rootTree, m, mo)
			if err != nil {
				return nil, fmt.Errorf("mounts[%d] on %s: %w", i, m.Destination, err)
			}
			b.sources[i] = fd
			undo.fd(fd)
			continue
		}
		if !mo.Bind() && m.Type != "bind" {
			continue
		}
		if b.late.mode != treesCloned {
			if b.late.mode == treesInside && wantsIDMap(m, mo) {
				return nil, fmt.Errorf("mounts[%d]: an id-mapped mount needs CAP_SYS_ADMIN on the host", i)
			}
			b.late.mounts = append(b.late.mounts, i)
			continue
		}
		if !b.clonesInParent(m, mo) {
			continue
		}
		fd, err := bindSource(bundleFD, m, mo, maps)
		if err != nil {
			return nil, fmt.Errorf("mounts[%d].source: %w", i, err)
		}
		b.sources[i] = fd
		undo.fd(fd)
	}
	filter, err := r.filter(config)
	if err != nil {
		return nil, err
	}
	if place, err = r.place(s, id); err != nil {
		return nil, err
	}
	b.show(place.host, place.group.Paths())
	b.joinFiles = place.join
	c.Cgroups, c.SystemdUnit = place.group.Paths(), place.unit.Name
	pidns := 0
	if b.stage = staged(&me, s.Linux, join); len(b.stage) == 0 {
		pidns, b.join = pidNS(join)
	}
	for _, n := range s.Linux.Namespaces {
		f := ocispec.NamespaceFlag(n.Type)
		c.Namespaces |= f
		if n.Path == "" && f != unix.CLONE_NEWCGROUP && f != unix.CLONE_NEWTIME {
			b.newFlags |= f
		}
	}
	if b.newFlags&unix.CLONE_NEWUSER == 0 && len(b.stage) == 0 { // it must own the others
		b.unshare = b.newFlags & (unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	}
	if len(s.Linux.NetDevices) > 0 { // it must be there when they are moved
		b.unshare &^= unix.CLONE_NEWNET
	}
	sync, err := socketPair(&undo)
	if err != nil {
		return nil, err
	}
	b.sync, b.console = sync[1], sync[1]
	e := ending{proc: s.Process, filter: filter, startFD: -1, statusFD: -1, sync: sync[1], openFiles: r.OpenFiles, linux: s.Linux, preserve: o.ListenFDs + o.PreserveFDs, setgroups: me.groups, held: me.caps}
	if b.maps != nil {
		e.setgroups, e.held = b.maps.setgroups, ^uint64(0)
	}
	e.hooks = hooksInside(s)
	if o.ListenFDs > 0 {
		s.Process.Env = append(s.Process.Env, "LISTEN_FDS="+strconv.Itoa(o.ListenFDs), "LISTEN_PID=1")
	}
	if !o.NoNewKeyring {
		e.keyring = id
	}
	c.NoNewKeyring = o.NoNewKeyring
	if e.labels, err = openLabels(s.Process, s.Linux.MountLabel, &undo); err != nil {
		return nil, err
	}
	b.labels = e.labels
	limits := clampLimits(s.Process.Rlimits, r.Warn)
	if b.maps == nil {
		e.limits = limits
	}
	var half *halfState
	if o.PrintPlan == nil {
		if half, err = c.makeDir(raw, direct, &undo, &e); err != nil {
			return nil, err
		}
		undo.add(place.undo)
		if err := place.early(c, b); err != nil {
			return nil, err
		}
		if o.NotifySocket != "" {
			if err := c.mountNotify(b, bundleFD, maps, &undo); err != nil {
				return nil, err
			}
		}
	} else if !direct {
		e.startFD, e.statusFD = 0, 0
	}
	tasks, err := c.joinClass(s.Linux.IntelRdt, o.PrintPlan == nil, &undo)
	if err != nil {
		return nil, err
	}
	b.joinFiles = append(b.joinFiles, tasks...)
	p := newPlanner()
	if err := p.planCreate(b); err != nil {
		return nil, err
	}
	p.finish(e)
	if o.PrintPlan != nil {
		undo.run()
		_, err := o.PrintPlan.Write(p.AppendText(nil))
		return nil, err
	}

	r.debug("create container %s of bundle %s: the root is %s", id, bundle, rootfs)
	clone := launch.Clone{Flags: b.newFlags &^ b.unshare, PidNS: pidns, Share: !r.OwnMemory && mayShare(s, c.Namespaces)}
	if len(b.stage) > 0 {
		clone.Flags = 0 // they are made when the others have been entered
	}
	if err := place.begin(); err != nil {
		return nil, err
	}
	// An ordinary user can write the id maps only of a process that is dumpable.
	if b.newFlags&unix.CLONE_NEWUSER == 0 || me.has(unix.CAP_SYS_ADMIN) {
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if clone.Cgroup, err = openCgroup(place.birth, &undo); err != nil {
		return nil, err
	}
	var notify *notifier
	if o.Run {
		if notify, err = c.bindNotify(o.NotifySocket); err != nil {
			return nil, err
		}
		undo.add(notify.close)
	}
	reap := o.Run && !o.Detach && !o.NoSubreaper
	if reap {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, fmt.Errorf("become the reaper of the container's orphans: %w", err)
		}
	}
	child, err := p.Start(clone)
	if err != nil {
		return nil, explainStart(err, &me, b)
	}
	undo.add(func() { child.Kill() })
	r.debug("container %s: process %d begins, with the new namespaces %#x", id, child.Pid, b.newFlags)
	if b.maps != nil {
		b.maps.ownPipes(&s.Process.User)
	}
	// From here on the child makes its mounts while the rest of the cgroup is made.
	if err := place.finish(c, child.Pid, s.Linux.Resources); err != nil {
		return nil, err
	}
	if len(b.stage) > 0 {
		if err := goAhead(sync[0]); err != nil {
			return nil, err
		}
		if err := succeed(child, sync[0]); err != nil {
			return nil, err
		}
	}
	if err := place.limit(r, s.Linux.Resources); err != nil {
		return nil, err
	}
	r.debug("container %s: init is process %d, with limits in the cgroups %v", id, child.Pid, c.Cgroups)
	c.InitPid = child.Pid
	if c.InitStart, err = startTime(child.Pid); err != nil {
		return nil, err
	}
	if b.newFlags&unix.CLONE_NEWUSER != 0 {
		if err := me.mapIDs(child.Pid, s.Linux); err != nil {
			return nil, err
		}
	}
	if err := prepareProcess(child.Pid, s, b.maps != nil, limits); err != nil {
		return nil, err
	}
	if err := moveNetDevices(s.Linux.NetDevices, child.Pid, b.join, &undo); err != nil {
		return nil, orEnd(child, err)
	}
	if err := half.write(&c.State); err != nil {
		return nil, fmt.Errorf("write the state of container %s: %w", id, err)
	}
	if err := goAhead(sync[0]); err != nil {
		return nil, err
	}
	if err := b.sendTrees(sync[0], child.PidFD, maps); err != nil {
		return nil, err
	}
	proc = &Process{child: child, c: c, detach: o.Detach || !o.Run, keep: o.Keep, master: -1, reap: reap, notify: notify}
	if err := proc.follow(s, sync[0], o.ConsoleSocket, direct); err != nil {
		return nil, err
	}
	if err := c.commitState(); err != nil {
		return nil, err
	}
	r.debug("container %s is made; its program runs: %t", id, direct)
	if err := publish(child, o.PidFile, o.PidfdSocket); err != nil {
		return nil, err
	}
	undo.closeFDs()
	undo = undoList{}
	switch {
	case o.Run && !direct:
		err = c.Start("")
	case o.Run && s.Hooks != nil:
		err = c.runHooks("poststart", s.Hooks.Poststart, StatusRunning)
	}
	if err != nil {
		return nil, errors.Join(err, proc.abandon())
	}
	return proc, nil
}

func (r *Runtime) warn(msg string) {
	if r.Warn != nil {
		r.Warn(msg)
	}
}

// debug records what is being done. Arguments and environments, where secrets are, stay out of
// it (SECURITY.md R17).
func (r *Runtime) debug(format string, args ...any) {
	if r != nil && r.Debug != nil {
		r.Debug(fmt.Sprintf(format, args...))
	}
}

// prepareProcess does to the new process what only the outside can do.
func prepareProcess(pid int, s *specs.Spec, userns bool, limits []specs.POSIXRlimit) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if userns { // where it has no right to more than it has
		for _, l := range limits {
			lim := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
			if err := unix.Prlimit(pid, ocispec.RlimitNumber(l.Type), &lim, nil); err != nil {
				return fmt.Errorf("set the limit %s: %w", l.Type, err)
			}
		}
	}
	if adj := s.Process.OOMScoreAdj; adj != nil && !keepsOOMScore(s.Process) {
		if err := os.WriteFile(dir+"oom_score_adj", []byte(strconv.Itoa(*adj)), 0); err != nil && !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("set process.oomScoreAdj to %d: %w", *adj, err)
		}
	}
	return nil
}

// clampLimits lowers what the runtime has no right to grant, with a warning.
func clampLimits(list []specs.POSIXRlimit, warn func(string)) []specs.POSIXRlimit {
	out := make([]specs.POSIXRlimit, 0, len(list))
	may := ownEffective()&(1<<unix.CAP_SYS_RESOURCE) != 0
	for _, l := range list {
		var cur unix.Rlimit
		if !may && unix.Prlimit(0, ocispec.RlimitNumber(l.Type), nil, &cur) == nil && l.Hard > cur.Max {
			if warn != nil {
				warn(fmt.Sprintf("%s: hard limit %d lowered to %d, the runtime's own (no CAP_SYS_RESOURCE)", l.Type, l.Hard, cur.Max))
			}
			l.Hard, l.Soft = cur.Max, min(l.Soft, cur.Max)
		}
		out = append(out, l)
	}
	return out
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
