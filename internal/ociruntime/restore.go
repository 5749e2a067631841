package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// RestoreOptions say how a container is made from files.
type RestoreOptions struct {
	CriuOptions
	Bundle                      string
	ConsoleSocket               string // unix socket that gets the terminal's master
	PidFile                     string
	Detach                      bool
	LSMProfile, LSMMountContext string // "TYPE:NAME"; what labels are changed to
}

const restoreLog = "restore.log"

// restoring is a container while criu makes it.
type restoring struct {
	c     *Container
	o     RestoreOptions
	spec  *specs.Spec
	files criuFiles
	group *cgroup.Group
	half  *halfState
	undo  undoList
	proc  *Process
	sent  bool // the terminal's master has come
}

// Restore makes a container from the files of [Container.Checkpoint] and from a bundle whose
// config.json is that of the checkpointed one. It is a new container, with cgroups of its own; its
// processes go on. The image files are trusted as far as root of this host is: they say which
// credentials, filters and memory the processes have. After a failure at any step nothing is left.
func (r *Runtime) Restore(id string, o RestoreOptions) (*Process, error) {
	t := &restoring{o: o}
	proc, err := t.prepare(r, id)
	if err == nil {
		err = t.restore(proc)
	}
	if err != nil {
		t.undo.run()
		return nil, fmt.Errorf("restore container %s: %w", id, err)
	}
	t.undo.closeFDs()
	return proc, nil
}

// prepare checks everything, and makes the state directory and the cgroup.
func (t *restoring) prepare(r *Runtime, id string) (*Process, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	bundle, err := filepath.Abs(t.o.Bundle)
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
	if r.SystemdCgroup {
		return nil, errors.New("into a systemd cgroup is not supported yet: leave --systemd-cgroup out, with a cgroupsPath of the file system")
	}
	if err := checkConsole(s.Process.Terminal, t.o.Detach, t.o.ConsoleSocket); err != nil {
		return nil, err
	}
	t.spec = s
	if t.files, err = openFiles(t.o.Images, t.o.Work, false, &t.undo); err != nil {
		return nil, err
	}
	rootfs := s.Root.Path
	if !filepath.IsAbs(rootfs) {
		rootfs = filepath.Join(bundle, rootfs)
	}
	c := &Container{r: r, dir: filepath.Join(r.Root, id), spec: config}
	c.State = State{OCIVersion: specs.Version, ID: id, Bundle: bundle, Rootfs: rootfs, Annotations: s.Annotations, Created: time.Now().UTC(),
		Owner: "root", Rootless: r.Rootless, Descriptors: stdio(s.Process.Terminal, ownStandard)}
	for _, n := range s.Linux.Namespaces {
		c.Namespaces |= ocispec.NamespaceFlag(n.Type)
	}
	t.c = c
	host, err := r.cgroups()
	if err != nil {
		return nil, err
	}
	t.group, err = cgroup.New(host, cgroup.Config{Path: s.Linux.CgroupsPath, ID: id, Resources: s.Linux.Resources, Rootless: r.Rootless})
	if err != nil {
		return nil, err
	}
	c.Cgroups = t.group.Paths()
	if t.half, err = c.makeDir(raw, true, &t.undo, nil); err != nil {
		return nil, err
	}
	if err := t.group.Create(); err != nil {
		var rights *cgroup.NoRightsError
		if !errors.As(err, &rights) {
			return nil, fmt.Errorf("create the cgroup: %w", err)
		}
		r.warn(err.Error())
	}
	t.undo.add(t.removeGroup)
	c.Cgroups = t.group.Paths()
	// Before criu is in it: device rules and limits hold for all that it makes.
	if err := t.group.Apply(s.Linux.Resources); err != nil {
		return nil, err
	}
	for _, w := range t.group.Warnings() {
		r.warn(w)
	}
	return &Process{c: c, detach: t.o.Detach, master: -1}, nil
}

// removeGroup takes the cgroup away with whatever a restore that failed has left in it. criu
// makes groups of the image's below it.
func (t *restoring) removeGroup() {
	if len(t.c.Cgroups) > 0 {
		t.group.Kill(unix.SIGKILL)
	}
	t.group.Delete()
	t.group.Undo()
}

// restore runs criu.
func (t *restoring) restore(proc *Process) (err error) {
	t.proc = proc
	c := t.c
	opts := t.o.options(t.files, restoreLog)
	opts.EvasiveDevices, opts.RestoreAsSibling = true, true
	opts.ConfigFile = criuConfig(t.spec.Annotations)
	opts.LSMProfile, opts.LSMMountContext = t.o.LSMProfile, t.o.LSMMountContext
	start := criuStart{stdio: !t.spec.Process.Terminal}
	if start.inherit, err = t.namespaces(opts); err != nil {
		return err
	}
	if err := t.inheritPipes(opts); err != nil {
		return err
	}
	if err := t.mountPoints(); err != nil {
		return err
	}
	if start.mounts, err = t.mounts(opts); err != nil {
		return err
	}
	v2, _ := t.group.Dir()
	birth := ""
	start.join, birth = bornInto(t.group.JoinFiles(), v2)
	if start.cgroup, err = openCgroup(birth, &t.undo); err != nil {
		return err
	}
	start.dirs = []string{t.o.Images, t.o.Work}
	if t.o.Work == "" {
		start.dirs = start.dirs[:1]
	}
	if !proc.detach { // the processes run before criu has ended
		if err := proc.catchSignals(); err != nil {
			return err
		}
	}
	t.files.forget(restoreLog)
	server, err := c.r.startCriu(start)
	if err != nil {
		return err
	}
	if opts.ImagesDir = server.dirs[0]; t.o.Work != "" {
		opts.WorkDir = server.dirs[1]
	}
	opts.CgroupRoots, err = cgroupRoots(server.child.Pid)
	if err == nil {
		err = server.version()
	}
	if err == nil {
		_, err = server.conn.Do(criu.Restore, opts, t.notified)
	}
	ws := server.end()
	if err != nil {
		return t.files.explain(err, restoreLog, ws)
	}
	os.RemoveAll(filepath.Join(c.dir, criuDir)) // only mount points, of a mount namespace that is gone
	switch {
	case proc.child == nil:
		return errors.New("criu has restored no init process")
	case t.spec.Process.Terminal && !t.sent:
		return errors.New("process.terminal is set, but the checkpoint has no terminal")
	}
	return nil
}

// notified does what criu waits for.
func (t *restoring) notified(n criu.Notice) error {
	c := t.c
	switch n.Script {
	case "setup-namespaces": // they are there and empty
		// So that `delete --force` can clean up after a restore that was killed.
		if err := t.setInit(n.Pid); err != nil {
			return err
		}
		if err := t.loopback(n.Pid); err != nil {
			return err
		}
		hooks := t.spec.Hooks
		if hooks == nil {
			return nil
		}
		if err := c.runHooks("prestart", hooks.Prestart, "creating"); err != nil {
			return err
		}
		return c.runHooks("createRuntime", hooks.CreateRuntime, "creating")
	case "post-restore": // the processes are there and do not run yet
		return t.adopt(n.Pid)
	case "orphan-pts-master":
		if n.FD < 0 || t.sent {
			return errors.New("criu sends a terminal that has no descriptor, or a second one")
		}
		t.sent = true
		if t.o.ConsoleSocket != "" {
			return sendOver(t.o.ConsoleSocket, n.FD, "/dev/ptmx")
		}
		fd, err := unix.FcntlInt(uintptr(n.FD), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return os.NewSyscallError("keep the terminal: fcntl", err)
		}
		t.proc.master = fd
	}
	return nil
}

// adopt takes over the restored init, a child of ours, and writes the state and the pid file.
func (t *restoring) adopt(pid int) (err error) {
	c := t.c
	if t.proc.child, err = launch.Adopt(pid); err != nil {
		return fmt.Errorf("take over init process %d: %w", pid, err)
	}
	t.undo.add(t.proc.child.Kill)
	// criu restores clocks with a time namespace, also where there was none before.
	if differs(pid, "time") {
		c.Namespaces |= unix.CLONE_NEWTIME
	}
	c.Created = time.Now().UTC()
	if err := t.setInit(pid); err != nil {
		return err
	}
	if err := c.commitState(); err != nil {
		return err
	}
	if t.o.PidFile != "" {
		t.undo.add(func() { os.Remove(t.o.PidFile) })
	}
	return publish(t.proc.child, t.o.PidFile, "")
}

// setInit writes the state with an init.
func (t *restoring) setInit(pid int) (err error) {
	t.c.InitPid = pid
	if t.c.InitStart, err = startTime(pid); err != nil {
		return err
	}
	return t.half.write(&t.c.State)
}

// differs tells whether a process is in another namespace than this program.
func differs(pid int, kind string) bool {
	var own, its unix.Stat_t
	return unix.Stat("/proc/self/ns/"+kind, &own) == nil && unix.Stat("/proc/"+itoa(uint64(pid))+"/ns/"+kind, &its) == nil && own.Ino != its.Ino
}

// loopback brings the interface up in a network namespace that is new, and so empty: what is in
// it is not criu's to restore (--empty-ns), and create does it too. Without it a server on
// 127.0.0.1 could not be reached any more.
func (t *restoring) loopback(pid int) error {
	if !slices.ContainsFunc(t.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace && n.Path == "" }) {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	p := newPlanner()
	p.Doing("enter", "the new network namespace")
	p.Call("setns", unix.SYS_SETNS, p.FD(fd, "init"), launch.Hex(unix.CLONE_NEWNET))
	p.loopback()
	p.Exit(0)
	return runPlan(p, launch.Clone{})
}

// runPlan executes a plan that ends by itself.
func runPlan(p *planner, clone launch.Clone) error {
	child, err := p.Start(clone)
	if err != nil {
		return err
	}
	_, err = child.Next()
	child.Kill() // it has ended, or is about to
	if err == io.EOF {
		return nil
	}
	return err
}

// namespaces tells criu of those that are joined by path. It returns descriptors for it to inherit.
func (t *restoring) namespaces(opts *criu.Options) (inherit []int, err error) {
	joined, err := openNamespaces(t.spec.Linux.Namespaces, &t.undo) // checks their types
	if err != nil {
		return nil, err
	}
	for i, n := range t.spec.Linux.Namespaces {
		if n.Path == "" {
			continue
		}
		fd := joined[0].fd
		joined = joined[1:]
		if key := namespaceKey(n.Type); key != "" {
			opts.InheritFDs = append(opts.InheritFDs, criu.InheritFD{Key: key, FD: 4 + len(inherit)})
			inherit = append(inherit, fd)
			continue
		}
		if n.Type == specs.CgroupNamespace || n.Type == specs.UserNamespace {
			return nil, fmt.Errorf("linux.namespaces[%d].path: criu cannot join a %s namespace", i, n.Type)
		}
		kind := map[specs.LinuxNamespaceType]string{specs.MountNamespace: "mnt", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.TimeNamespace: "time"}[n.Type]
		opts.JoinNamespaces = append(opts.JoinNamespaces, criu.JoinNamespace{Kind: kind, Path: n.Path})
	}
	return inherit, nil
}

// maxDescriptors bounds descriptors.json, which comes with the images (R10).
const maxDescriptors = 64 << 10

// inheritPipes gives the restored processes our standard descriptors where theirs were pipes whose
// other ends are not in the container.
func (t *restoring) inheritPipes(opts *criu.Options) error {
	fd, err := unix.Openat(t.files.images, descriptorsFile, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open %s beside the images: %w", descriptorsFile, err)
	}
	f := os.NewFile(uintptr(fd), descriptorsFile)
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDescriptors+1))
	if err == nil && len(b) > maxDescriptors {
		err = fmt.Errorf("larger than %d bytes", maxDescriptors)
	}
	var names []string
	if err == nil {
		names, err = ocispec.DecodeStrings(b)
	}
	if err != nil {
		return fmt.Errorf("read %s beside the images: %w", descriptorsFile, err)
	}
	if t.spec.Process.Terminal {
		return nil
	}
	for i, name := range names {
		if i < 3 && strings.HasPrefix(name, "pipe:") {
			opts.InheritFDs = append(opts.InheritFDs, criu.InheritFD{Key: name, FD: i})
		}
	}
	return nil
}

// cgroupRoots are the groups that criu is in: those of the image are made relative to them.
func cgroupRoots(pid int) ([]criu.CgroupRoot, error) {
	b, err := os.ReadFile("/proc/" + itoa(uint64(pid)) + "/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read the cgroups of criu: %w", err)
	}
	var out []criu.CgroupRoot
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, dir, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			out = append(out, criu.CgroupRoot{Controller: c, Path: dir})
		}
	}
	return out, nil
}
