package keel

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootCgroupOwner runs keel where cgroup v2 is all there is: the group belongs to the
// container's user, who can make groups of his own in it.
func TestRootCgroupOwner(t *testing.T) {
	for _, c := range []struct{ mount, want string }{{"rw", "1234 made\n"}, {"ro", "0 refused\n"}} {
		b := newBox(t, func(s *specs.Spec) {
			s.Process.User.UID = 1234
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
			for i, m := range s.Mounts {
				if m.Destination == "/sys/fs/cgroup" {
					s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", c.mount}
				}
			}
		}, "sh", "-c", "/bin/busybox stat -c '%u ' /sys/fs/cgroup | /bin/busybox tr -d '\n'; /bin/busybox mkdir /sys/fs/cgroup/x 2>/dev/null && /bin/busybox rmdir /sys/fs/cgroup/x && echo made || echo refused")
		out, err := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`, "sh",
			b.keel, "--root", b.state, "run", "-b", b.bundle, "c").CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("with a cgroup mount %s: %q, %v; want %q", c.mount, out, err, strings.TrimSpace(c.want))
		}
	}
}

// TestRootExecIgnorePaused: the process joins the others, frozen, and goes on with them.
func TestRootExecIgnorePaused(t *testing.T) {
	b := newBox(t, nil, "sleep", "600")
	b.create("c")
	b.ok("start", "c")
	b.ok("pause", "c")
	b.refused(255, "use --ignore-paused", "exec", "c", "/bin/busybox", "true")
	cmd, end := b.background("exec", "--ignore-paused", "c", "/bin/busybox", "sh", "-c", "exit 5")
	b.paused(cmd)
	b.ok("resume", "c")
	if code := end(); code != 5 {
		t.Errorf("exec --ignore-paused: status %d", code)
	}
}

// paused wants a call of keel not to end while the container is paused.
func (b *box) paused(cmd *exec.Cmd) {
	b.t.Helper()
	time.Sleep(200 * time.Millisecond)
	if gone(cmd.Process.Pid) {
		b.t.Error("keel has ended while the container is paused")
	}
	if s, _ := b.status("c"); s != "paused" {
		b.t.Errorf("exec leaves the container %s", s)
	}
}
