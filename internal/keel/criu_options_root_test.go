package keel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRootCheckpointTCP: connections need --tcp-established on both ways, and go on.
func TestRootCheckpointTCP(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", `/bin/busybox mkfifo /tmp/hold; /bin/busybox sleep 600 > /tmp/hold &
		/bin/busybox nc -l -p 81 < /tmp/hold | while read n; do echo $n > /tmp/next; /bin/busybox mv /tmp/next /tmp/count; done &
		/bin/busybox sleep 0.2
		i=0; while true; do i=$((i+1)); echo $i; /bin/busybox sleep 0.05; done | /bin/busybox nc 127.0.0.1 81`)
	b.start("c")
	b.counts(1)
	b.refused(1, "--tcp-established", "--criu", b.criu, "checkpoint", "--image-path", b.images, "c")
	b.counts(b.count())
	b.checkpoint("c", "--tcp-established")
	stopped := b.count()
	if log, err := b.tryRestore("c"); err == nil || !strings.Contains(log, "criu failed: type RESTORE") {
		t.Errorf("restore without --tcp-established: %v, %q", err, log)
	}
	b.gone("c", 0)
	b.restore("c", "--tcp-established")
	if n := b.counts(stopped); n > stopped+100 {
		t.Errorf("the count was %d and is %d", stopped, n)
	}
}

// TestRootCheckpointLocks: file locks need --file-locks, and are held again; threads go on.
func TestRootCheckpointLocks(t *testing.T) {
	b := newCriuBox(t, func(s *specs.Spec) { s.Process.Args = []string{"/bin/locker"} })
	if out, err := exec.Command("cp", os.Args[0], filepath.Join(b.bundle, "rootfs/bin/locker")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lock, err := os.Create(filepath.Join(b.bundle, "rootfs/tmp/lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	free := func() bool { return unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }
	b.start("c")
	b.counts(1)
	b.refused(1, "--file-locks", "--criu", b.criu, "checkpoint", "--image-path", b.images, "c")
	b.checkpoint("c", "--file-locks")
	if !free() {
		t.Error("the lock is held after the checkpoint")
	}
	unix.Flock(int(lock.Fd()), unix.LOCK_UN)
	b.restore("c", "--file-locks")
	b.counts(b.count())
	if free() {
		t.Error("the lock is not held after restore")
	}
}

// TestRootCheckpointLinkRemap: an open file whose name is gone, but that has another link, needs
// --link-remap.
func TestRootCheckpointLinkRemap(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", `echo open > /tmp/a; /bin/busybox ln /tmp/a /tmp/b; exec 3< /tmp/a; /bin/busybox rm /tmp/a; `+count)
	b.start("c")
	b.counts(1)
	b.refused(1, "criu failed: type DUMP", "--criu", b.criu, "checkpoint", "--image-path", b.images, "c")
	b.checkpoint("c", "--link-remap")
	b.restore("c")
	b.counts(b.count())
	if out := b.inside("c", "cat", "/proc/1/fd/3"); out != "open\n" {
		t.Errorf("the open file has %q", out)
	}
}

// TestRootCheckpointModes: what criu does with cgroups can be chosen.
func TestRootCheckpointModes(t *testing.T) {
	b := newCriuBox(t, nil, "sh", "-c", count)
	b.start("c")
	for _, mode := range []string{"ignore", "soft", "full"} {
		b.counts(b.count())
		b.checkpoint("c", "--manage-cgroups-mode", mode, "--auto-dedup", "--empty-ns", "network", "--ext-unix-sk", "--shell-job", "--tcp-skip-in-flight")
		stopped := b.count()
		b.restore("c", "--manage-cgroups-mode", mode, "--auto-dedup", "--empty-ns", "network", "--ext-unix-sk", "--shell-job")
		b.counts(stopped)
		_, pid := b.status("c")
		if text, err := os.ReadFile("/sys/fs/cgroup/pids" + b.cgroup() + "/cgroup.procs"); err != nil || len(strings.Fields(string(text))) == 0 {
			t.Errorf("mode %s: init %d is not in the container's cgroup: %q, %v", mode, pid, text, err)
		}
	}
	log, err := os.ReadFile(filepath.Join(b.images, "dump.log"))
	if err != nil || !strings.Contains(string(log), "Dumping finished successfully") {
		t.Errorf("dump.log: %v", err)
	}
}
