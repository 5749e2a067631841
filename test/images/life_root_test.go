package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRootSecondInstance: a data root has one hulld, a socket too.
func TestRootSecondInstance(t *testing.T) {
	requires(t)
	d := startHulld(t, workDir(t, "first"))
	run := func(args ...string) string {
		out, err := exec.Command(program(t, "hulld"), append(args, "--log-file", "-")...).CombinedOutput()
		if err == nil {
			t.Errorf("a second hulld started: %v", args)
		}
		return string(out)
	}
	other := workDir(t, "second")
	if out := run("--data-root", filepath.Join(d.dir, "data"), "--state-dir", filepath.Join(other, "run")); !strings.Contains(out, "another hulld uses the data directory") {
		t.Errorf("on the same data root: %s", out)
	}
	if out := run("--data-root", filepath.Join(other, "data"), "--state-dir", filepath.Join(d.dir, "run")); !strings.Contains(out, "somebody listens on "+d.socket+" already") {
		t.Errorf("on the same socket: %s", out)
	}
	d.ok(t, "images")
	for _, dir := range []string{filepath.Join(d.dir, "data"), filepath.Join(d.dir, "run")} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v, want mode 0700", dir, info.Mode(), err)
		}
	}
	if info, err := os.Stat(d.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v, want mode 0600", info.Mode(), err)
	}
}

// TestRootRestart: images are there after SIGTERM and after SIGKILL, also while a client waits
// for events; a dead socket is taken over.
func TestRootRestart(t *testing.T) {
	requires(t)
	work := workDir(t, "restart")
	fixture := filepath.Join(work, "fixtures.tar")
	if err := os.WriteFile(fixture, fixtures(t), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startHulld(t, work)
	d.ok(t, "load", "-i", fixture)
	want := d.ok(t, "images", "--digests", "--no-trunc")
	waits := exec.Command(d.client, "-H", "unix://"+d.socket, "events")
	if err := waits.Start(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	d.stop(t)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("SIGTERM took %v", took)
	}
	_ = waits.Wait()
	if _, err := os.Stat(d.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	for range 2 {
		d = startHulld(t, work)
		if got := d.ok(t, "images", "--digests", "--no-trunc"); got != want {
			t.Errorf("after a restart:\n%s--- want\n%s", got, want)
		}
		fsck(t, d)
		d.kill()
	}
}

// TestRootStarted: hull starts the hulld beside it when nobody answers, in a mount namespace
// whose /run and /var/lib are the test's own.
func TestRootStarted(t *testing.T) {
	requires(t)
	hull := program(t, "hull")
	script := `set -e
mount --make-rprivate /
mount -t tmpfs t /run
mount -t tmpfs t /var/lib
` + hull + ` images &
` + hull + ` images
wait
` + hull + ` version
pids=$(cat /proc/[0-9]*/stat | awk '$2 == "(hulld)" && $8 >= -1 {print $1}')
for p in $pids; do
  [ "$(readlink /proc/$p/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] || continue
  echo one
  kill $p
  while kill -0 $p 2>/dev/null; do sleep 0.05; done
done
mkdir -p /run/hull; touch /run/hull/hulld.log; rm -rf /var/lib/hull; touch /var/lib/hull
` + hull + ` images || echo refused $?
`
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err != nil || strings.Count(text, "REPOSITORY") != 2 || strings.Count(text, "one\n") != 1 || !strings.Contains(text, "refused 1") {
		t.Errorf("%v\n%s", err, text)
	}
	if !strings.Contains(text, "hulld did not start: hulld: making a directory: mkdir /var/lib/hull: not a directory (its log is /run/hull/hulld.log)") {
		t.Errorf("the error of a hulld that cannot start does not say why, or where its log is:\n%s", text)
	}
}
