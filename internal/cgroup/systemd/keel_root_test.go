package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

// keelBox is a bundle for `keel --systemd-cgroup`, and a fake systemd for it.
type keelBox struct {
	*fakeManager
	keel   string
	prefix []string // command line that keel runs under
	bundle string
	state  string
	slice  string
}

// newKeelBox makes both. root is the directory below which the fake makes the units' own, in
// each of the hierarchies that systemd would make them in.
func newKeelBox(t *testing.T, hierarchies []string, root string) *keelBox {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	b := &keelBox{fakeManager: newFake(t), keel: os.Getenv("HULL_KEEL"), bundle: t.TempDir()}
	if b.keel == "" {
		t.Fatal("HULL_KEEL is not set; run `make test-root`")
	}
	b.state = filepath.Join(b.bundle, "state")
	b.slice = fmt.Sprintf("hullkeel%d.slice", os.Getpid())
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.bundle, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.bundle, "rootfs/bin/busybox"), busybox, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	move := func(unit, sub string, pid uint64) {
		for _, h := range hierarchies {
			dir := filepath.Join(h, root, b.slice, unit, sub)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.FormatUint(pid, 10)), 0); err != nil {
				t.Error(err)
			}
		}
	}
	b.onStart = func(unit string, props map[string]dbus.Value) { move(unit, "", props["PIDs"].List()[0].Uint()) }
	b.onAttach = move
	t.Cleanup(func() {
		for id := range strings.FieldsSeq(b.ok("list", "-q")) {
			b.ok("delete", "--force", id)
		}
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + root + "/" + b.slice + "/*.scope")
		if len(dirs) > 0 || len(b.units) > 0 || len(b.failed) > 0 {
			t.Errorf("left: cgroups %v, units %v, failed %v", dirs, b.units, b.failed)
		}
		dirs, _ = filepath.Glob("/sys/fs/cgroup/*" + root + "/" + b.slice)
		for _, d := range dirs {
			os.Remove(d)
		}
	})
	return b
}

func (b *keelBox) config(change func(*specs.Spec)) {
	b.t.Helper()
	name := filepath.Join(b.bundle, "config.json")
	text, err := os.ReadFile(name)
	s := new(specs.Spec)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	s.Process.Terminal = false
	s.Process.Args = []string{"/bin/busybox", "sleep", "600"}
	s.Linux.CgroupsPath = b.slice + ":t:x"
	change(s)
	if text, err = json.Marshal(s); err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// run calls keel --systemd-cgroup.
func (b *keelBox) run(args ...string) (out string, code int) {
	b.t.Helper()
	words := append(slices.Clone(b.prefix), b.keel, "--root", b.state, "--systemd-cgroup")
	cmd := exec.Command(words[0], append(words[1:], args...)...)
	file, err := os.CreateTemp(b.t.TempDir(), "out") // a file: the container keeps it open
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	text, _ := os.ReadFile(file.Name())
	return string(text), cmd.ProcessState.ExitCode()
}

func (b *keelBox) ok(args ...string) string {
	b.t.Helper()
	out, code := b.run(args...)
	if code != 0 {
		b.t.Fatalf("keel %q: status %d: %s", args, code, out)
	}
	return out
}

func (b *keelBox) pid(id string) int {
	b.t.Helper()
	var s struct{ Pid int }
	if err := json.Unmarshal([]byte(b.ok("state", id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Pid
}

// in wants a process to be in a group: of v2, or of every hierarchy.
func (b *keelBox) in(pid int, group string) {
	b.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if (b.prefix == nil || strings.HasPrefix(line, "0::")) && !strings.HasSuffix(line, ":"+group+"\n") {
			b.t.Errorf("process %d is in %s; want %s", pid, line, group)
		}
	}
}

// exec starts a further process and wants it to be in a group.
func (b *keelBox) exec(id, group string) {
	b.t.Helper()
	pidFile := filepath.Join(b.bundle, "pid")
	b.ok("exec", "-d", "--pid-file", pidFile, id, "/bin/busybox", "sleep", "600")
	number, _ := os.ReadFile(pidFile)
	pid, err := strconv.Atoi(string(number))
	if err != nil {
		b.t.Fatal(err)
	}
	b.in(pid, group)
}

func (b *keelBox) prop(unit, name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.units[unit][name]
	if !ok {
		return ""
	}
	return text(v)
}

// TestRootKeelLife is a container's life with the unit of a system manager.
func TestRootKeelLife(t *testing.T) {
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.Mode() != cgroup.Hybrid {
		t.Skip("needs a hybrid host")
	}
	b := newKeelBox(t, []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}, "")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", b.onDaemon())
	b.ok("spec", "-b", b.bundle)
	b.config(func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}
		s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "0"} // a cpuset takes processes only when it has CPUs
		s.Annotations = map[string]string{"org.systemd.property.TimeoutStopSec": "uint64 7"}
	})
	const unit = "t-x.scope"
	group := "/" + b.slice + "/" + unit
	b.ok("create", "-b", b.bundle, "c")
	pid := b.pid("c")
	b.in(pid, group)
	for name, want := range map[string]string{"Slice": `"` + b.slice + `"`, "MemoryLimit": "67108864", "TimeoutStopUSec": "7000000", "PIDs": "[" + strconv.Itoa(pid) + "]", "DevicePolicy": `"strict"`} {
		if got := b.prop(unit, name); !strings.Contains(got, strings.Trim(want, `"`)) {
			t.Errorf("the unit's %s is %s, want %s", name, got, want)
		}
	}
	b.ok("start", "c")
	b.exec("c", group)
	limit := func() string {
		v, _ := os.ReadFile("/sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes")
		return strings.TrimSpace(string(v))
	}
	b.ok("update", "--memory", "128m", "c")
	if got := b.prop(unit, "MemoryLimit"); got != "134217728" || limit() != got {
		t.Errorf("after the update: MemoryLimit %s, file %s", got, limit())
	}
	if out, code := b.run("update", "--memory", "256m", "--cpuset-cpus", "999", "c"); code != 1 {
		t.Errorf("an impossible update: %d, %s", code, out)
	}
	if got := b.prop(unit, "MemoryLimit"); got != "134217728" || limit() != got {
		t.Errorf("after an update that failed: MemoryLimit %s, file %s; want what was before", got, limit())
	}
	b.ok("delete", "--force", "c")
	if len(b.units) != 0 {
		t.Errorf("delete leaves the unit: %v", b.units)
	}
}

// TestRootKeelUnitFails: when systemd cannot make the unit, nothing is left.
func TestRootKeelUnitFails(t *testing.T) {
	b := newKeelBox(t, []string{"/sys/fs/cgroup/systemd"}, "")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", b.listen())
	b.ok("spec", "-b", b.bundle)
	refused := func(text string) {
		t.Helper()
		out, code := b.run("create", "-b", b.bundle, "c")
		if code != 1 || !strings.Contains(out, text) || strings.Count(out, "\n") != 1 {
			t.Errorf("create: status %d, %q; want one line with %q", code, out, text)
		}
		if left, _ := os.ReadDir(b.state); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
	b.config(func(*specs.Spec) {})
	b.jobResult = "failed"
	refused(`start the systemd unit t-x.scope: the job ended as "failed"`)
	b.jobResult = "done"
	b.config(func(s *specs.Spec) { s.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: "999"} })
	refused("linux.resources.cpu.cpus")
	b.config(func(s *specs.Spec) { s.Linux.CgroupsPath, s.Linux.Resources.CPU = "/x/y", nil })
	refused("slice:prefix:name")
	b.config(func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.X-": "1"} })
	refused("org.systemd.property.X-")
	b.config(func(s *specs.Spec) { s.Annotations, s.Process.Args = nil, []string{"/nonexistent"} })
	refused("/nonexistent") // the unit is there by then
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
	refused("systemd is not running on this host")
}

// onV2 runs keel where cgroup v2 is all there is, by the program as when there is one.
func (b *keelBox) onV2(as ...string) {
	b.prefix = append([]string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`, "sh"}, as...)
}

func TestRootKeelV2(t *testing.T) {
	b := newKeelBox(t, []string{"/sys/fs/cgroup/unified"}, "")
	b.onV2()
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", b.listen())
	b.ok("spec", "-b", b.bundle)
	b.config(func(*specs.Spec) {})
	b.ok("run", "-d", "-b", b.bundle, "c")
	b.in(b.pid("c"), "/"+b.slice+"/t-x.scope")
	if got := b.prop("t-x.scope", "IOAccounting"); got != "true" {
		t.Errorf("IOAccounting, of v2: %q", got)
	}
	b.ok("exec", "c", "/bin/busybox", "true")
	b.ok("delete", "-f", "c")
}

// TestRootKeelUserManager: the container of an ordinary user is a unit of his own systemd, and
// exec gets into it by systemd's hand.
func TestRootKeelUserManager(t *testing.T) {
	const uid, root = 61234, "/user.slice/user-1000.slice/user@1000.service" // the fake's ControlGroup
	b := newKeelBox(t, []string{"/sys/fs/cgroup/unified"}, root)
	b.onV2("setpriv", "--reuid=61234", "--regid=61234", "--clear-groups")
	addr := b.listen()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", addr)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
	for _, p := range []string{strings.TrimPrefix(addr, "unix:path="), b.bundle} {
		for d := p; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	// systemd gives its directories to the user.
	start := b.onStart
	b.onStart = func(unit string, props map[string]dbus.Value) {
		start(unit, props)
		dir := "/sys/fs/cgroup/unified" + root + "/" + b.slice
		for _, d := range []string{dir, dir + "/" + unit} {
			if err := cgroup.Chown(d, uid, uid); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		for d := "/sys/fs/cgroup/unified" + root; d != "/sys/fs/cgroup/unified"; d = filepath.Dir(d) {
			os.Remove(d)
		}
	})
	b.ok("spec", "--rootless", "-b", b.bundle)
	b.config(func(s *specs.Spec) { s.Linux.Resources = nil })
	b.ok("run", "-d", "-b", b.bundle, "c")
	group := root + "/" + b.slice + "/t-x.scope"
	b.in(b.pid("c"), group)
	b.log = nil
	b.exec("c", group)
	if !slices.ContainsFunc(b.log, func(l string) bool { return strings.HasPrefix(l, "AttachProcessesToUnit") }) {
		t.Errorf("exec got there without systemd: %v", b.log)
	}
	b.ok("delete", "-f", "c")
}
