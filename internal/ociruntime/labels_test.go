package ociruntime

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// TestLabelsAreWritten executes the steps on a directory that stands for /proc: no host of ours
// has both modules.
func TestLabelsAreWritten(t *testing.T) {
	proc := t.TempDir()
	attr := filepath.Join(proc, "self-task")
	if err := os.MkdirAll(filepath.Join(attr, "attr/apparmor"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"attr/exec", "attr/keycreate", "attr/apparmor/exec"} {
		if err := os.WriteFile(filepath.Join(attr, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("self-task", filepath.Join(proc, "thread-self")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(proc, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	l := &labels{procfs: fd, apparmor: "docker-default", selinux: "u:r:t:s0", apparmorFile: "thread-self/attr/apparmor/exec"}
	p := newPlanner()
	p.openLabels(l)
	p.labelKeys(l, true)
	p.labelKeys(l, false)
	p.labelProgram(l)
	p.Exit(0)
	child, err := p.Start(launch.Clone{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.Next(); err != io.EOF {
		t.Errorf("the plan: %v", err)
	}
	child.Kill()
	for f, want := range map[string]string{"attr/exec": "u:r:t:s0", "attr/keycreate": "u:r:t:s0\n", "attr/apparmor/exec": "exec docker-default"} {
		if got, _ := os.ReadFile(filepath.Join(attr, f)); string(got) != want {
			t.Errorf("%s has %q, want %q", f, got, want)
		}
	}
	// The link of procfs must not lead out.
	os.Remove(filepath.Join(proc, "thread-self"))
	if err := os.Symlink(attr, filepath.Join(proc, "thread-self")); err != nil {
		t.Fatal(err)
	}
	p = newPlanner()
	p.openLabels(l)
	p.Exit(0)
	if child, err = p.Start(launch.Clone{}); err != nil {
		t.Fatal(err)
	}
	if _, err := child.Next(); err == io.EOF {
		t.Error("an absolute link was followed out of /proc")
	}
	child.Kill()
}

func TestMountLabel(t *testing.T) {
	p := newPlanner()
	p.mountLabel = "u:o:t:s0:c1,c2"
	for _, kind := range []string{"tmpfs", "devpts", "proc", "sysfs", "mqueue"} {
		p.newFS(kind, "", nil, 0)
	}
	text := string(p.AppendText(nil))
	if got := strings.Count(text, `"context", "u:o:t:s0:c1,c2"`); got != 2 {
		t.Errorf("%d labels, want one each for tmpfs and devpts:\n%s", got, text)
	}
}

func TestModulesEnabled(t *testing.T) {
	sys := t.TempDir()
	if appArmorEnabled(sys) {
		t.Error("AppArmor without the module")
	}
	f := filepath.Join(sys, "module/apparmor/parameters/enabled")
	if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"Y\n": true, "N\n": false} {
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := appArmorEnabled(sys); got != want {
			t.Errorf("parameter %q: %v", text, got)
		}
	}
	if seLinuxEnabled(sys) {
		t.Error("a directory was taken for selinuxfs")
	}
}
