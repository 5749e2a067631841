package ociruntime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdtBundle is a bundle whose program sleeps, with linux.intelRdt.
func rdtBundle(t *testing.T, rdt string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"rootfs/bin", "rootfs/proc", "rootfs/dev"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rootfs/bin/busybox"), b, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/bin/busybox","sleep","1000"],"cwd":"/"},
			"linux":{"cgroupsPath":"/hull-test/rdt`+filepath.Base(filepath.Dir(dir))+`","namespaces":[{"type":"mount"},{"type":"pid"}],"intelRdt":`+rdt+`}}`), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRootIntelRdt: init and exec processes join the class and the monitoring group, by writing to
// the files of a directory that stands for resctrl, and delete removes what create has made.
func TestRootIntelRdt(t *testing.T) {
	fake := t.TempDir()
	class := filepath.Join(fake, "gold")
	monitor := filepath.Join(class, "mon_groups/c")
	joined := []string{filepath.Join(class, "tasks"), filepath.Join(monitor, "tasks")}
	if err := os.MkdirAll(monitor, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range joined {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(who string) {
		t.Helper()
		for _, f := range joined {
			if got, _ := os.ReadFile(f); string(got) != "0" {
				t.Errorf("%s: %s has %q, want 0, the writer", who, f, got)
			}
			os.WriteFile(f, nil, 0o644)
		}
	}
	r := &Runtime{Root: filepath.Join(t.TempDir(), "state"), Resctrl: fake}
	p, err := r.Create("c", CreateOptions{Bundle: rdtBundle(t, `{"closID":"gold","enableMonitoring":true}`), Run: true, Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.child.Kill()
	check("init")
	c, err := r.Load("c")
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Exec(ExecOptions{Process: &specs.Process{Args: []string{"/bin/busybox", "true"}, Cwd: "/"}})
	if err == nil {
		_, err = e.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	check("exec")
	os.Remove(joined[1]) // the kernel's files go with their directory
	if err := c.Delete(true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(monitor); err == nil {
		t.Error("the monitoring group is left")
	}
	if _, err := os.Stat(joined[0]); err != nil {
		t.Error("the class, which was there before, is gone")
	}
}

// TestRootIntelRdtFails: no resctrl is an error, and a container that cannot join leaves no class.
func TestRootIntelRdtFails(t *testing.T) {
	r := &Runtime{Root: filepath.Join(t.TempDir(), "state"), Resctrl: t.TempDir()}
	b := rdtBundle(t, `{}`)
	p, err := r.Create("c", CreateOptions{Bundle: b, Run: true})
	if err == nil {
		p.c.Delete(true)
	}
	if err == nil || !strings.Contains(err.Error(), "/c/tasks: no such file") {
		t.Errorf("no tasks: %v", err)
	}
	if left, _ := os.ReadDir(r.Resctrl); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat("/sys/fs/resctrl/tasks"); err == nil {
		t.Skip("this host has resctrl")
	}
	r.Resctrl = ""
	if _, err := r.Create("c", CreateOptions{Bundle: b, Run: true}); err == nil || err.Error() != "linux.intelRdt: no resctrl file system is mounted" {
		t.Errorf("without resctrl: %v", err)
	}
	if _, err := r.Load("c"); err == nil {
		t.Error("a container is left")
	}
}
