package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

// TestRootContainer runs the whole life on the real hierarchies, with a fake systemd behind a
// real bus that makes the directories which systemd makes.
func TestRootContainer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	h, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.Mode() != cgroup.Hybrid {
		t.Skip("needs a hybrid host")
	}
	slice := fmt.Sprintf("hulltest%d.slice", os.Getpid())
	u, err := ParseUnit(slice+":t:x", "x", false)
	if err != nil {
		t.Fatal(err)
	}
	var own []string // hierarchies of systemd itself
	for _, hi := range h.Hierarchies {
		if hi.V2 || hi.Name() == "name=systemd" {
			own = append(own, hi.Mount)
		}
	}
	f := newFake(t)
	f.onStart = func(unit string, props map[string]dbus.Value) {
		for _, m := range own {
			dir := filepath.Join(m, slice, unit)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Error(err)
			}
			pid := strconv.FormatUint(props["PIDs"].List()[0].Uint(), 10)
			if err := os.WriteFile(dir+"/cgroup.procs", []byte(pid), 0); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		for _, hi := range h.Hierarchies {
			os.Remove(filepath.Join(hi.Mount, slice, u.Name))
			if err := os.Remove(filepath.Join(hi.Mount, slice)); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	})
	d := f.open(f.onDaemon(), false)
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(9))},
	}
	cmd := exec.Command("/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	g, err := d.Group(h, u, cgroup.Config{ID: "x", Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Create(g, u, cmd.Process.Pid, nil, r); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cgroup")
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, ":/"+slice+"/"+u.Name+"\n") {
			t.Errorf("the process is in %s", line)
		}
	}
	s, err := g.Stats()
	if err != nil || s.Memory.Usage.Limit != 64<<20 || s.Pids.Limit != 9 || text(f.units[u.Name]["MemoryLimit"]) != "67108864" {
		t.Errorf("%+v, %v, %v", s, err, f.units[u.Name])
	}
	r.Memory.Limit = ptr(int64(128 << 20))
	loaded, err := cgroup.Load(h, g.Paths())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Update(loaded, u, r, nil); err != nil {
		t.Fatal(err)
	}
	if s, err = g.Stats(); err != nil || s.Memory.Usage.Limit != 128<<20 || text(f.units[u.Name]["MemoryLimit"]) != "134217728" {
		t.Errorf("after the update: %+v, %v", s, err)
	}
	if err := loaded.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if err := d.Delete(loaded, u); err != nil {
		t.Error(err)
	}
	for _, p := range g.Paths() {
		if _, err := os.Stat(p); !os.IsNotExist(err) {
			t.Errorf("%s is left behind", p)
		}
	}
	if len(f.units) != 0 {
		t.Errorf("units left: %v", f.units)
	}
}
