package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
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
	Criu          string // path, or a name to look up in $PATH; "" for "criu"
	Warn          func(string)
	Debug         func(string)

	cgroupHost *cgroup.Host // once asked for
}

// cgroups is the cgroup layout of the host.
func (r *Runtime) cgroups() (*cgroup.Host, error) {
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
	NoSubreaper   bool
	PreserveFDs   int
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
	if s.Process.Terminal && o.ConsoleSocket == "" && (!o.Run || o.Detach) {
		return nil, errors.New("cannot allocate tty if runc will detach without setting console socket: give --console-socket")
	}
	if !s.Process.Terminal && o.ConsoleSocket != "" {
		return nil, errors.New("cannot use console socket if the container has no terminal: set process.terminal")
	}
	var undo undoList
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	rootfs := s.Root.Path // only ever opened whole, by the host, before the container exists
	if !filepath.IsAbs(rootfs) {
		rootfs = filepath.Clean(bundle + "/" + rootfs)
	}
	b := &box{spec: s, console: -1, nulls: nullDescriptors(), noPivot: o.NoPivot, sources: map[int]int{}, warn: r.warn}
	me := thisCaller()
	b.late = late{mode: treeModeFor(s.Linux, &me), rootfs: rootfs, bundle: bundle}
	if s.Hooks != nil {
		b.hooksBefore = len(s.Hooks.Prestart)+len(s.Hooks.CreateRuntime)+len(s.Hooks.CreateContainer) > 0
	}
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
	host, err := r.cgroups()
	if err != nil {
		return nil, err
	}
	group, err := cgroup.New(host, cgroup.Config{Path: s.Linux.CgroupsPath, ID: id, Resources: s.Linux.Resources, Rootless: r.Rootless})
	if err != nil {
		return nil, err
	}
	b.cgroupDirs = group.Paths()
	v2, _ := group.Dir()
	joinFiles, birth := bornInto(group.JoinFiles(), v2)
	b.joinFiles = joinFiles
	if o.PrintPlan == nil && r.Rootless {
		// Before the plan, which is about the groups that there are.
		undo.add(group.Undo)
		if err := c.createGroup(group); err != nil {
			return nil, err
		}
		b.cgroupDirs = group.Paths()
		b.joinFiles, birth = bornInto(group.JoinFiles(), dirOf(group))
		if b.ownCgroups, err = shownCgroups(host, group); err != nil {
			return nil, err
		}
	}
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
	sync, err := socketPair(&undo)
	if err != nil {
		return nil, err
	}
	b.sync, b.syncPeer, b.console = sync[1], sync[0], sync[1]
	e := ending{proc: s.Process, filter: filter, startFD: -1, statusFD: -1, preserve: o.PreserveFDs, setgroups: me.groups, held: me.caps}
	if b.maps != nil {
		e.setgroups, e.held = b.maps.setgroups, ^uint64(0)
	}
	e.hooks = hooksInside(s)
	if !o.NoNewKeyring {
		e.keyring = id
	}
	limits := clampLimits(s.Process.Rlimits, r.Warn)
	if b.maps == nil {
		e.limits = limits
	}
	if o.PrintPlan == nil {
		if err := c.makeDir(raw, o.Run, &undo, &e); err != nil {
			return nil, err
		}
	} else if !o.Run {
		e.startFD, e.statusFD = 0, 0
	}
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

	clone := launch.Clone{Flags: b.newFlags &^ b.unshare, PidNS: pidns, Share: mayShare(s, c.Namespaces)}
	if len(b.stage) > 0 {
		clone.Flags = 0 // they are made when the others have been entered
	}
	if !r.Rootless {
		undo.add(group.Undo)
		if err := group.CreateUnified(); err != nil {
			return nil, err
		}
	}
	// An ordinary user can write the id maps only of a process that is dumpable.
	if b.newFlags&unix.CLONE_NEWUSER == 0 || me.has(unix.CAP_SYS_ADMIN) {
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	if clone.Cgroup, err = openCgroup(birth, &undo); err != nil {
		return nil, err
	}
	child, err := p.Start(clone)
	if err != nil {
		return nil, explainStart(err, &me, b)
	}
	undo.add(func() { child.Kill() })
	if b.maps != nil {
		b.maps.ownPipes(&s.Process.User)
	}
	// From here on the child makes its mounts while the rest of the cgroup is made.
	if !r.Rootless {
		if err := c.createGroup(group); err != nil {
			return nil, err
		}
	}
	if len(b.stage) > 0 {
		if err := goAhead(sync[0]); err != nil {
			return nil, err
		}
		if err := succeed(child, sync[0]); err != nil {
			return nil, err
		}
	}
	if err := group.Apply(s.Linux.Resources); err != nil {
		return nil, err
	}
	for _, w := range group.Warnings() {
		r.warn(w)
	}
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
	if err := c.save(); err != nil {
		return nil, err
	}
	if err := goAhead(sync[0]); err != nil {
		return nil, err
	}
	if err := b.sendTrees(sync[0], child.PidFD, maps); err != nil {
		return nil, err
	}
	proc = &Process{child: child, c: c, detach: o.Detach || !o.Run, keep: o.Keep, master: -1}
	if err := proc.follow(s, sync[0], o.ConsoleSocket, o.Run); err != nil {
		return nil, err
	}
	if err := publish(child, o.PidFile, o.PidfdSocket); err != nil {
		return nil, err
	}
	if o.Run && s.Hooks != nil {
		if err := c.runHooks("poststart", s.Hooks.Poststart, "running"); err != nil {
			r.warn(err.Error())
		}
	}
	undo.closeFDs()
	return proc, nil
}

func (r *Runtime) warn(msg string) {
	if r.Warn != nil {
		r.Warn(msg)
	}
}

// makeDir makes the state directory and, unless the container starts at once, its FIFOs.
func (c *Container) makeDir(config []byte, run bool, undo *undoList, e *ending) error {
	if err := os.MkdirAll(c.r.Root, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("container with given ID already exists: %s", c.ID)
		}
		return fmt.Errorf("make the state directory: %w", err)
	}
	undo.add(func() { os.RemoveAll(c.dir) })
	if err := os.WriteFile(filepath.Join(c.dir, configFile), config, 0o600); err != nil {
		return fmt.Errorf("keep a copy of config.json: %w", err)
	}
	if run {
		return nil
	}
	for _, f := range []struct {
		name string
		fd   *int
	}{{startFifo, &e.startFD}, {statusFifo, &e.statusFD}} {
		name := filepath.Join(c.dir, f.name)
		err := unix.Mkfifo(name, 0o600)
		if err == nil {
			*f.fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return fmt.Errorf("make the FIFO %s: %w", name, err)
		}
		undo.fd(*f.fd)
	}
	return nil
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
