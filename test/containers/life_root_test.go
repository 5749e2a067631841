package containers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRootLife is the whole life of a container with the docker client.
func TestRootLife(t *testing.T) {
	d := hulldWithImage(t, "life")
	id := d.ok(t, "run", "-d", "--network", "none", "--name", "one", "busybox", "sh", "-c", "echo begun; trap 'echo stopped; exit 5' TERM; while :; do sleep 0.1; done")
	if len(id) != 64 {
		t.Errorf("the ID is %q", id)
	}
	state := func() string {
		return d.ok(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.Paused}}", "one")
	}
	expect := func(want string) {
		t.Helper()
		if got := state(); got != want {
			t.Errorf("the state is %q, want %q", got, want)
		}
	}
	expect("running 0 true false")
	if out := d.ok(t, "exec", "one", "sh", "-c", "echo $$; id -u"); !strings.HasSuffix(out, "\n0") {
		t.Errorf("exec: %q", out)
	}
	if r := d.do("exec", "one", "sh", "-c", "exit 9"); r.code != 9 {
		t.Errorf("exec's exit code: %+v", r)
	}
	d.ok(t, "pause", "one")
	expect("paused 0 true true")
	d.ok(t, "unpause", "one")
	expect("running 0 true false")
	if out := d.ok(t, "top", "one"); !strings.Contains(out, "sleep 0.1") && !strings.Contains(out, "while") {
		t.Errorf("top: %q", out)
	}
	if out := d.ok(t, "stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "one"); !strings.HasPrefix(out, "one ") || strings.HasSuffix(out, " 0") {
		t.Errorf("stats: %q", out)
	}
	begun := time.Now()
	d.ok(t, "stop", "one")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a stop that the container hears takes %v", took)
	}
	expect("exited 5 false false")
	if out := d.ok(t, "logs", "one"); out != "begun\nstopped" {
		t.Errorf("the log is %q", out)
	}
	d.ok(t, "start", "one")
	expect("running 0 true false")
	d.ok(t, "restart", "-t", "0", "one")
	expect("running 0 true false")
	d.ok(t, "rename", "one", "two")
	d.ok(t, "kill", "two")
	if out := d.ok(t, "wait", "two"); out != "137" {
		t.Errorf("wait: %q", out)
	}
	d.ok(t, "rm", "two")
	if r := d.do("inspect", "two"); r.code == 0 {
		t.Error("it is still there")
	}
}

// TestRootDeafStop: nobody waits ten seconds for a program that cannot hear the signal.
func TestRootDeafStop(t *testing.T) {
	d := hulldWithImage(t, "deaf")
	d.ok(t, "run", "-d", "--network", "none", "--name", "deaf", "busybox", "sleep", "1000")
	begun := time.Now()
	d.ok(t, "stop", "deaf")
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it takes %v", took)
	}
	if out := d.ok(t, "inspect", "-f", "{{.State.ExitCode}}", "deaf"); out != "137" {
		t.Errorf("its exit code is %s", out)
	}
	// A child that hears it gets it, and its time.
	d.ok(t, "run", "-d", "--network", "none", "--name", "shell", "busybox", "sh", "-c", "sh -c 'trap \"echo child heard; exit 0\" TERM; while :; do sleep 0.1; done'; echo shell goes on")
	soon(func() bool { return strings.Contains(d.do("top", "shell").out, "while") })
	time.Sleep(300 * time.Millisecond)
	d.ok(t, "stop", "shell")
	if out := d.ok(t, "logs", "shell"); !strings.Contains(out, "child heard") {
		t.Errorf("the child was not told: %q", out)
	}
}

// TestRootStreams: input and output with and without a terminal, many bytes, both ways.
func TestRootStreams(t *testing.T) {
	d := hulldWithImage(t, "streams")
	run := func(in string, args ...string) result {
		return d.feed([]byte(in), append([]string{"run", "--rm", "--network", "none"}, args...)...)
	}
	big := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	if r := run(big, "-i", "busybox", "cat"); r.out != big || r.code != 0 {
		t.Errorf("cat gives %d bytes of %d back, exit %d %s", len(r.out), len(big), r.code, r.err)
	}
	if r := run("", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"); r.out != "out\n" || !strings.HasPrefix(r.err, "err\n") || r.code != 3 {
		t.Errorf("%+v", r)
	}
	if r := run("", "-t", "busybox", "sh", "-c", "echo out; echo err >&2"); r.out != "out\r\nerr\r\n" {
		t.Errorf("with a terminal: %+v", r)
	}
	if r := run("", "busybox", "head", "-c", "3000000", "/dev/zero"); len(r.out) != 3000000 {
		t.Errorf("%d bytes of 3000000 come", len(r.out))
	}
	d.ok(t, "run", "-d", "--network", "none", "--name", "long", "busybox", "sleep", "1000")
	// Input that nobody reads is no error.
	if r := run(big, "-i", "busybox", "true"); r.code != 0 || r.err != "" {
		t.Errorf("a program that reads nothing: %+v", r)
	}
	if r := d.feed([]byte(big), "exec", "-i", "long", "nosuchprogram"); r.code != 127 || strings.Contains(r.err, "reset") {
		t.Errorf("an exec that fails: %+v", r)
	}
	if r := d.feed([]byte(big), "exec", "-i", "long", "cat"); r.out != big {
		t.Errorf("exec cat gives %d bytes of %d back: %s", len(r.out), len(big), r.err)
	}
}

// TestRootSurvives: containers go on without hulld, whether it stops or is killed, and what they print,
// and how they end, is there afterwards.
func TestRootSurvives(t *testing.T) {
	requires(t)
	dir := workDir(t, "survive")
	d := startHulld(t, dir).withImage(t)
	count := "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 6"
	d.ok(t, "run", "-d", "--network", "none", "--name", "counts", "busybox", "sh", "-c", count)
	d.ok(t, "run", "-d", "--rm", "--network", "none", "--name", "short", "busybox", "sleep", "2")
	d.ok(t, "run", "-d", "--network", "none", "--name", "stays", "busybox", "sleep", "1000")
	d.ok(t, "run", "-d", "--network", "none", "--restart", "always", "--name", "always", "busybox", "sleep", "3")
	pid := d.ok(t, "inspect", "-f", "{{.State.Pid}}", "stays")
	for i, end := range []func(){func() { d.stop(t) }, func() { d.kill() }, func() { d.kill() }} {
		end()
		if i == 1 {
			time.Sleep(3 * time.Second) // "short" and "always" end while nobody looks
		}
		d = startHulld(t, dir)
		if got := d.ok(t, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "stays"); got != "running "+pid {
			t.Errorf("round %d: it is %q, want running %s", i, got, pid)
		}
	}
	t.Cleanup(func() { d.removeAll(t) })
	if !soon(func() bool { return d.do("inspect", "short").code != 0 }) {
		t.Error("a --rm container that ended meanwhile is still there")
	}
	if !soon(func() bool {
		return strings.HasPrefix(d.do("inspect", "-f", "{{.State.Status}}", "always").out, "running")
	}) {
		t.Errorf("--restart always: %+v", d.do("inspect", "-f", "{{json .State}}", "always"))
	}
	if out := d.ok(t, "wait", "counts"); out != "6" {
		t.Errorf("it ended with %s", out)
	}
	lines := strings.Fields(d.ok(t, "logs", "counts"))
	if len(lines) != 400 {
		t.Errorf("%d lines of 400 are in the log", len(lines))
	}
	for i, l := range lines {
		if l != fmt.Sprint(i) {
			t.Fatalf("line %d is %q", i, l)
		}
	}
	if out := d.ok(t, "exec", "stays", "echo", "hello"); out != "hello" {
		t.Errorf("exec: %q", out)
	}
	d.ok(t, "stop", "stays")
}

// TestRootKilledAnywhere kills hulld at each step of what it does. After the next start everything is
// whole, what ran runs, and the same can be done again.
func TestRootKilledAnywhere(t *testing.T) {
	requires(t)
	for _, c := range []struct {
		point string
		op    []string
		gone  bool // what was asked for is not there after
	}{
		{"container.create.dir:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, true},
		{"container.create.layer:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, true},
		{"container.create.recorded:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, false},
		{"container.start.shim:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, false},
		{"container.start.network:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, false},
		{"container.start.started:1", []string{"run", "-d", "--network", "none", "--name", "x1", "busybox", "sleep", "1000"}, false},
		{"container.exec.started:1", []string{"exec", "keeps", "sleep", "1"}, false},
		{"container.exit.recorded:1", []string{"stop", "-t", "1", "other"}, false},
		{"container.remove.renamed:1", []string{"rm", "-f", "other"}, false},
		{"container.rename.recorded:1", []string{"rename", "other", "another"}, false},
	} {
		t.Run(c.point, func(t *testing.T) {
			dir := workDir(t, "killed")
			d := startHulld(t, dir).withImage(t)
			d.ok(t, "run", "-d", "--network", "none", "--name", "keeps", "busybox", "sleep", "1000")
			d.ok(t, "run", "-d", "--network", "none", "--name", "other", "busybox", "sleep", "1000")
			pid := d.ok(t, "inspect", "-f", "{{.State.Pid}}", "keeps")
			d.stop(t)
			d = startHulld(t, dir, "HULL_FAILPOINT="+c.point)
			if r := d.do(c.op...); r.code == 0 && c.op[0] == "run" {
				t.Fatalf("hulld was not killed: %+v", r)
			}
			select {
			case err := <-d.ended:
				d.ended <- err
			case <-time.After(10 * time.Second):
				t.Fatal("hulld was not killed")
			}
			d = startHulld(t, dir)
			t.Cleanup(func() { d.removeAll(t) })
			if got := d.ok(t, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "keeps"); got != "running "+pid {
				t.Errorf("another container is %q, want running %s", got, pid)
			}
			if c.op[0] == "run" {
				r := d.do("inspect", "-f", "{{.State.Status}}", "x1")
				if c.gone != (r.code != 0) {
					t.Errorf("after the kill: %+v", r)
				}
				soon(func() bool {
					return !strings.Contains(d.do("inspect", "-f", "{{.State.Status}}", "x1").out, "running") || c.point == "container.start.started:1"
				})
				if r.code == 0 {
					d.ok(t, "start", "x1")
					d.ok(t, "rm", "-f", "x1")
				}
				d.ok(t, c.op...)
			}
			d.do("start", "other")
		})
	}
}

// TestRootShimKilled: the container ends with an error that says why; others do not notice.
func TestRootShimKilled(t *testing.T) {
	d := hulldWithImage(t, "shim")
	id := d.ok(t, "run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "1000")
	d.ok(t, "run", "-d", "--network", "none", "--name", "two", "busybox", "sleep", "1000")
	var shim string
	for _, p := range d.processes(t) {
		pid := strings.TrimPrefix(p, "process ")
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(line), id) {
			shim = pid
		}
	}
	if shim == "" {
		t.Fatal("there is no shim")
	}
	if err := exec.Command("kill", "-9", shim).Run(); err != nil {
		t.Fatal(err)
	}
	if !soon(func() bool { return strings.HasPrefix(d.do("inspect", "-f", "{{.State.Status}}", "one").out, "exited") }) {
		t.Fatalf("it is %s", d.ok(t, "inspect", "-f", "{{json .State}}", "one"))
	}
	if out := d.ok(t, "inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "one"); !strings.HasPrefix(out, "137 ") || !strings.Contains(out, "shim") {
		t.Errorf("it ended as %q", out)
	}
	d.ok(t, "start", "one")
	d.ok(t, "exec", "two", "true")
	// One that is stopped delays its own container only.
	for _, p := range d.processes(t) {
		pid := strings.TrimPrefix(p, "process ")
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(line), id) {
			if err := exec.Command("kill", "-STOP", pid).Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	begun := time.Now()
	d.ok(t, "ps")
	d.ok(t, "inspect", "one")
	d.ok(t, "run", "--rm", "--network", "none", "busybox", "true")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("others wait for a stopped shim: %v", took)
	}
	d.ok(t, "rm", "-f", "one")
}

// TestRootInside looks from inside: what the default hardening promises.
func TestRootInside(t *testing.T) {
	d := hulldWithImage(t, "inside")
	sh := func(script string) string {
		return d.ok(t, "run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
	}
	if out := sh("cat /proc/self/uid_map"); strings.Fields(out)[1] == "0" {
		t.Errorf("root is root of the host: %q", out)
	}
	if out := sh("grep -E '^(CapInh|CapAmb|Seccomp):' /proc/self/status"); out != "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\nSeccomp:\t2" {
		t.Errorf("%q", out)
	}
	if out := sh("ls /proc/self/fd"); len(strings.Fields(out)) != 4 { // and the directory itself
		t.Errorf("descriptors: %q", out)
	}
	if out := d.ok(t, "run", "--rm", "--network", "none", "--userns", "host", "busybox", "cat", "/proc/self/uid_map"); strings.Fields(out)[1] != "0" {
		t.Errorf("with the host's users: %q", out)
	}
	work := workDir(t, "bind")
	if err := os.WriteFile(filepath.Join(work, "f"), []byte("host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := d.ok(t, "run", "--rm", "--network", "none", "-v", work+":/b", "busybox", "sh", "-c", "cat /b/f; echo in > /b/g; stat -c %u /b/f"); out != "host\n0" {
		t.Errorf("a bind: %q", out)
	}
	info, err := os.Stat(filepath.Join(work, "g"))
	if err != nil || fmt.Sprint(info.Sys()) == "" {
		t.Fatal(err)
	}
	if out, err := exec.Command("stat", "-c", "%u:%g", filepath.Join(work, "g")).Output(); err != nil || string(out) != "0:0\n" {
		t.Errorf("what it writes there belongs to %s", out)
	}
}
