package spec

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/seccomp"
)

// decode is build's document.
func decode(t testing.TB, in Input) (*specs.Spec, []string) {
	t.Helper()
	doc, w := build(t, in)
	var s specs.Spec
	if err := json.Unmarshal(doc, &s); err != nil {
		t.Fatal(err)
	}
	return &s, w
}

func hasNamespace(s *specs.Spec, t specs.LinuxNamespaceType) (path string, ok bool) {
	for _, n := range s.Linux.Namespaces {
		if n.Type == t {
			return n.Path, true
		}
	}
	return "", false
}

// TestDefaults is SECURITY.md 2c, point by point.
func TestDefaults(t *testing.T) {
	in := input(&container.HostConfig{})
	in.IDs = &IDRange{1 << 20, 65536}
	in.NoSetID = true
	s, _ := decode(t, in)
	p := s.Process
	if caps := p.Capabilities; len(caps.Bounding) != 11 || slices.Contains(caps.Bounding, "CAP_NET_RAW") || len(caps.Inheritable)+len(caps.Ambient) > 0 {
		t.Errorf("capabilities %+v", caps)
	}
	if !p.NoNewPrivileges {
		t.Error("no_new_privs is off for an image without set-id files")
	}
	if path, ok := hasNamespace(s, specs.UserNamespace); !ok || path != "" || len(s.Linux.UIDMappings) != 1 || s.Linux.UIDMappings[0] != (specs.LinuxIDMapping{ContainerID: 0, HostID: 1 << 20, Size: 65536}) {
		t.Errorf("user namespace %v %v", ok, s.Linux.UIDMappings)
	}
	if _, ok := hasNamespace(s, specs.CgroupNamespace); !ok {
		t.Error("no cgroup namespace")
	}
	if s.Linux.Resources.Pids == nil || *s.Linux.Resources.Pids.Limit != 4096 {
		t.Errorf("pids %+v", s.Linux.Resources.Pids)
	}
	if want := []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288}}; !slices.Equal(p.Rlimits, want) {
		t.Errorf("rlimits %+v", p.Rlimits)
	}
	if s.Linux.Sysctl["net.ipv4.ping_group_range"] != "0 65535" || s.Linux.Sysctl["net.ipv4.ip_unprivileged_port_start"] != "0" {
		t.Errorf("sysctls %v", s.Linux.Sysctl)
	}
	for _, m := range s.Mounts {
		if m.Destination == "/etc/hosts" && (!slices.Contains(m.Options, "ridmap") || len(m.UIDMappings) != 1) {
			t.Errorf("/etc/hosts is not id-mapped: %+v", m)
		}
		if strings.HasPrefix(m.Destination, "/sys") && !slices.Contains(m.Options, "ro") {
			t.Errorf("%s is writable", m.Destination)
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/interrupts", "/sys/dev/block"} {
		if !slices.Contains(s.Linux.MaskedPaths, path) {
			t.Errorf("%s is not masked", path)
		}
	}

	in = input(&container.HostConfig{})
	if s, _ := decode(t, in); s.Process.NoNewPrivileges || len(s.Linux.UIDMappings) > 0 {
		t.Error("no_new_privs, or a mapping, for an image that may have set-id files, in the host's user namespace")
	}
}

func TestNoNewPrivileges(t *testing.T) {
	for _, c := range []struct {
		opt        string
		privileged bool
		noSetID    bool
		want       bool
	}{{"", false, true, true}, {"", false, false, false}, {"no-new-privileges", false, false, true}, {"no-new-privileges=false", false, true, false},
		{"", true, true, false}, {"no-new-privileges", true, true, true}, {"profile=strict", false, false, true}, {"profile=compat", false, true, false}} {
		h := &container.HostConfig{Privileged: c.privileged}
		if c.opt != "" {
			h.SecurityOpt = []string{c.opt}
		}
		in := input(h)
		in.NoSetID = c.noSetID
		if s, _ := decode(t, in); s.Process.NoNewPrivileges != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestProfiles(t *testing.T) {
	s, _ := decode(t, input(&container.HostConfig{SecurityOpt: []string{"profile=strict"}}))
	if len(s.Process.Capabilities.Bounding) > 0 || !s.Root.Readonly {
		t.Error("strict leaves capabilities, or a writable root")
	}
	s, _ = decode(t, input(&container.HostConfig{SecurityOpt: []string{"profile=compat"}}))
	if _, ok := hasNamespace(s, specs.CgroupNamespace); ok || len(s.Process.Capabilities.Bounding) != 14 || s.Linux.Resources.Pids != nil || len(s.Process.Rlimits) > 0 || slices.Contains(s.Linux.MaskedPaths, "/sys/dev/block") {
		t.Error("compat is not Docker's")
	}
}

func TestWantsUserNS(t *testing.T) {
	for _, c := range []struct {
		h    container.HostConfig
		want bool
	}{
		{container.HostConfig{}, true}, {container.HostConfig{UsernsMode: "host"}, false}, {container.HostConfig{Privileged: true}, false},
		{container.HostConfig{NetworkMode: "host"}, false}, {container.HostConfig{PidMode: "host"}, false}, {container.HostConfig{IpcMode: "host"}, false},
		{container.HostConfig{UTSMode: "host"}, true}, {container.HostConfig{NetworkMode: "none"}, true},
	} {
		if got, why := WantsUserNS(&c.h, facts()); got != c.want || (why == "") != got {
			t.Errorf("%+v: %v %q", c.h, got, why)
		}
	}
	if got, _ := WantsUserNS(&container.HostConfig{}, &Facts{}); got {
		t.Error("where there are none")
	}
}

func TestNamespacesJoined(t *testing.T) {
	in := input(&container.HostConfig{NetworkMode: "container:x", IpcMode: "container:x", PidMode: "container:x"})
	in.Config.Hostname = ""
	if _, _, err := Build(in); err == nil {
		t.Error("a namespace of nobody was joined")
	}
	in.Namespaces = Namespaces{Net: "/proc/9/ns/net", IPC: "/proc/9/ns/ipc", PID: "/proc/9/ns/pid", User: "/proc/9/ns/user"}
	in.IDs = &IDRange{1 << 20, 65536}
	in.Host.Init = ptr(true)
	in.Shm = "/proc/self/fd/9"
	s, _ := decode(t, in)
	for ns, want := range map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "/proc/9/ns/net", specs.IPCNamespace: "/proc/9/ns/ipc", specs.PIDNamespace: "/proc/9/ns/pid", specs.UserNamespace: "/proc/9/ns/user"} {
		if path, _ := hasNamespace(s, ns); path != want {
			t.Errorf("%s: %s", ns, path)
		}
	}
	if s.Process.Args[0] == InitPath || len(s.Linux.Sysctl) > 0 {
		t.Error("an init, or sysctls, in namespaces of another container")
	}
	for _, m := range s.Mounts {
		if m.Destination == "/dev/shm" && m.Source != in.Shm {
			t.Errorf("%+v", m)
		}
	}
}

func TestLimitsClamped(t *testing.T) {
	h := &container.HostConfig{OomScoreAdj: -10, Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 100000, Hard: 1 << 21}, {Name: "core", Soft: -1, Hard: -1}}}}
	in := input(h)
	in.Facts.Capabilities = slices.DeleteFunc(in.Facts.Capabilities, func(c string) bool { return c == "CAP_SYS_RESOURCE" })
	in.Facts.Limits = map[string]Limit{"nofile": {1024, 20000}}
	s, w := decode(t, in)
	if s.Process.Rlimits[0] != (specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 20000, Hard: 20000}) || s.Process.Rlimits[1].Hard != unix.RLIM_INFINITY {
		t.Errorf("%+v", s.Process.Rlimits)
	}
	if s.Process.OOMScoreAdj != nil || len(w) != 2 || !strings.Contains(w[0], "raise the limit nofile above 20000") || !strings.Contains(w[1], "OOM score") {
		t.Errorf("%v %q", s.Process.OOMScoreAdj, w)
	}
	// The profile's own limit is lowered without a word.
	in = input(&container.HostConfig{})
	in.Facts.Capabilities, in.Facts.Limits = []string{"CAP_CHOWN"}, map[string]Limit{"nofile": {1024, 900}}
	if s, w := decode(t, in); s.Process.Rlimits[0] != (specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 900, Hard: 900}) || len(w) > 0 {
		t.Errorf("%+v %q", s.Process.Rlimits, w)
	}
}

func TestAnnotations(t *testing.T) {
	in := input(&container.HostConfig{Annotations: map[string]string{"a": "b", "dev.hull.secret": "x"}})
	in.Annotations = map[string]string{"dev.hull.pod": "p"}
	s, w := decode(t, in)
	if len(s.Annotations) != 2 || s.Annotations["a"] != "b" || s.Annotations["dev.hull.pod"] != "p" || len(w) != 1 {
		t.Errorf("%v %q", s.Annotations, w)
	}
}

func TestExec(t *testing.T) {
	in := input(&container.HostConfig{CapAdd: []string{"NET_ADMIN"}})
	in.User = User{UID: 1000, GID: 100, Groups: []uint32{5}}
	in.NoSetID = true
	s, _ := decode(t, in)
	if g := s.Process.User.AdditionalGids; !slices.Equal(g, []uint32{100, 5}) { // CVE-2022-36109
		t.Errorf("groups %v", g)
	}
	if c := s.Process.Capabilities; len(c.Effective)+len(c.Permitted) > 0 || len(c.Bounding) != 12 { // CVE-2016-8867
		t.Errorf("%+v", c)
	}
	p := Exec(s.Process, ExecOptions{Args: []string{"sh"}, Env: []string{"B=2", "A"}, TTY: true, ConsoleSize: [2]uint{3, 4}})
	if strings.Join(p.Env, " ") != "TERM=xterm PATH="+DefaultPath+" HOSTNAME=0123456789ab B=2" || !p.Terminal || p.ConsoleSize.Width != 4 || p.User.UID != 1000 || len(p.Capabilities.Effective) > 0 || !p.NoNewPrivileges {
		t.Errorf("%+v", p)
	}
	p = Exec(s.Process, ExecOptions{Args: []string{"sh"}, User: &User{}})
	if p.User.UID != 0 || len(p.Capabilities.Effective) != 12 || p.Terminal {
		t.Errorf("as root: %+v", p)
	}
	p = Exec(s.Process, ExecOptions{Args: []string{"sh"}, User: &User{}, Privileged: true, Available: allCaps()})
	if len(p.Capabilities.Bounding) != len(allCaps()) || p.NoNewPrivileges {
		t.Errorf("privileged: %+v", p)
	}
	if s.Process.Args[0] != "sleep" {
		t.Error("the container's own process was changed")
	}
}

// TestSeccomp runs the compiled profile on the calls that history says are ways out (SECURITY.md R20).
func TestSeccomp(t *testing.T) {
	const amd64, x86 = 0xc000003e, 0x40000003
	allow, perm, nosys, inval := uint32(seccompAllow), errno(unix.EPERM), errno(unix.ENOSYS), errno(unix.EINVAL)
	prog := func(h *container.HostConfig) []unix.SockFilter {
		t.Helper()
		s, _ := decode(t, input(h))
		p, err := seccomp.Compile(s.Linux.Seccomp, seccomp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Warnings) > 0 {
			t.Errorf("each start would warn: %q", p.Warnings)
		}
		return p.Filter
	}
	plain := prog(&container.HostConfig{})
	for _, c := range []struct {
		what string
		arch uint32
		nr   uint32
		args [3]uint64
		want uint32
	}{
		{"read", amd64, unix.SYS_READ, [3]uint64{}, allow},
		{"io_uring_setup", amd64, unix.SYS_IO_URING_SETUP, [3]uint64{}, perm},
		{"io_uring_enter", amd64, unix.SYS_IO_URING_ENTER, [3]uint64{}, perm},
		{"userfaultfd", amd64, unix.SYS_USERFAULTFD, [3]uint64{}, perm},
		{"bpf", amd64, unix.SYS_BPF, [3]uint64{}, perm},
		{"perf_event_open", amd64, unix.SYS_PERF_EVENT_OPEN, [3]uint64{}, perm},
		{"kexec_load", amd64, unix.SYS_KEXEC_LOAD, [3]uint64{}, perm},
		{"keyctl", amd64, unix.SYS_KEYCTL, [3]uint64{}, perm},
		{"add_key", amd64, unix.SYS_ADD_KEY, [3]uint64{}, perm},
		{"unshare", amd64, unix.SYS_UNSHARE, [3]uint64{unix.CLONE_NEWUSER}, perm},
		{"setns", amd64, unix.SYS_SETNS, [3]uint64{}, perm},
		{"mount", amd64, unix.SYS_MOUNT, [3]uint64{}, perm},
		{"fsopen", amd64, unix.SYS_FSOPEN, [3]uint64{}, perm},
		{"open_by_handle_at", amd64, unix.SYS_OPEN_BY_HANDLE_AT, [3]uint64{}, perm},
		{"clone of a thread", amd64, unix.SYS_CLONE, [3]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"clone of a user namespace", amd64, unix.SYS_CLONE, [3]uint64{unix.CLONE_NEWUSER}, perm},
		{"clone of a network namespace", amd64, unix.SYS_CLONE, [3]uint64{unix.CLONE_NEWNET}, perm},
		{"clone3", amd64, unix.SYS_CLONE3, [3]uint64{}, nosys},
		{"socket AF_UNIX", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_UNIX, 1, 0}, allow},
		{"socket AF_INET6", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_INET6, 1, 0}, allow},
		{"socket AF_ALG", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_ALG, 5, 0}, perm},
		{"socket AF_VSOCK", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_VSOCK, 1, 0}, perm},
		{"socket NETLINK_ROUTE", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_NETLINK, 3, unix.NETLINK_ROUTE}, allow},
		{"socket NETLINK_AUDIT", amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_NETLINK, 3, unix.NETLINK_AUDIT}, inval},
		{"a call of the future", amd64, 900, [3]uint64{}, nosys},
		{"x86 socketcall", x86, 102, [3]uint64{1}, nosys},
		{"x86 socketcall connect", x86, 102, [3]uint64{3}, nosys},
		{"x86 socket AF_ALG", x86, 359, [3]uint64{unix.AF_ALG, 5, 0}, perm},
		{"x86 socket AF_INET", x86, 359, [3]uint64{unix.AF_INET, 1, 0}, allow},
		{"x86 unshare", x86, 310, [3]uint64{unix.CLONE_NEWUSER}, perm},
		{"x86 mount", x86, 21, [3]uint64{}, perm},
		{"x32 unshare", amd64, 0x40000000 | 272, [3]uint64{}, perm},
	} {
		if got := run(t, plain, c.arch, c.nr, c.args); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.what, got, c.want)
		}
	}
	audit := prog(&container.HostConfig{CapAdd: []string{"AUDIT_WRITE"}})
	if got := run(t, audit, amd64, unix.SYS_SOCKET, [3]uint64{unix.AF_NETLINK, 3, unix.NETLINK_AUDIT}); got != allow {
		t.Errorf("an audit socket with CAP_AUDIT_WRITE: %#x", got)
	}
	admin := prog(&container.HostConfig{CapAdd: []string{"SYS_ADMIN"}})
	for _, nr := range []uint32{unix.SYS_MOUNT, unix.SYS_UNSHARE, unix.SYS_CLONE3} {
		if got := run(t, admin, amd64, nr, [3]uint64{}); got != allow {
			t.Errorf("call %d with CAP_SYS_ADMIN: %#x", nr, got)
		}
	}
	if s, _ := decode(t, input(&container.HostConfig{SecurityOpt: []string{"seccomp=unconfined"}})); s.Linux.Seccomp != nil {
		t.Error("unconfined has a filter")
	}
	if _, _, err := Build(input(&container.HostConfig{SecurityOpt: []string{"seccomp={"}})); err == nil || !strings.Contains(err.Error(), "Decoding seccomp profile failed") {
		t.Errorf("a profile that is none: %v", err)
	}
}

const seccompAllow = 0x7fff0000

func errno(e unix.Errno) uint32 { return 0x00050000 | uint32(e) }

// run executes a program on one call: the instructions that seccomp(2) allows and the compiler uses.
func run(t *testing.T, prog []unix.SockFilter, arch, nr uint32, args [3]uint64) uint32 {
	t.Helper()
	data := map[uint32]uint32{0: nr, 4: arch}
	for i, a := range args {
		data[uint32(16+8*i)], data[uint32(20+8*i)] = uint32(a), uint32(a>>32)
	}
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		jump := func(cond bool) {
			if cond {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(a == in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(a > in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(a >= in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(a&in.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}
