package keel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// script is a program of the test's in the place of criu.
func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "criu")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRootCheckpointFailureGoesOn: whatever becomes of criu, the container runs, and one sentence
// says what happened.
func TestRootCheckpointFailureGoesOn(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Root.Readonly = false }, "sh", "-c", count)
	b.create("c")
	b.ok("start", "c")
	_, pid := b.status("c")
	images := filepath.Join(t.TempDir(), "images")
	freezer := "/sys/fs/cgroup/freezer" + b.cgroup() + "/freezer.state"
	for criu, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file or directory",
		script(t, "exit 3"):                "criu ended with status 3 and gave no answer; log file: " + images + "/dump.log",
		script(t, "kill -9 $$"):            "criu ended by signal 9 and gave no answer",
		script(t, "echo FROZEN > "+freezer+"; echo '(00.1) Error (criu/x.c:1): \033[2J no' > "+images+"/dump.log; exit 1"): "gave no answer: (criu/x.c:1): ?[2J no; log file:",
	} {
		b.refused(1, want, "--criu", criu, "checkpoint", "--image-path", images, "c")
		if s, p := b.status("c"); s != "running" || p != pid {
			t.Fatalf("after a failed checkpoint (%s): %s, pid %d; want running, %d", want, s, p, pid)
		}
	}
	b.refused(1, "--parent-path must be relative", "checkpoint", "--image-path", images, "--parent-path", "/x", "c")
	b.refused(1, "invalid --parent-path", "checkpoint", "--image-path", images, "--parent-path", "../none", "c")
	if _, err := exec.LookPath("criu"); err != nil {
		return
	}
	if exec.Command("criu", "check").Run() == nil {
		return
	}
	// A criu that does not work on this kernel at all.
	b.refused(1, "criu failed: type DUMP errno 0: (criu/", "checkpoint", "--image-path", images, "c")
	b.refused(1, "CRIU feature check failed: criu failed: type FEATURE_CHECK", "checkpoint", "--image-path", images, "--pre-dump", "c")
	if s, p := b.status("c"); s != "running" || p != pid {
		t.Errorf("after a failed checkpoint: %s, pid %d; want running, %d", s, p, pid)
	}
}

// TestRootRestoreFailureLeavesNothing: at every step.
func TestRootRestoreFailureLeavesNothing(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	b.start("c")
	b.counts(1)
	b.checkpoint("c")
	stopped := b.count()
	fails := func(want string, options ...string) {
		t.Helper()
		log, err := b.tryRestore("c", options...)
		if err == nil || !strings.Contains(log, want) {
			t.Errorf("restore: %v, %q; want a failure with %q", err, log, want)
		}
		b.gone("c", 0)
	}
	fails("no such file", "--image-path", filepath.Join(t.TempDir(), "none", "descriptors"))
	fails("no such file", "--pid-file", filepath.Join(t.TempDir(), "none", "pid")) // init is there by then
	criu := b.criu
	b.criu = script(t, "exit 3")
	fails("criu ended with status 3 and gave no answer; log file: " + b.images + "/restore.log")
	b.criu = filepath.Join(t.TempDir(), "none")
	fails("no such file or directory")
	b.criu = criu

	hooks := func(h *specs.Hooks) { b.config(func(s *specs.Spec) { s.Hooks = h }) }
	hooks(&specs.Hooks{CreateRuntime: []specs.Hook{b.hook("failing", 3)}})
	fails("run hooks.createRuntime[0] /bin/sh: exit status 3")
	hooks(nil)
	b.config(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: "/nothing/here", Destination: "/x", Options: []string{"bind"}})
	})
	fails("mounts[7].source")
	b.config(func(s *specs.Spec) { s.Mounts = s.Mounts[:7] })

	// An image that is damaged.
	image := filepath.Join(b.images, "pstree.img")
	text, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, text[:len(text)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	fails("criu failed: type RESTORE errno")
	if err := os.WriteFile(image, text, 0o600); err != nil {
		t.Fatal(err)
	}
	descriptors := filepath.Join(b.images, "descriptors.json")
	if err := os.WriteFile(descriptors, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("read descriptors.json beside the images")
	if err := os.WriteFile(descriptors, []byte(`["/dev/null"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := b.count(); n != stopped {
		t.Errorf("a restore that failed counts from %d to %d", stopped, n)
	}
	b.restore("c")
	b.counts(stopped)
	if log, err := b.tryRestore("c"); err == nil || !strings.Contains(log, "container with given ID already exists: c") {
		t.Errorf("a second restore: %v, %q", err, log)
	}
	if s, _ := b.status("c"); s != "running" {
		t.Errorf("after a second restore of the name: %s", s)
	}
}

// TestRootRestoreHostileRoot: a root that was changed between checkpoint and restore leads nothing
// out of it. criu itself mounts by path, so that the mount points are looked at before.
func TestRootRestoreHostileRoot(t *testing.T) {
	canary := t.TempDir()
	if err := os.WriteFile(filepath.Join(canary, "token"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := t.TempDir()
	b := newCriuBox(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: source, Destination: "/data", Options: []string{"bind"}},
			specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/scratch"})
	}, "sh", "-c", count)
	b.start("c")
	b.counts(1)
	b.inside("c", "sh", "-c", "echo out > /scratch/token; echo out > /data/token")
	b.checkpoint("c")
	for _, name := range []string{"proc", "sys", "data", "scratch", "dev"} {
		at := filepath.Join(b.bundle, "rootfs", name)
		if err := errors.Join(os.Remove(at), os.Symlink(canary, at)); err != nil {
			t.Fatal(err)
		}
		if log, err := b.tryRestore("c"); err == nil || !strings.Contains(log, "make the mount point /"+name) {
			t.Errorf("restore with /%s a link out of the root: %v, %q", name, err, log)
		}
		b.gone("c", 0)
		text, err := os.ReadFile(filepath.Join(canary, "token"))
		if left, _ := os.ReadDir(canary); len(left) != 1 || string(text) != "canary" || err != nil {
			t.Fatalf("with /%s a link, the canary has %v, %q, %v", name, left, text, err)
		}
		if name == "proc" || name == "sys" { // a link inside the root is one too many for these
			if err := errors.Join(os.Remove(at), os.Symlink("tmp", at)); err != nil {
				t.Fatal(err)
			}
			if log, err := b.tryRestore("c"); err == nil || !strings.Contains(log, "make the mount point /"+name) {
				t.Errorf("restore with /%s a link to /tmp: %v, %q", name, err, log)
			}
		}
		if err := errors.Join(os.Remove(at), os.Mkdir(at, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	b.restore("c")
	b.counts(b.count())
}

// TestRootRestoreHooks: prestart and createRuntime hooks run while the namespaces are there and the
// processes are not, as in runc; they are what connects a container to a network.
func TestRootRestoreHooks(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	b.start("c")
	b.counts(1)
	b.checkpoint("c")
	b.config(func(s *specs.Spec) {
		net := b.hook("net", 0)
		net.Args[2] = fmt.Sprintf(`pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/'); readlink /proc/$pid/ns/net >> %s/hooks`, b.bundle)
		s.Hooks = &specs.Hooks{Prestart: []specs.Hook{b.hook("prestart", 0)}, CreateRuntime: []specs.Hook{b.hook("createRuntime", 0), net}, Poststop: []specs.Hook{b.hook("poststop", 0)}}
	})
	b.restore("c")
	_, pid := b.status("c")
	own, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	got := b.hooks()
	if err != nil || !strings.HasPrefix(got, "prestart {") || !strings.Contains(got, "\ncreateRuntime {") || !strings.Contains(got, own) || strings.Contains(got, "poststop") {
		t.Errorf("hooks of restore: %q; want prestart, createRuntime, and the network namespace %s, %v", got, own, err)
	}
	b.checkpoint("c")
	if got := b.hooks(); !strings.Contains(got, "\npoststop {") {
		t.Errorf("after a checkpoint: %q; want the poststop hook: the container is deleted", got)
	}
}

// TestRootRestoreKilled: when keel is killed during a restore, criu goes with it, and delete cleans up.
func TestRootRestoreKilled(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	b.start("c")
	b.counts(1)
	b.checkpoint("c")
	stopped := b.count()
	b.waitingHook("0.5")
	cmd := exec.Command(b.keel, "--root", b.state, "--criu", b.criu, "restore", "-d", "--image-path", b.images, "-b", b.bundle, "c")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.hookRuns()
	_, pid := b.status("c")
	criu, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
	if err != nil || pid == 0 {
		t.Fatalf("during a restore: init %d, %v", pid, err)
	}
	for p := range strings.FieldsSeq(string(criu)) { // one that does not notice by itself that keel is gone
		if n, _ := strconv.Atoi(p); n > 0 && n != pid {
			unix.Kill(n, unix.SIGSTOP)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	b.ok("delete", "--force", "c")
	b.gone("c", pid)
	for p := range strings.FieldsSeq(string(criu)) {
		if stat, err := os.ReadFile("/proc/" + p + "/stat"); err == nil && strings.Contains(string(stat), " (criu) ") && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("criu is left: %s", stat)
		}
	}
	if n := b.count(); n != stopped {
		t.Errorf("the count goes on: %d, then %d", stopped, n)
	}
}

// TestRootCheckpointExternalNetwork: a network namespace that was joined by path is not dumped; the
// restored container is in it again.
func TestRootCheckpointExternalNetwork(t *testing.T) {
	holder := exec.Command("unshare", "--net", "sleep", "600")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { holder.Process.Kill(); holder.Wait() }()
	path := "/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/net"
	b := newCriuBox(t, func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
				s.Linux.Namespaces[i].Path = path
			}
		}
	}, "sh", "-c", count)
	for { // until unshare has made it
		own, _ := os.Readlink("/proc/self/ns/net")
		if ns, err := os.Readlink(path); err != nil || ns != own {
			break
		}
	}
	b.start("c")
	b.counts(1)
	b.checkpoint("c")
	stopped := b.count()
	b.restore("c")
	b.counts(stopped)
	_, pid := b.status("c")
	want, _ := os.Readlink(path)
	if got, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net"); got != want {
		t.Errorf("network namespace %s, want %s, %v", got, want, err)
	}
}
