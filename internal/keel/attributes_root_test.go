package keel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// started makes a container c that sleeps, and starts it.
func started(t *testing.T, change func(*specs.Spec)) *box {
	t.Helper()
	b := newBox(t, change, "sleep", "1000")
	b.create("c")
	b.ok("start", "c")
	return b
}

// in executes a shell command in container c and returns what it printed.
func (b *box) in(script string) string {
	b.t.Helper()
	return strings.TrimSpace(b.ok("exec", "c", "/bin/busybox", "sh", "-c", script))
}

// onHost runs a host shell with keel's global options as $KEEL, and the bundle as $BUNDLE.
func (b *box) onHost(script string) string {
	b.t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "KEEL="+b.keel+" --root "+b.state, "BUNDLE="+b.bundle)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestRootOpenFilesAreTheCallers: Go raises the soft RLIMIT_NOFILE of keel; a container, a
// process executed in it, and a hook without a limit of their own must get the caller's.
func TestRootOpenFilesAreTheCallers(t *testing.T) {
	b := started(t, func(s *specs.Spec) { s.Process.Rlimits = nil })
	if got := b.onHost(`ulimit -Sn 321; $KEEL exec c /bin/busybox sh -c "ulimit -n"`); got != "321" {
		t.Errorf("exec: soft limit %s, want 321", got)
	}
	b.ok("delete", "--force", "c")
	hook := filepath.Join(b.bundle, "limit")
	b.config(func(s *specs.Spec) {
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", "ulimit -n"}
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "ulimit -n >" + hook}}}}
	})
	if got := b.onHost(`ulimit -Sn 322; $KEEL run -b "$BUNDLE" d`); got != "322" {
		t.Errorf("run: soft limit %s, want 322", got)
	}
	if got, _ := os.ReadFile(hook); string(got) != "322\n" {
		t.Errorf("hook: soft limit %q, want 322", got)
	}
	b.config(func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 99, Hard: 100}}
	})
	if got := b.onHost(`ulimit -Sn 322; $KEEL run -b "$BUNDLE" d`); got != "99" {
		t.Errorf("run with a limit: soft limit %s, want 99", got)
	}
}

// TestRootAttributes looks at what a process keeps over execve, for init and for exec, which
// the container's own settings hold for too.
func TestRootAttributes(t *testing.T) {
	adj := 321
	b := started(t, func(s *specs.Spec) {
		s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		s.Process.OOMScoreAdj = &adj
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	})
	const look = `p=$1; ionice -p $p; cat /proc/$p/oom_score_adj /proc/$p/personality; grep -c bind=static:0 /proc/$p/numa_maps; awk '{print $19, "policy", $41}' /proc/$p/stat`
	file := filepath.Join(b.bundle, "rootfs/look")
	if err := os.WriteFile(file, []byte(look), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(who, got string) {
		t.Helper()
		for _, want := range []string{"policy 3", "best-effort: prio 6", "\n321\n", "00000008\n", "\n7 "} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %q", who, want, got)
			}
		}
		if strings.Contains(got, "\n0\n") {
			t.Errorf("%s: no memory has the policy: %q", who, got)
		}
	}
	check("init", b.in("/bin/busybox sh /look 1"))
	// A shell that executes the look-ups itself: its children have the flag reset-on-fork behind them.
	check("exec", b.in(`/bin/busybox sh /look $$`))
}

// TestRootScheduler has the policies that need numbers; what the host cannot do is an error
// that names the property, and leaves nothing.
func TestRootScheduler(t *testing.T) {
	b := newBox(t, nil, "awk", `{print "policy", $41}`, "/proc/self/stat")
	run := func(s *specs.Scheduler, want string) {
		t.Helper()
		b.config(func(c *specs.Spec) { c.Process.Scheduler = s })
		if out, errs, _ := b.run("run", "-b", b.bundle, "c"); !strings.Contains(out+errs, want) {
			t.Errorf("%s: %q, want %q", s.Policy, out+errs, want)
		}
	}
	run(&specs.Scheduler{Policy: specs.SchedIdle}, "policy 5\n")
	run(&specs.Scheduler{Policy: specs.SchedOther, Nice: 3}, "policy 0\n")
	run(&specs.Scheduler{Policy: specs.SchedISO}, "set process.scheduler SCHED_ISO: invalid argument")
	const ms = 1_000_000
	run(&specs.Scheduler{Policy: specs.SchedDeadline, Runtime: ms, Deadline: 10 * ms, Period: 10 * ms}, "policy 6\n")
	// This host has no utilisation clamping (CONFIG_UCLAMP_TASK); elsewhere it runs.
	if _, err := os.Stat("/proc/sys/kernel/sched_util_clamp_min"); err != nil {
		run(&specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagUtilClampMin}}, "set process.scheduler SCHED_OTHER: operation not supported")
	} else {
		run(&specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagUtilClampMin}}, "policy 0\n")
	}
}

// TestRootExecCPUAffinity: initial holds until the cgroup is joined, final from then on.
func TestRootExecCPUAffinity(t *testing.T) {
	b := started(t, nil)
	const look = `grep Cpus_allowed_list /proc/self/status | cut -f2`
	all := b.in(look)
	if all == "0" {
		t.Skip("one CPU only")
	}
	exec := func(a *specs.CPUAffinity) string {
		p := filepath.Join(b.bundle, "process.json")
		text := fmt.Sprintf(`{"args":["/bin/busybox","sh","-c","%s"],"cwd":"/","execCPUAffinity":{"initial":%q,"final":%q}}`, look, a.Initial, a.Final)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(b.ok("exec", "--process", p, "c"))
	}
	for _, c := range []struct{ initial, final, want string }{{"", "1", "1"}, {"0", "1", "1"}, {"1", "", "1"}, {"", "", all}} {
		if got := exec(&specs.CPUAffinity{Initial: c.initial, Final: c.final}); got != c.want {
			t.Errorf("initial %q, final %q: CPUs %s, want %s", c.initial, c.final, got, c.want)
		}
	}
	// Whatever keel itself is bound to, as with runc 1.3.
	if got := b.onHost(`taskset -c 0 $KEEL exec c /bin/busybox sh -c '` + look + `'`); got != all {
		t.Errorf("exec by a keel bound to CPU 0: CPUs %s, want %s", got, all)
	}
	b.ok("delete", "--force", "c")
	b.config(func(s *specs.Spec) { s.Process.Args = []string{"/bin/busybox", "sh", "-c", look} })
	if got := b.onHost(`taskset -c 0 $KEEL run -b "$BUNDLE" d`); got != all {
		t.Errorf("run by a keel bound to CPU 0: CPUs %s, want %s", got, all)
	}
}

// TestRootNameUntilStart: what waits for start is not taken for the container's program.
func TestRootNameUntilStart(t *testing.T) {
	b := newBox(t, nil, "true")
	b.create("c")
	_, pid := b.status("c")
	if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(got) != "keel:[INIT]\n" {
		t.Errorf("name %q, %v", got, err)
	}
}

// TestRootTimeOffsets: the clocks of init and of exec processes are off by what was asked for.
func TestRootTimeOffsets(t *testing.T) {
	if _, err := os.Stat("/proc/self/timens_offsets"); err != nil {
		t.Skip("no time namespaces: ", err)
	}
	const day = 86400
	b := started(t, func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000 * day}, "monotonic": {Secs: 7, Nanosecs: 5}}
	})
	const look = "cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets"
	b.config(func(s *specs.Spec) {
		s.Process.Args = []string{"/bin/busybox", "sh", "-c", look}
		s.Linux.CgroupsPath += "/d"
	})
	for who, out := range map[string]string{"exec": b.in(look), "run": b.ok("run", "-b", b.bundle, "d")} {
		var up int
		fmt.Sscan(out, &up)
		if f := strings.Fields(out); up < 1000*day || up > 2000*day || len(f) != 7 || f[2] != "7" || f[3] != "5" {
			t.Errorf("%s: %q", who, out)
		}
	}
}
