package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var builtKeel = sync.OnceValues(func() (string, error) {
	if k := os.Getenv("HULL_KEEL"); k != "" {
		return k, nil
	}
	dir, err := os.MkdirTemp("", "keel")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "keel")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E github.com/hull-dev/hull/internal/seal.entry", "-o", name, "github.com/hull-dev/hull/cmd/keel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOEXPERIMENT=nogreenteagc") // as the Makefile does
	out, err := cmd.CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return name, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("HULL_KEEL") == "" {
		if k, err := builtKeel(); err == nil {
			os.RemoveAll(filepath.Dir(k))
		}
	}
	os.Exit(code)
}

// lab is a state directory with a launcher, and a root file system of busybox.
type lab struct {
	t     testing.TB
	l     *Launcher
	state string
	root  string
	logs  string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	keel, err := builtKeel()
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("/dev/shm", "shim")
	if err != nil {
		t.Fatal(err)
	}
	b := &lab{t: t, state: filepath.Join(base, "state"), root: filepath.Join(base, "root"), logs: filepath.Join(base, "logs")}
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "etc"} {
		if err := os.MkdirAll(filepath.Join(b.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.root, "bin/busybox"), busybox, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"sh", "cat", "echo", "sleep", "true", "false", "head", "dd", "id", "stty", "yes", "seq", "ps", "kill", "tail", "wc"} {
		os.Symlink("busybox", filepath.Join(b.root, "bin", a))
	}
	if b.l, err = OpenLauncher(keel, b.state); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ids, _ := b.l.IDs()
		for _, id := range ids {
			if text, _ := os.ReadFile(filepath.Join(b.state, "containers", id, errFile)); len(text) > 0 {
				t.Errorf("the shim of %s says: %s", id, text)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if s, err := b.l.Connect(ctx, id); err == nil {
				_ = s.Delete(ctx)
			} else {
				_, _ = b.l.Sweep(ctx, id)
			}
			cancel()
		}
		b.l.Close()
		os.RemoveAll(base)
	})
	return b
}

// tree is a detached mount of the root.
func (b *lab) tree() *os.File {
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		b.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "root")
	b.t.Cleanup(func() { f.Close() })
	return f
}

var names atomic.Int64

func newID() string {
	return "shim" + strconv.Itoa(os.Getpid()) + "x" + strconv.FormatInt(names.Add(1), 10)
}

// spec is a config.json as dockerd makes it, without what busybox has no use for.
func spec(id string, args ...string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"}
	return &specs.Spec{
		Version: "1.0.2", Hostname: "box", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin", "HOME=/root"}, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/hull/" + id,
			Resources:   &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.NetworkNamespace}, {Type: specs.CgroupNamespace}},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

func (b *lab) request(id string, s *specs.Spec) Request {
	config, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(b.logs, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return Request{ID: id, Config: config, Root: b.tree(), Log: logfile.Config{Driver: logfile.DriverJSONFile, Dir: b.logs, Name: id + "-json.log", MaxFiles: 1}}
}

func (b *lab) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	b.t.Cleanup(cancel)
	return ctx
}

// create makes a container and fails the test when that fails.
func (b *lab) create(r Request) *Shim {
	b.t.Helper()
	s, err := b.l.Create(b.ctx(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *lab) start(s *Shim) {
	b.t.Helper()
	if err := s.Start(b.ctx()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *lab) wait(s *Shim, execID string) Exit {
	b.t.Helper()
	e, err := s.Wait(b.ctx(), execID)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// process is an exec's process as JSON.
func process(args ...string) *specs.Process { return spec("", args...).Process }

// exec runs a command in the container and returns its output and status.
func (b *lab) exec(s *Shim, id string, p *specs.Process, stdin string) (stdout, stderr string, e Exit) {
	b.t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		b.t.Fatal(err)
	}
	_, t, err := s.Exec(b.ctx(), ExecRequest{ID: id, Process: raw, Stdin: stdin != "", Stdout: true, Stderr: !p.Terminal, Patience: Patient})
	if err != nil {
		b.t.Fatal(err)
	}
	defer t.Close()
	var out, errs bytes.Buffer
	var in *strings.Reader
	if stdin != "" {
		in = strings.NewReader(stdin)
		err = t.Copy(b.ctx(), in, &out, &errs)
	} else {
		err = t.Copy(b.ctx(), nil, &out, &errs)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return out.String(), errs.String(), b.wait(s, id)
}

// gone fails the test unless nothing is left of the container on the host.
func (b *lab) gone(id string) {
	b.t.Helper()
	if _, err := os.Stat(filepath.Join(b.state, "keel", id)); err == nil {
		b.t.Errorf("the runtime's state of %s is left", id)
	}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/hull/" + id)
	if len(dirs) > 0 {
		b.t.Errorf("cgroups are left: %v", dirs)
	}
	for _, f := range []string{socketFile, pidFile} {
		if _, err := os.Stat(filepath.Join(b.state, "containers", id, f)); err == nil {
			b.t.Errorf("%s of %s is left", f, id)
		}
	}
}

// userNS is a user namespace with the mapping of withUserNS.
func (b *lab) userNS() *os.File {
	b.t.Helper()
	cmd := exec.Command("/bin/sleep", "100")
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1_000_000, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, GidMappingsEnableSetgroups: true, UidMappings: ids, GidMappings: ids}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	ns, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/user")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { ns.Close() })
	return ns
}

func inode(t *testing.T, f *os.File) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
