package keel

import (
	"bytes"
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

// count is a program that counts in /tmp/count, in memory: who starts again begins at 1.
const count = `i=0; while true; do i=$((i+1)); echo $i > /tmp/next; /bin/busybox mv /tmp/next /tmp/count; /bin/busybox sleep 0.05; done`

// workingCriu is a criu that works on this kernel: Debian's, or Debian's with the library of
// testdata/criu_kernel.c where the kernel is newer than it.
func workingCriu(t *testing.T) string {
	t.Helper()
	name, err := exec.LookPath("criu")
	if err != nil {
		t.Skip("criu is not installed")
	}
	out, err := exec.Command(name, "check").CombinedOutput()
	if err == nil {
		return name
	}
	if !strings.Contains(string(out), "Unexpected rt vDSO area bounds") {
		t.Skipf("criu does not work on this kernel: %s", out)
	}
	dir := t.TempDir()
	library, script := filepath.Join(dir, "kernel.so"), filepath.Join(dir, "criu")
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-O1", "-o", library, "testdata/criu_kernel.c", "-ldl").CombinedOutput(); err != nil {
		t.Skipf("criu needs a library on this kernel, which gcc does not make: %v: %s", err, out)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\nLD_PRELOAD="+library+" exec "+name+` "$@"`+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(script, "check").CombinedOutput(); err != nil {
		t.Skipf("criu does not work on this kernel, not even with testdata/criu_kernel.c: %s", out)
	}
	return script
}

// criuBox is a box with a criu and a directory for images.
type criuBox struct {
	*box
	criu   string
	images string
}

func newCriuBox(t *testing.T, change func(*specs.Spec), args ...string) *criuBox {
	t.Helper()
	criu := workingCriu(t)
	b := &criuBox{criu: criu, images: filepath.Join(t.TempDir(), "images")}
	b.box = newBox(t, func(s *specs.Spec) {
		s.Root.Readonly = false
		if change != nil {
			change(s)
		}
	}, args...)
	return b
}

// checkpoint calls keel checkpoint and fails the test with criu's log when that fails.
func (b *criuBox) checkpoint(id string, options ...string) {
	b.t.Helper()
	args := append([]string{"--criu", b.criu, "checkpoint", "--image-path", b.images}, options...)
	if _, errs, code := b.run(append(args, id)...); code != 0 {
		b.t.Fatalf("checkpoint: status %d: %s\n%s", code, errs, b.log("dump.log"))
	}
}

// restore calls keel restore --detach with output that goes nowhere.
func (b *criuBox) restore(id string, options ...string) {
	b.t.Helper()
	if errs, err := b.tryRestore(id, options...); err != nil {
		b.t.Fatalf("restore: %v: %s\n%s", err, errs, b.log("restore.log"))
	}
}

func (b *criuBox) tryRestore(id string, options ...string) (string, error) {
	b.t.Helper()
	return b.quietly(append([]string{"--criu", b.criu, "restore", "-d", "--image-path", b.images, "-b", b.bundle}, append(options, id)...)...)
}

// quietly calls keel with /dev/null for standard descriptors, which a container can keep and criu
// can dump, and returns what it logs.
func (b *criuBox) quietly(args ...string) (log string, err error) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "log")
	err = exec.Command(b.keel, append([]string{"--root", b.state, "--log", file}, args...)...).Run()
	text, _ := os.ReadFile(file)
	return string(text), err
}

// log is the end of a log of criu's.
func (b *criuBox) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(b.images, name))
	return string(text[max(0, len(text)-4000):])
}

// start makes a running container.
func (b *criuBox) start(id string) {
	b.t.Helper()
	if log, err := b.quietly("run", "-d", "-b", b.bundle, id); err != nil {
		b.t.Fatalf("keel run -d: %v: %s", err, log)
	}
}

func (b *criuBox) count() int {
	text, _ := os.ReadFile(filepath.Join(b.bundle, "rootfs/tmp/count"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// counts waits until the count is above a number.
func (b *criuBox) counts(above int) int {
	b.t.Helper()
	for range 400 {
		if n := b.count(); n > above {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("the count stays at %d, want more than %d", b.count(), above)
	return 0
}

// inside executes a busybox command line in a container.
func (b *criuBox) inside(id string, args ...string) string {
	b.t.Helper()
	return b.ok(append([]string{"exec", id, "/bin/busybox"}, args...)...)
}

// gone checks that a container has left nothing.
func (b *criuBox) gone(id string, pid int) {
	b.t.Helper()
	if left, _ := os.ReadDir(b.state); len(left) > 0 {
		b.t.Errorf("left in the state directory: %v", left)
	}
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); pid > 0 && err == nil && !strings.Contains(string(stat), ") Z ") {
		b.t.Errorf("process %d is left", pid)
	}
	if dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + b.cgroup()); len(dirs) > 0 {
		b.t.Errorf("cgroups are left: %v", dirs)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if bytes.Contains(mounts, []byte(b.state)) || bytes.Contains(mounts, []byte(b.bundle)) {
		b.t.Errorf("mounts are left:\n%s", mounts)
	}
}

// shell is a call of keel through a script, which gets it as "$@".
func (b *box) shell(script string, args ...string) *exec.Cmd {
	return exec.Command("/bin/sh", append([]string{"-c", script, "sh", b.keel, "--root", b.state}, args...)...)
}

// cgroup is the path of the box's cgroup in each hierarchy.
func (b *box) cgroup() (path string) {
	b.t.Helper()
	b.config(func(s *specs.Spec) { path = s.Linux.CgroupsPath })
	return path
}

func TestRootCheckpointGoesOn(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	if log, err := b.quietly("create", "-b", b.bundle, "c"); err != nil {
		t.Fatalf("create: %v: %s", err, log)
	}
	b.refused(1, "Container cannot be checkpointed in created state", "--criu", b.criu, "checkpoint", "--image-path", b.images, "c")
	b.ok("start", "c")
	b.counts(3)
	_, pid := b.status("c")

	b.checkpoint("c", "--leave-running")
	if s, p := b.status("c"); s != "running" || p != pid {
		t.Fatalf("after checkpoint --leave-running: %s, pid %d; want running, %d", s, p, pid)
	}
	b.counts(b.count())

	work := filepath.Join(t.TempDir(), "work")
	b.checkpoint("c", "--work-path", work)
	stopped := b.count()
	b.gone("c", pid)
	b.refused(1, "container does not exist: c", "state", "c")
	if log, err := os.ReadFile(filepath.Join(work, "dump.log")); err != nil || len(log) == 0 {
		t.Errorf("no log in --work-path: %v", err)
	}
	if st, err := os.Stat(b.images); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory of the images: %v, %v; want mode 700: it holds the container's memory", st, err)
	}
	time.Sleep(100 * time.Millisecond)
	if n := b.count(); n != stopped {
		t.Errorf("the count goes on after the checkpoint: %d, then %d", stopped, n)
	}

	// Another container: another name, and other cgroups.
	b.config(func(s *specs.Spec) { s.Linux.CgroupsPath += "-moved" })
	file := filepath.Join(t.TempDir(), "pid")
	b.restore("d", "--pid-file", file)
	s, pid := b.status("d")
	if text, _ := os.ReadFile(file); s != "running" || string(text) != strconv.Itoa(pid) {
		t.Errorf("after restore: %s, pid %d, pid file %q", s, pid, text)
	}
	n := b.counts(stopped)
	if n > stopped+100 {
		t.Errorf("the count was %d and is %d", stopped, n)
	}
	if left, _ := os.ReadDir(filepath.Join(b.state, "d", "criu")); len(left) > 0 {
		t.Errorf("mount points of criu are left: %v", left)
	}
	if out := b.inside("d", "ps"); !strings.Contains(out, "1 0        /bin/busybox sh -c") {
		t.Errorf("ps inside:\n%s", out)
	}
	if own, init := b.inside("d", "readlink", "/proc/self/ns/time"), b.inside("d", "readlink", "/proc/1/ns/time"); own != init {
		t.Errorf("exec is in %s, init in %s", own, init)
	}
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil || strings.Count(string(groups), b.cgroup()+"\n") != strings.Count(string(groups), "\n") {
		t.Errorf("init is in the cgroups\n%s%v\nwant %s", groups, err, b.cgroup())
	}
	b.ok("pause", "d")
	before := b.count()
	time.Sleep(150 * time.Millisecond)
	if n := b.count(); n != before {
		t.Errorf("a paused container counts from %d to %d", before, n)
	}
	b.ok("resume", "d")
	b.counts(before)
	b.ok("kill", "d", "KILL")
	b.becomes("d", "stopped")
	b.refused(1, "Container cannot be checkpointed in stopped state", "--criu", b.criu, "checkpoint", "--image-path", b.images, "d")
	b.ok("delete", "d")
	b.gone("d", pid)
}

// TestRootCheckpointPaused: a container that is paused can be checkpointed, stays paused when it
// is left, and runs once it is restored.
func TestRootCheckpointPaused(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	b.start("c")
	b.counts(1)
	b.ok("pause", "c")
	b.checkpoint("c", "--leave-running")
	if s, _ := b.status("c"); s != "paused" {
		t.Errorf("after a checkpoint of a paused container: %s", s)
	}
	b.checkpoint("c")
	stopped := b.count()
	b.gone("c", 0)
	b.restore("c")
	if s, _ := b.status("c"); s != "running" {
		t.Errorf("after restore: %s", s)
	}
	b.counts(stopped)
}

// waitingHook makes the restore of a container last: its hook writes a word and then sleeps.
func (b *criuBox) waitingHook(seconds string) {
	b.t.Helper()
	b.config(func(s *specs.Spec) {
		h := b.hook("waiting", 0)
		h.Args[2] = strings.Replace(h.Args[2], "exit 0", "sleep "+seconds, 1)
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{h}}
	})
}

func (b *criuBox) hookRuns() {
	b.t.Helper()
	for range 1000 {
		if b.hooks() != "" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.t.Fatal("the hook does not run")
}

// TestRootRestoreForeground: standard descriptors that were pipes are those of keel restore
// afterwards, and its exit status is init's.
func TestRootRestoreForeground(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", `trap 'exit 7' TERM; read word; i=0; while true; do i=$((i+1)); echo $word $i; /bin/busybox sleep 0.05; done`)
	run := func(args ...string) (*exec.Cmd, *os.File, *os.File) {
		t.Helper()
		cmd := exec.Command(b.keel, append([]string{"--root", b.state, "--criu", b.criu}, args...)...)
		in, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer out.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { write.Close(); read.Close() })
		read.SetReadDeadline(time.Now().Add(10 * time.Second))
		return cmd, write, read
	}
	last := func(read *os.File) (n int, text string) {
		buf := make([]byte, 4096)
		for n < 3 {
			k, err := read.Read(buf)
			if err != nil {
				t.Fatalf("read the output: %v, after %q", err, text)
			}
			text += string(buf[:k])
			lines := strings.Split(text, "\n")
			fmt.Sscanf(lines[max(0, len(lines)-2)], "hello %d", &n)
		}
		return n, text
	}
	cmd, write, read := run("run", "-b", b.bundle, "c")
	write.WriteString("hello\n")
	n, _ := last(read)
	b.checkpoint("c")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+9 {
		t.Errorf("keel run after the checkpoint: %v; want status 137", err)
	}

	cmd, _, read = run("restore", "--image-path", b.images, "-b", b.bundle, "c")
	again, text := last(read)
	if again <= n || strings.Contains(text, "hello 1\n") {
		t.Errorf("the output was at hello %d and goes on with %q", n, text)
	}
	b.becomes("c", "running")
	cmd.Process.Signal(unix.SIGTERM)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("keel restore: %v; want the status of init, 7", err)
	}
	b.gone("c", 0)

	// A signal that comes before there is an init is for init all the same.
	b.waitingHook("0.2")
	cmd, _, _ = run("restore", "--image-path", b.images, "-b", b.bundle, "c")
	b.hookRuns()
	cmd.Process.Signal(unix.SIGTERM)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("keel restore with an early signal: %v; want the status of init, 7", err)
	}
	b.gone("c", 0)
}
