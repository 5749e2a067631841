package keel

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRootLife(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	b.create("c")
	if s, pid := b.status("c"); s != "created" || pid == 0 {
		t.Fatalf("after create: %s, pid %d", s, pid)
	}
	b.refused(1, "container with given ID already exists", "create", "-b", b.bundle, "c")
	b.ok("start", "c")
	if s, _ := b.status("c"); s != "running" {
		t.Fatalf("after start: %s", s)
	}
	b.refused(1, "cannot start an already running container", "start", "c")
	b.refused(1, "cannot delete container c that is not stopped: running", "delete", "c")
	b.refused(1, "container not paused", "resume", "c")

	b.ok("pause", "c")
	if s, _ := b.status("c"); s != "paused" {
		t.Errorf("after pause: %s", s)
	}
	b.refused(1, "container not running", "pause", "c")
	b.refused(1, "cannot start a container in the paused state", "start", "c")
	b.refused(255, "cannot exec in a paused container", "exec", "c", "/bin/busybox", "true")
	b.ok("resume", "c")
	if s, _ := b.status("c"); s != "running" {
		t.Errorf("after resume: %s", s)
	}

	b.ok("kill", "c", "0") // only asks
	b.ok("kill", "c", "KILL")
	b.becomes("c", "stopped")
	if _, pid := b.status("c"); pid != 0 {
		t.Errorf("a stopped container has pid %d", pid)
	}
	b.refused(1, "container not running", "kill", "c")
	b.ok("kill", "--all", "c") // no error, as in runc
	b.refused(1, "cannot start a container that has stopped", "start", "c")
	b.refused(1, "container not running", "pause", "c")
	b.refused(1, "container not running", "update", "--pids-limit", "5", "c")
	b.refused(1, "is not running", "events", "--stats", "c")
	b.refused(255, "cannot exec in a stopped container", "exec", "c", "/bin/busybox", "true")
	b.ok("delete", "c")
	b.refused(1, "container does not exist: c", "state", "c")
	b.refused(1, "container does not exist: c", "delete", "c")
	b.ok("delete", "--force", "c")
	if left, err := os.ReadDir(b.state); err != nil || len(left) != 0 {
		t.Errorf("left in the state directory: %v, %v", left, err)
	}
}

func TestRootDeleteKillsWhatItMay(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	b.create("created")
	_, pid := b.status("created")
	b.ok("delete", "created") // no --force needed
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Error("delete of a created container leaves its init")
	}
	b.create("paused")
	b.ok("start", "paused")
	b.ok("pause", "paused")
	b.ok("delete", "-f", "paused") // the v1 freezer holds even the killed

	b.create("killed")
	b.ok("start", "killed")
	b.ok("pause", "killed")
	b.ok("kill", "killed", "KILL")
	b.becomes("killed", "stopped")
	b.ok("delete", "killed")

	// What a creator that was killed has left.
	if err := os.MkdirAll(filepath.Join(b.state, "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.ok("delete", "--force", "half")
	if _, err := os.Stat(filepath.Join(b.state, "half")); err == nil {
		t.Error("delete leaves a directory without a state")
	}
}

// TestRootSharedPidNamespace: no kernel rule ends the others with init.
func TestRootSharedPidNamespace(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
		s.Hostname = ""
		s.Mounts = s.Mounts[1:2] // /dev, for the shell's "&"
	}, "sh", "-c", "/bin/busybox sleep 600 & /bin/busybox sleep 600 & exec /bin/busybox sleep 600")
	pids := func() (p []int) {
		t.Helper()
		if err := json.Unmarshal([]byte(b.ok("ps", "--format", "json", "c")), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	b.create("c")
	b.ok("start", "c")
	for range 200 {
		if len(pids()) == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	before := pids()
	if len(before) != 3 {
		t.Fatalf("processes %v, want three", before)
	}
	table := b.ok("ps", "c", "-o", "pid,comm")
	if n := strings.Count(table, "busybox") + strings.Count(table, "sleep"); n != 3 || !strings.HasPrefix(strings.TrimSpace(table), "PID") {
		t.Errorf("ps: %q", table)
	}
	b.ok("kill", "c", "KILL")
	b.becomes("c", "stopped")
	if left := pids(); len(left) != 0 {
		t.Errorf("kill KILL leaves %v", left)
	}
	b.ok("delete", "c")

	b.create("c")
	b.ok("start", "c")
	_, init := b.status("c")
	if err := exec.Command("kill", "-KILL", strconv.Itoa(init)).Run(); err != nil { // init alone
		t.Fatal(err)
	}
	b.becomes("c", "stopped")
	b.ok("delete", "c") // fails with EBUSY unless it kills the rest
}

func TestRootKillAllAndSignals(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Root.Readonly = false }, "sh", "-c", "trap 'echo got >> /tmp/init' USR1; (trap 'echo got >> /tmp/other' USR1; while true; do /bin/busybox sleep 0.02; done) & echo up > /tmp/up; while true; do /bin/busybox sleep 0.02; done")
	file := func(name string) string { return filepath.Join(b.bundle, "rootfs/tmp", name) }
	appears := func(name string) bool {
		for range 200 {
			if _, err := os.Stat(file(name)); err == nil {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	}
	b.create("c")
	b.ok("start", "c")
	if !appears("up") {
		t.Fatal("the program does not run")
	}
	time.Sleep(50 * time.Millisecond)
	b.ok("kill", "c", "USR1")
	if !appears("init") {
		t.Error("init did not get the signal")
	}
	if _, err := os.Stat(file("other")); err == nil {
		t.Error("kill without --all reached another process")
	}
	b.ok("kill", "--all", "c", "USR1")
	if !appears("other") {
		t.Error("kill --all did not reach the other process")
	}
	b.refused(1, `unknown signal "NOPE"`, "kill", "c", "NOPE")
}

func TestRootHooksAroundALife(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	hooks := func(h *specs.Hooks) {
		t.Helper()
		b.config(func(s *specs.Spec) { s.Hooks = h })
		os.Remove(filepath.Join(b.bundle, "hooks"))
	}

	hooks(&specs.Hooks{Poststart: []specs.Hook{b.hook("poststart", 0)}, Poststop: []specs.Hook{b.hook("first", 3), b.hook("second", 0)}})
	b.create("c")
	if b.hooks() != "" {
		t.Errorf("after create: %q", b.hooks())
	}
	b.ok("start", "c")
	if got := b.hooks(); !strings.HasPrefix(got, "poststart {") || !strings.Contains(got, `"status":"running"`) {
		t.Errorf("after start: %q", got)
	}
	_, errs, code := b.run("delete", "-f", "c")
	if code != 0 || !strings.Contains(errs, "warning: run hooks.poststop[0]") {
		t.Errorf("delete with a failing poststop hook: status %d, %q; want 0 and a warning", code, errs)
	}
	got := b.hooks()
	if !strings.Contains(got, "\nfirst {") || !strings.Contains(got, "\nsecond {") || strings.Count(got, `"status":"stopped"`) != 2 || strings.Count(got, `"pid"`) != 1 {
		t.Errorf("after delete: %q; want both poststop hooks, stopped and without a pid", got)
	}

	hooks(&specs.Hooks{Poststart: []specs.Hook{b.hook("poststart", 1)}})
	b.create("c")
	b.refused(1, "run hooks.poststart[0]", "start", "c")
	if s, _ := b.status("c"); s != "stopped" {
		t.Errorf("after a failing poststart hook: %s; want stopped (runtime.md, step 9)", s)
	}
	b.ok("delete", "c")

	// `run` runs startContainer hooks too, in the container: init is number 1 there.
	var args []string
	b.config(func(s *specs.Spec) {
		args = s.Process.Args
		s.Root.Readonly = false
		s.Process.Args = []string{"/bin/busybox", "cat", "/seen"}
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/busybox", Args: []string{"busybox", "tee", "/seen"}}}}
	})
	if out := b.ok("run", "-b", b.bundle, "c"); !strings.Contains(out, `"status":"created","pid":1,`) {
		t.Errorf("run with a startContainer hook: the program finds %q; want the hook's state with pid 1", out)
	}
	b.config(func(s *specs.Spec) {
		s.Process.Args = []string{"/bin/busybox", "echo", "started"}
		s.Hooks.StartContainer[0].Args = []string{"busybox", "false"}
	})
	if out, errs, code := b.run("run", "-b", b.bundle, "c"); code != 1 || strings.Contains(out, "started") || !strings.Contains(errs, "run hooks.startContainer[0]") {
		t.Errorf("run with a failing startContainer hook: %q, %q, status %d", out, errs, code)
	}
	b.refused(1, "does not exist", "state", "c")
	b.config(func(s *specs.Spec) { s.Root.Readonly, s.Process.Args = true, args })

	hooks(&specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/busybox", Args: []string{"busybox", "false"}}}})
	b.create("c")
	b.refused(1, "run hooks.startContainer[0]", "start", "c")
	if s, _ := b.status("c"); s != "stopped" {
		t.Errorf("after a failing startContainer hook: %s; want stopped (runtime.md, step 7)", s)
	}
	b.ok("delete", "c")
}
