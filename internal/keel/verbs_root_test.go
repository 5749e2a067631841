package keel

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRootRunAndExecStatus(t *testing.T) {
	b := newBox(t, nil, "sh", "-c", "echo out; echo err >&2; exit 7")
	if out, errs, code := b.run("run", "-b", b.bundle, "c"); out != "out\n" || errs != "err\n" || code != 7 {
		t.Errorf("run: %q, %q, %d", out, errs, code)
	}
	if out := b.ok("list", "-q"); out != "" {
		t.Errorf("run leaves %q", out)
	}
	if out, _, code := b.run("run", "--keep", "-b", b.bundle, "c"); out != "out\n" || code != 7 {
		t.Errorf("run --keep: %q, %d", out, code)
	}
	if s, _ := b.status("c"); s != "stopped" {
		t.Errorf("run --keep leaves it %s", s)
	}

	b = newBox(t, nil, "sleep", "600")
	b.create("c")
	b.ok("start", "c")
	for _, c := range []struct {
		args []string
		out  string
		code int
	}{
		{[]string{"exec", "c", "/bin/busybox", "sh", "-c", "exit 9"}, "", 9},
		{[]string{"exec", "c", "/bin/busybox", "sh", "-c", "kill -TERM $$"}, "", 143},
		{[]string{"exec", "-e", "X=1", "-e", "Y=2 3", "--cwd", "/tmp", "c", "/bin/busybox", "sh", "-c", "echo $X $Y $PWD"}, "1 2 3 /tmp\n", 0},
		{[]string{"exec", "-u", "5:6", "-g", "7", "c", "/bin/busybox", "id"}, "uid=5 gid=6 groups=6,7\n", 0},
		{[]string{"exec", "c", "/bin/busybox", "grep", "NoNewPrivs", "/proc/self/status"}, "NoNewPrivs:\t1\n", 0},
		{[]string{"exec", "--no-new-privs=false", "c", "/bin/busybox", "grep", "NoNewPrivs", "/proc/self/status"}, "NoNewPrivs:\t0\n", 0},
	} {
		if out, errs, code := b.run(c.args...); out != c.out || code != c.code {
			t.Errorf("keel %q: %q, %q, %d; want %q, %d", c.args, out, errs, code, c.out, c.code)
		}
	}
	process := filepath.Join(b.bundle, "process.json")
	if err := os.WriteFile(process, []byte(`{"args":["/bin/busybox","sh","-c","echo $HERE; exit 4"],"cwd":"/","env":["HERE=p"],"user":{"uid":0,"gid":0}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := b.run("exec", "-p", process, "c"); out != "p\n" || code != 4 {
		t.Errorf("exec --process: %q, %q, %d", out, errs, code)
	}
	pidFile := filepath.Join(b.bundle, "pid")
	b.ok("exec", "-d", "--pid-file", pidFile, "c", "/bin/busybox", "sleep", "600")
	if pid, err := os.ReadFile(pidFile); err != nil || !strings.Contains(b.ok("ps", "-f", "json", "c"), string(pid)) {
		t.Errorf("exec --detach: pid %q, %v", pid, err)
	}
	b.refused(255, "exec args cannot be empty", "exec", "c")
	b.refused(255, "bad uid", "exec", "-u", "root", "c", "/bin/busybox")
	b.refused(255, "AppArmor", "exec", "--apparmor", "p", "c", "/bin/busybox")
	b.refused(255, "selinux", "exec", "--process-label", "l", "c", "/bin/busybox")
	b.refused(255, "no such file", "exec", "c", "/nonexistent")
}

func TestRootList(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	if out := b.ok("list", "-f", "json"); out != "null\n" {
		t.Errorf("JSON of none: %q", out)
	}
	b.create("b")
	b.config(func(s *specs.Spec) { s.Linux.CgroupsPath += "-2" })
	b.create("a")
	if out := b.ok("list", "-q"); out != "a\nb\n" {
		t.Errorf("list -q: %q", out)
	}
	var rows []struct{ ID, Status, Owner, Rootfs, Created string }
	if err := json.Unmarshal([]byte(b.ok("list", "--format=json")), &rows); err != nil || len(rows) != 2 || rows[1].ID != "b" || rows[0].Status != "created" ||
		rows[0].Owner != "root" || rows[0].Rootfs != filepath.Join(b.bundle, "rootfs") {
		t.Errorf("list JSON: %+v, %v", rows, err)
	}
	if _, err := time.Parse(time.RFC3339Nano, rows[0].Created); err != nil {
		t.Error(err)
	}
	if out := b.ok("list"); strings.Count(out, "\n") != 3 || !strings.Contains(out, "created") {
		t.Errorf("table: %q", out)
	}
	b.refused(1, "invalid format option", "list", "-f", "xml")
}

func TestRootUpdate(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	b.create("c")
	var pids []int
	if err := json.Unmarshal([]byte(b.ok("ps", "-f", "json", "c")), &pids); err != nil || len(pids) != 1 {
		t.Fatalf("pids %v, %v", pids, err)
	}
	stats := func() (s struct {
		Data struct {
			Pids   struct{ Limit uint64 }
			Memory struct{ Usage struct{ Limit uint64 } }
		}
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(b.ok("events", "--stats", "c")), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	b.ok("update", "--pids-limit", "33", "--memory", "64m", "c")
	if s := stats(); s.Data.Pids.Limit != 33 || s.Data.Memory.Usage.Limit != 64<<20 {
		t.Errorf("after the options: %+v", s)
	}
	file := filepath.Join(b.bundle, "r.json")
	if err := os.WriteFile(file, []byte(`{"pids":{"limit":44}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.ok("update", "c", "-r", file) // an option may follow
	if s := stats(); s.Data.Pids.Limit != 44 || s.Data.Memory.Usage.Limit != 64<<20 {
		t.Errorf("after the file: %+v; the memory limit is not in it and must stay", s)
	}
	b.refused(1, "invalid value for memory", "update", "--memory", "much", "c")
	b.refused(1, "Intel RDT/CAT", "update", "--l3-cache-schema", "x", "c")
}

func TestRootEvents(t *testing.T) {
	limit, swap := int64(16<<20), int64(16<<20)
	b := newBox(t, func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &swap}
	}, "sh", "-c", "read x < /tmp/go; /bin/busybox tail /dev/zero; /bin/busybox sleep 600")
	if err := exec.Command("mkfifo", filepath.Join(b.bundle, "rootfs/tmp/go")).Run(); err != nil {
		t.Fatal(err)
	}
	b.create("c")
	b.ok("start", "c")
	cmd := exec.Command(b.keel, "--root", b.state, "events", "--interval", "50ms", "c")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	kinds := map[string]int{}
	next := func(want string) {
		t.Helper()
		for timeout := time.After(20 * time.Second); ; {
			select {
			case l, ok := <-lines:
				var e struct{ Type, ID string }
				if err := json.Unmarshal([]byte(l), &e); ok && (err != nil || e.ID != "c") {
					t.Fatalf("event %q: %v", l, err)
				}
				kinds[e.Type]++
				if !ok || e.Type == want {
					return
				}
			case <-timeout:
				t.Fatalf("no %q event; had %v", want, kinds)
			}
		}
	}
	next("stats")
	if err := os.WriteFile(filepath.Join(b.bundle, "rootfs/tmp/go"), []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	next("oom")
	if kinds["oom"] == 0 {
		t.Fatalf("events ended without an oom: %v", kinds)
	}
	b.ok("delete", "-f", "c")
	next("the end")
	if err := cmd.Wait(); err != nil {
		t.Errorf("events after delete: %v", err)
	}
	b.refused(1, "greater than 0", "events", "--interval", "0s", "c")
}

func TestRootErrorsAreRecorded(t *testing.T) {
	b := newBox(t, nil, "true")
	log := filepath.Join(b.bundle, "log.json")
	if _, errs, code := b.run("--log", log, "--log-format", "json", "state", "absent"); code != 1 || errs != "keel: container does not exist: absent\n" {
		t.Errorf("status %d, %q", code, errs)
	}
	text, err := os.ReadFile(log)
	var r struct{ Level, Msg, Time string }
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || r.Level != "error" || r.Msg != "container does not exist: absent" {
		t.Errorf("record %q, %v", text, err)
	}
	if _, err := time.Parse(time.RFC3339, r.Time); err != nil {
		t.Error(err)
	}
	b.refused(3, "no help topic", "nonsense")
	b.refused(1, "flag provided but not defined: -nonsense", "state", "--nonsense", "c")
	b.refused(1, `"state" requires exactly 1 argument(s)`, "state")
	b.refused(1, "invalid container ID format", "state", "../x")
	b.refused(1, "should not be empty or /", "--root", "/", "list")
	b.refused(1, "exists. Remove it first", "spec", "-b", b.bundle)
	if out := b.ok("--version"); !strings.HasPrefix(out, "keel version ") || !strings.HasSuffix(out, "\nspec: 1.3.0\n") {
		t.Errorf("--version: %q", out)
	}
	if out := b.ok("help", "run"); out != b.ok("run", "--help") || !strings.Contains(out, "--detach, -d") {
		t.Errorf("help run: %q", out)
	}
	if out := b.ok("run", "--print-plan", "-b", b.bundle, "c"); !strings.Contains(out, "execve") || b.ok("list", "-q") != "" {
		t.Errorf("--print-plan: %q; want a plan, and nothing made", out)
	}
}

// TestRootUpdateIsKept: what an update has set is part of the container's configuration, and an
// update that fails changes nothing.
func TestRootUpdateIsKept(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		limit := int64(32 << 20)
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	}, "sleep", "600")
	b.create("c")
	kept := func() string {
		text, _ := os.ReadFile(filepath.Join(b.state, "c/resources.json"))
		return string(text)
	}
	b.ok("update", "--memory", "64m", "--pids-limit", "33", "c")
	b.ok("update", "--pids-limit", "44", "--cpu-share", "100", "c")
	const want = `{"memory":{"limit":67108864},"cpu":{"shares":100},"pids":{"limit":44}}`
	if got := kept(); got != want {
		t.Errorf("after two updates: %s, want %s", got, want)
	}
	b.ok("update", "--cpu-idle", "1", "c")
	b.ok("update", "--cpu-idle", "0", "c") // the kernel has forgotten the shares, the first update has not
	var state struct {
		Cgroups map[string]string `json:"cgroup_paths"`
	}
	text, err := os.ReadFile(filepath.Join(b.state, "c/state.json"))
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(state.Cgroups["cpu"], "cpu.shares")); err == nil && string(text) != "100\n" {
		t.Errorf("after idling the shares are %q, want 100", text)
	}
	b.refused(1, "linux.resources.cpu.cpus", "update", "--memory", "128m", "--cpuset-cpus", "999", "c")
	if got := kept(); got != strings.Replace(want, "100", `100,"idle":0`, 1) {
		t.Errorf("after one that failed: %s", got)
	}
	var s struct {
		Data struct {
			Memory struct{ Usage struct{ Limit uint64 } }
		}
	}
	if err := json.Unmarshal([]byte(b.ok("events", "--stats", "c")), &s); err != nil || s.Data.Memory.Usage.Limit != 64<<20 {
		t.Errorf("the limit is %d after an update that failed; want the old one, %v", s.Data.Memory.Usage.Limit, err)
	}
}

func TestRootDebugAndWarnings(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		s.Process.Env = append(s.Process.Env, "TOKEN=secret")
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"no_such_call"}, Action: specs.ActErrno}, {Names: []string{"acct"}, Action: specs.ActErrno}}}
		s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/true"}}}
	}, "sh", "-c", "true secret")
	log := filepath.Join(b.bundle, "log")
	b.ok("--log", log, "--log-format", "json", "--debug", "run", "-b", b.bundle, "c")
	text, _ := os.ReadFile(log)
	levels := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var r struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("record %q: %v", line, err)
		}
		levels[r.Level]++
	}
	for _, want := range []string{"create container c", "init is process", "poststart[0] /bin/true", "container c is made; its program runs: true", "are deleted"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("--debug records nothing of %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "secret") {
		t.Errorf("--debug records secrets:\n%s", text)
	}
	if !strings.Contains(string(text), `unknown system call \"no_such_call\"`) {
		t.Errorf("no warning of what the seccomp profile cannot do:\n%s", text)
	}
	if levels["debug"] < 5 || levels["warning"] != 1 || levels["error"] != 0 {
		t.Errorf("levels %v", levels)
	}
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	b.ok("--log", log, "run", "-b", b.bundle, "c")
	if text, err := os.ReadFile(log); err == nil { // the profile has been warned of
		t.Errorf("a second time, without --debug: %s", text)
	}
}
