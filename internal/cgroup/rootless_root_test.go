package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootRootless plays an ordinary user on the real hierarchies.
func TestRootRootless(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self) // the build's directory is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("/tmp", "hull-cgroup-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	f.Write(b)
	f.Chmod(0o755)
	f.Close()
	cmd := exec.Command(f.Name())
	cmd.Dir = "/"
	cmd.Env = []string{"HULL_CGROUP_PART=rootless"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func rootlessPart() int {
	bad := 0
	fail := func(format string, args ...any) { fmt.Printf(format+"\n", args...); bad = 1 }
	h, err := Detect()
	if err != nil {
		fail("Detect: %v", err)
		return bad
	}
	g, err := New(h, Config{ID: "hulltest-rootless", Rootless: true})
	if err != nil {
		fail("New: %v", err)
		return bad
	}
	var nr *NoRightsError
	if err := g.Create(); !errors.As(err, &nr) || len(nr.Hierarchies) != len(h.Hierarchies) {
		fail("Create: %v", err)
	}
	if err := g.Apply(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}); err != nil {
		fail("Apply without limits: %v", err)
	}
	var le *LimitError
	err = g.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 30))}})
	if !errors.As(err, &le) || le.Field != "memory.limit" || !strings.Contains(err.Error(), "no rights") {
		fail("Apply with a limit: %v", err)
	}
	if len(g.JoinFiles()) != 0 || g.Delete() != nil {
		fail("JoinFiles %v", g.JoinFiles())
	}
	// An explicit path is an order.
	g, _ = New(h, Config{Path: "/hulltest-rootless", ID: "x", Rootless: true})
	if err := g.Create(); err == nil || errors.As(err, &nr) {
		fail("Create with a path: %v", err)
	}
	return bad
}
