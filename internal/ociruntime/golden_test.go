package ociruntime

import (
	"bytes"
	goflag "flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = goflag.Bool("update", false, "rewrite the golden files in testdata")

// fakes are descriptors that stand for what Create prepares; nothing is done with them but an
// fstat(2) of bind sources.
type fakes struct {
	dir, file int
	state     string
}

func openFakes(t testing.TB) fakes {
	t.Helper()
	f := fakes{state: t.TempDir()}
	var err error
	if f.dir, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	if f.file, err = unix.Open("/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(f.dir)
		unix.Close(f.file)
	})
	return f
}

// textOfCreate is the plan of a container as [Runtime.Create] makes it, on a host with two v1
// hierarchies, without changing anything.
func textOfCreate(c *ocispec.Config, f fakes, run bool) ([]byte, error) {
	s := &c.Spec
	const sync, root, start, status = 901, 902, 903, 904 // by name in the text
	b := &box{spec: s, sync: sync, console: sync, rootTree: root, sources: map[int]int{}, warn: func(string) {},
		cgroups: []cgroupView{{name: "cpu", dir: "/sys/fs/cgroup/cpu/c"}, {name: "memory", dir: "/sys/fs/cgroup/memory/c", links: []string{"mem"}}},
		rootfs:  "/bundle/rootfs", bundle: "/bundle",
		joinFiles: []string{"/sys/fs/cgroup/cpu/c/tasks", "/sys/fs/cgroup/memory/c/tasks"}}
	if s.Hooks != nil {
		b.hooksBefore = len(s.Hooks.Prestart)+len(s.Hooks.CreateRuntime)+len(s.Hooks.CreateContainer) > 0
	}
	for _, n := range s.Linux.Namespaces {
		flag := ocispec.NamespaceFlag(n.Type)
		if n.Path == "" && flag != unix.CLONE_NEWCGROUP && flag != unix.CLONE_NEWTIME {
			b.newFlags |= flag
		}
		if n.Path != "" {
			b.join = append(b.join, joined{905, flag, n.Path})
		}
	}
	me := caller{caps: ^uint64(0), groups: true}
	b.late = late{mode: treeModeFor(s.Linux, &me), rootfs: b.rootfs, bundle: b.bundle}
	for i, m := range s.Mounts {
		o := parseMountOptions(m)
		switch bind := o.Bind() || m.Type == "bind"; {
		case bind && b.late.mode != treesCloned:
			b.late.mounts = append(b.late.mounts, i)
		case bind && b.clonesInParent(m, o):
			b.sources[i] = f.dir
		}
	}
	if b.stage = staged(&me, s.Linux, b.join); len(b.stage) == 0 {
		_, b.join = pidNS(b.join)
	} else {
		b.join = nil
	}
	if b.newFlags&unix.CLONE_NEWUSER != 0 {
		b.maps, b.userns = &idMaps{uids: s.Linux.UIDMappings, gids: s.Linux.GIDMappings, setgroups: true}, true
	}
	if b.newFlags&unix.CLONE_NEWUSER == 0 && len(b.stage) == 0 {
		b.unshare = b.newFlags & (unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	}
	filter, err := (&Runtime{Root: f.state}).filter(c)
	if err != nil {
		return nil, err
	}
	p := newPlanner()
	if err := p.planCreate(b); err != nil {
		return nil, err
	}
	e := ending{proc: s.Process, filter: filter, keyring: "c", startFD: start, statusFD: status, sync: sync, linux: s.Linux, setgroups: true, held: ^uint64(0)}
	e.hooks = hooksInside(s)
	if b.maps == nil {
		e.limits = s.Process.Rlimits
	}
	if run {
		e.startFD = -1
	}
	p.finish(e)
	return p.AppendText(nil), nil
}

// textOfExec is the plan of a further process.
func textOfExec(st *State, pr *specs.Process, second bool) ([]byte, error) {
	in := &entry{c: &Container{State: *st, r: &Runtime{}}, pidfd: 901, files: []string{"/sys/fs/cgroup/cpu/c/tasks"}, spec: &ocispec.Config{Spec: specs.Spec{Process: pr, Linux: &specs.Linux{}}},
		me: caller{caps: ^uint64(0), groups: true}, second: second, byBus: second, traced: !second && st.Namespaces&unix.CLONE_NEWPID != 0}
	if st.Namespaces&unix.CLONE_NEWUSER != 0 {
		all := []specs.LinuxIDMapping{{Size: 1<<32 - 1}}
		in.maps = &idMaps{uids: all, gids: all, setgroups: !st.Rootless}
	}
	sync := [2]int{902, 903}
	end, err := in.ending(pr, sync)
	if err != nil {
		return nil, err
	}
	end.preserve = 2
	p := newPlanner()
	in.begin(p, sync, &end)
	if pr.Terminal {
		p.terminal(sync[1], pr.ConsoleSize, false)
	}
	p.finish(end)
	return p.AppendText(nil), nil
}

// golden compares text with testdata/NAME.plan; `go test -update` rewrites the file.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".plan")
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(text, want) {
		return
	}
	got, old := bytes.Split(text, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(got), len(old)) {
		var a, b []byte
		if i < len(got) {
			a = got[i]
		}
		if i < len(old) {
			b = old[i]
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("%s, line %d:\n got %s\nwant %s\nIf the change is meant, run `go test ./internal/ociruntime -run Golden -update` and read the difference.", file, i+1, a, b)
		}
	}
}

func readSpec(t testing.TB, name string) *ocispec.Config {
	t.Helper()
	s, _, err := (&Runtime{}).readConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain is runc's own configuration, cut down to one thing of each kind, with a change.
func plain(t testing.TB, change func(*specs.Spec)) *ocispec.Config {
	t.Helper()
	s := readSpec(t, "../ocispec/testdata/runc-1.3.3-spec.json")
	s.Process.Terminal = false
	s.Mounts = s.Mounts[:3] // /proc, /dev, /dev/pts
	s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	change(&s.Spec)
	if _, err := ocispec.Validate(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func withoutNamespaces(s *specs.Spec, drop ...specs.LinuxNamespaceType) {
	var keep []specs.LinuxNamespace
next:
	for _, n := range s.Linux.Namespaces {
		for _, d := range drop {
			if n.Type == d {
				continue next
			}
		}
		keep = append(keep, n)
	}
	s.Linux.Namespaces = keep
}

// TestGoldenPlans: what the kernel is asked for, as text, for configurations as engines write
// them and for one of each property.
func TestGoldenPlans(t *testing.T) {
	f := openFakes(t)
	for _, tc := range []struct {
		name string
		spec *ocispec.Config
		run  bool
	}{
		{"runc-spec", readSpec(t, "../ocispec/testdata/runc-1.3.3-spec.json"), false},
		{"runc-rootless", readSpec(t, "../ocispec/testdata/runc-1.3.3-rootless.json"), true},
		{"docker", readSpec(t, "../ocispec/testdata/docker.json"), false},
		{"podman", readSpec(t, "testdata/podman.json"), false},
		{"host-network", plain(t, func(s *specs.Spec) { withoutNamespaces(s, specs.NetworkNamespace) }), true},
		{"terminal", plain(t, func(s *specs.Spec) {
			s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 24, Width: 80}
		}), true},
		{"joined", plain(t, func(s *specs.Spec) {
			s.Hostname = ""
			for i := range s.Linux.Namespaces {
				if n := &s.Linux.Namespaces[i]; n.Type != specs.MountNamespace {
					n.Path = "/run/ns/" + string(n.Type)
				}
			}
		}), true},
		{"joined-userns", plain(t, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/run/ns/user"})
		}), true},
		{"sysctls", plain(t, func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096", "net.core.somaxconn": "64"}
		}), true},
		{"devices", plain(t, func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(5)), GID: ptr(uint32(6))},
				{Path: "/dev/deep/block", Type: "b", Major: 7, Minor: 1},
				{Path: "/dev/fifo", Type: "p"},
			}
		}), true},
		{"paths", plain(t, func(s *specs.Spec) {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/proc/kcore", "/sys/firmware"}, []string{"/proc/sys"}
			s.Root.Readonly = true
		}), true},
		{"hooks", plain(t, func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}}
		}), true},
		{"time", plain(t, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: -3, Nanosecs: 5}, "boottime": {Secs: 7}}
		}), true},
		{"process", plain(t, func(s *specs.Spec) {
			pr := s.Process
			pr.Args, pr.Cwd, pr.Env = []string{"tool", "a b"}, "/work/dir", []string{"PATH=/opt:/bin:", "A=\"\n"}
			pr.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{7, 4294967294}, Umask: ptr(uint32(0o077))}
			pr.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 1 << 33}, {Type: "RLIMIT_CORE"}}
			pr.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}, Permitted: []string{"CAP_CHOWN", "CAP_KILL"}, Effective: []string{"CAP_KILL"}, Inheritable: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_CHOWN"}}
			pr.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
			pr.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
			s.Domainname, s.Hostname = "example", "host"
		}), false},
		{"mounts", plain(t, func(s *specs.Spec) {
			s.Linux.RootfsPropagation = "rshared"
			s.Mounts = []specs.Mount{
				{Destination: "/data/dir", Source: "/srv", Type: "bind", Options: []string{"rbind", "ro"}},
				{Destination: "/etc/one.conf", Source: "/srv/one.conf", Options: []string{"bind", "rnosuid"}},
				{Destination: "/tmp", Type: "tmpfs", Options: []string{"noexec", "size=64k", "mode=700", "shared"}},
				{Destination: "/proc", Type: "proc"},
				{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro", "nosuid"}},
				{Destination: "/no/../up", Type: "tmpfs", Source: "none"},
			}
		}), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, err := textOfCreate(tc.spec, f, tc.run)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tc.name, text)
		})
	}
}

func TestGoldenExecPlans(t *testing.T) {
	all := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	pr := *readSpec(t, "../ocispec/testdata/runc-1.3.3-spec.json").Process
	pr.Terminal = false
	terminal := pr
	terminal.Terminal, terminal.ConsoleSize = true, &specs.Box{Height: 5, Width: 6}
	for _, tc := range []struct {
		name   string
		state  State
		pr     *specs.Process
		second bool
	}{
		{"exec", State{ID: "c", Namespaces: all}, &pr, false},
		{"exec-userns-terminal", State{ID: "c", Namespaces: all | unix.CLONE_NEWUSER, Rootless: true}, &terminal, true},
	} {
		text, err := textOfExec(&tc.state, tc.pr, tc.second)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, tc.name, text)
	}
}

// TestGoldenHookPlans: a hook of the host's and one of the container's.
func TestGoldenHookPlans(t *testing.T) {
	for name, fds := range map[string][2]int{"hook-host": {-1, -1}, "hook-container": {901, 904}} {
		p := newPlanner()
		p.planHook(&State{ID: "c", Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER}, fds[0], fds[1], 902, 903)
		golden(t, name, p.AppendText(nil))
	}
}
