package keel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// halfMade begins to create the container c, whose createRuntime hook hangs until release is
// called, and returns its creator.
func halfMade(b *box) (creator *exec.Cmd, errs *bytes.Buffer, release func()) {
	b.t.Helper()
	up, fifo := filepath.Join(b.bundle, "up"), filepath.Join(b.bundle, "fifo")
	os.Remove(up)
	os.Remove(fifo)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.config(func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "> " + up + "; read x < " + fifo}}}, Poststop: []specs.Hook{b.hook("poststop", 0)}}
	})
	errs = new(bytes.Buffer)
	creator = exec.Command(b.keel, "--root", b.state, "create", "-b", b.bundle, "c")
	creator.Stderr = errs
	creator.WaitDelay = time.Second
	if err := creator.Start(); err != nil {
		b.t.Fatal(err)
	}
	released := false
	release = func() {
		if released {
			return
		}
		released = true
		f, err := os.OpenFile(fifo, os.O_RDWR, 0) // does not wait for a reader
		if err != nil {
			b.t.Error(err)
			return
		}
		fmt.Fprintln(f, "go")
		time.Sleep(20 * time.Millisecond) // the reader must have come before the last writer goes
		f.Close()
	}
	b.t.Cleanup(release)
	for range 500 {
		if _, err := os.Stat(up); err == nil {
			return creator, errs, release
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("the hook does not run: %s", errs)
	return nil, nil, nil
}

// ends waits for a process to be gone; it may be on its way out.
func ends(pid int) bool {
	for range 200 {
		if gone(pid) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestRootCreating(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	creator, errs, release := halfMade(b)
	if s, pid := b.status("c"); s != "creating" || pid == 0 {
		t.Errorf("while a hook runs: %s, pid %d", s, pid)
	}
	if out := b.ok("list"); !strings.Contains(out, "creating") {
		t.Errorf("list: %q", out)
	}
	b.refused(1, "cannot start a container in the creating state", "start", "c")
	b.refused(255, "cannot exec in a creating container", "exec", "c", "/bin/busybox")
	b.refused(1, "it is creating", "pause", "c")
	b.refused(1, "already exists", "create", "-b", b.bundle, "c")
	b.refused(1, "cannot delete container c that is not stopped: creating", "delete", "c")
	release()
	if err := creator.Wait(); err != nil && creator.ProcessState.ExitCode() != 0 {
		t.Fatalf("create: %v, %s", err, errs)
	}
	if s, _ := b.status("c"); s != "created" {
		t.Errorf("after create: %s", s)
	}
}

// TestRootCreatorKilled: what a creator leaves that was killed is known and can be deleted.
func TestRootCreatorKilled(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	creator, _, _ := halfMade(b)
	_, pid := b.status("c")
	creator.Process.Kill()
	creator.Wait()
	b.becomes("c", "stopped") // init ends with its creator
	if !ends(pid) {
		t.Errorf("init %d outlives its creator", pid)
	}
	b.ok("delete", "c")
	if left, _ := os.ReadDir(b.state); len(left) != 0 || !strings.Contains(b.hooks(), "poststop {") {
		t.Errorf("left: %v; hooks: %q", left, b.hooks())
	}

	// Killed before there was an init: the cgroups are known all the same.
	b.config(func(s *specs.Spec) { s.Hooks = nil })
	b.create("c")
	half := filepath.Join(b.state, "c/.state.json")
	edit := func(change func(m map[string]any)) {
		t.Helper()
		name := filepath.Join(b.state, "c/state.json")
		text, err := os.ReadFile(name)
		m := map[string]any{}
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		text, _ = json.Marshal(m)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name, half); err != nil {
			t.Fatal(err)
		}
	}
	_, pid = b.status("c")
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	edit(func(m map[string]any) { m["init_process_pid"] = 0 })
	b.becomes("c", "stopped")
	b.ok("delete", "c") // newBox looks for cgroups

	// Killed just before the end: init waits for a start that must not come.
	b.create("c")
	_, pid = b.status("c")
	edit(func(m map[string]any) {})
	if s, p := b.status("c"); s != "creating" || p != pid {
		t.Errorf("with an init that lives: %s, pid %d; want creating, %d", s, p, pid)
	}
	b.ok("delete", "--force", "c")
	if !ends(pid) {
		t.Error("delete --force leaves init")
	}
}

func TestRootDeleteWhileCreating(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	creator, errs, release := halfMade(b)
	_, pid := b.status("c")
	deleter := exec.Command(b.keel, "--root", b.state, "delete", "--force", "c")
	var out bytes.Buffer
	deleter.Stderr = &out
	if err := deleter.Start(); err != nil {
		t.Fatal(err)
	}
	if !ends(pid) {
		t.Error("delete --force does not kill init")
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := os.Stat(filepath.Join(b.state, "c")); err != nil {
		t.Errorf("delete takes the directory away from under the creator: %v", err)
	}
	release()
	if err := deleter.Wait(); err != nil {
		t.Errorf("delete --force: %v, %s", err, &out)
	}
	if creator.Wait(); creator.ProcessState.ExitCode() != 1 || !strings.HasPrefix(errs.String(), "keel: ") {
		t.Errorf("create of what was deleted: status %d, %q", creator.ProcessState.ExitCode(), errs)
	}
	if left, _ := os.ReadDir(b.state); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestRootFailedHooks: runtime.md, Lifecycle: a failing hook stops the container, and what
// follows is its deletion, with the poststop hooks.
func TestRootFailedHooks(t *testing.T) {
	for _, c := range []struct{ kind, args, status string }{
		{"createRuntime", "create", ""},
		{"createRuntime", "run --detach", ""},
		{"poststart", "run", ""},
		{"poststart", "run --detach", ""},
		{"poststart", "run --keep", "stopped"},
	} {
		b := newBox(t, nil, "sleep", "600")
		b.config(func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{Poststop: []specs.Hook{b.hook("poststop", 0)}}
			bad := []specs.Hook{b.hook(c.kind, 3)}
			if c.kind == "poststart" {
				s.Hooks.Poststart = bad
			} else {
				s.Hooks.CreateRuntime = bad
			}
		})
		pidFile := filepath.Join(b.bundle, "pid")
		b.refused(1, "run hooks."+c.kind+"[0]", append(strings.Fields(c.args), "--pid-file", pidFile, "-b", b.bundle, "c")...)
		if text, err := os.ReadFile(pidFile); err == nil {
			if pid, _ := strconv.Atoi(string(text)); !ends(pid) {
				t.Errorf("%s after a failing %s hook leaves process %d", c.args, c.kind, pid)
			}
		}
		if c.status == "" {
			if out := b.ok("list", "-q"); out != "" || !strings.Contains(b.hooks(), "poststop {") {
				t.Errorf("%s after a failing %s hook leaves %q; hooks: %s", c.args, c.kind, out, b.hooks())
			}
		} else if s, _ := b.status("c"); s != c.status || strings.Contains(b.hooks(), "poststop {") {
			t.Errorf("%s after a failing %s hook: %s; hooks: %s", c.args, c.kind, s, b.hooks())
		}
	}
}

// TestRootDeleteDoesNotWaitForAReaper: a process that exec has left is reaped by who adopts
// it. Here that is this test, which does not.
func TestRootDeleteDoesNotWaitForAReaper(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	b.create("c")
	b.ok("start", "c")
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	pidFile := filepath.Join(b.bundle, "pid")
	b.ok("exec", "-d", "--pid-file", pidFile, "c", "/bin/busybox", "sleep", "600")
	text, err := os.ReadFile(pidFile)
	pid, atoiErr := strconv.Atoi(string(text))
	if err != nil || atoiErr != nil {
		t.Fatal(err, atoiErr)
	}
	defer unix.Wait4(pid, nil, 0, nil)
	begin := time.Now()
	b.ok("kill", "c", "KILL")
	for s := "running"; s != "stopped"; s, _ = b.status("c") {
		if time.Since(begin) > time.Second {
			t.Errorf("a second after its kill the container is %s: its init waits to be alone", s)
			break
		}
	}
	b.refused(1, "container not running", "kill", "c")
	b.ok("delete", "--force", "c")
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("kill and delete take %v: they wait for the reaper of an exec process", d)
	}
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err != nil || !strings.Contains(string(stat), ") Z ") {
		t.Errorf("the exec process: %q, %v; the test shows nothing unless it is a zombie", stat, err)
	}
}
