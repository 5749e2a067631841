package keel

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRootLabelsNeedTheirModule: a container never runs without the confinement that was asked for.
func TestRootLabelsNeedTheirModule(t *testing.T) {
	b := started(t, nil)
	if _, err := os.Stat("/sys/module/apparmor"); err == nil {
		t.Skip("this host has AppArmor")
	}
	b.refused(255, `keel: exec failed: process.apparmorProfile: the profile "docker-default" cannot be applied: AppArmor is not enabled on this host`, "exec", "--apparmor", "docker-default", "c", "/bin/busybox")
	const selinux = "selinux label is specified in config, but selinux is disabled or not supported" // runc's words
	b.refused(255, selinux, "exec", "--process-label", "a:b:c:d", "c", "/bin/busybox")
	for want, change := range map[string]func(*specs.Spec){
		"process.apparmorProfile: ":        func(s *specs.Spec) { s.Process.ApparmorProfile = "docker-default" },
		"process.selinuxLabel: " + selinux: func(s *specs.Spec) { s.Process.ApparmorProfile, s.Process.SelinuxLabel = "", "a:b:c:d" },
		"linux.mountLabel: " + selinux:     func(s *specs.Spec) { s.Process.SelinuxLabel, s.Linux.MountLabel = "", "a:b:c:d" },
	} {
		b.config(func(s *specs.Spec) {
			s.Process.ApparmorProfile, s.Process.SelinuxLabel, s.Linux.MountLabel = "", "", ""
			s.Linux.CgroupsPath += "/d"
			change(s)
		})
		b.refused(1, want, "create", "-b", b.bundle, "d")
	}
	if got := b.ok("list", "-q"); strings.TrimSpace(got) != "c" {
		t.Errorf("left: %q", got)
	}
}

// TestRootKeyring: neither init nor an exec process possesses the keys of who called keel, unless
// the container was made with --no-new-keyring.
func TestRootKeyring(t *testing.T) {
	runtime.LockOSThread() // the session keyring is the thread's; the thread ends with the test
	if _, err := unix.KeyctlJoinSessionKeyring("hull-test"); err != nil {
		t.Skip("no keyrings: ", err)
	}
	key, err := unix.AddKey("user", "hull-secret", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
	if err == nil {
		err = unix.KeyctlSetperm(key, 0x3f000000) // all, for who possesses it
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command("cat", "/proc/keys").Output(); !strings.Contains(string(out), "hull-secret") {
		t.Fatalf("the key is not in /proc/keys: %s", out)
	}
	const look = "grep -c hull-secret /proc/keys"
	b := newBox(t, func(s *specs.Spec) { s.Linux.MaskedPaths = nil }, "sleep", "1000")
	for _, c := range []struct {
		flags []string
		want  string
	}{{nil, "0"}, {[]string{"--no-new-keyring"}, "1"}} {
		cmd := exec.Command(b.keel, append(append([]string{"--root", b.state, "run", "--detach", "-b", b.bundle}, c.flags...), "c")...)
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		out, _, _ := b.run("exec", "c", "/bin/busybox", "sh", "-c", look)
		if got := strings.TrimSpace(out); got != c.want {
			t.Errorf("exec, create %v: %s keys of the caller, want %s", c.flags, got, c.want)
		}
		b.ok("delete", "--force", "c")
	}
	b.config(func(s *specs.Spec) { s.Process.Args = []string{"/bin/busybox", "sh", "-c", look} })
	if out, _, _ := b.run("run", "-b", b.bundle, "c"); strings.TrimSpace(out) != "0" {
		t.Errorf("run: %s keys of the caller", out)
	}
}
