package keel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// box is a busybox bundle and a state directory of a test's own.
type box struct {
	t      *testing.T
	keel   string
	bundle string
	state  string
}

// newBox makes a bundle whose program is a busybox command line. Containers that the test
// leaves are deleted.
func newBox(t *testing.T, change func(*specs.Spec), args ...string) *box {
	t.Helper()
	b := &box{t: t, keel: os.Getenv("HULL_KEEL"), bundle: t.TempDir()}
	if b.keel == "" {
		t.Fatal("HULL_KEEL is not set; run `make test-root`")
	}
	b.state = filepath.Join(t.TempDir(), "state")
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.bundle, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.bundle, "rootfs/bin/busybox"), busybox, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.ok("spec", "-b", b.bundle)
	cgroup := "/hull-test/" + filepath.Base(filepath.Dir(b.state)) + strconv.Itoa(os.Getpid())
	b.config(func(s *specs.Spec) {
		s.Process.Terminal = false
		s.Process.Args = append([]string{"/bin/busybox"}, args...)
		s.Linux.CgroupsPath = cgroup
		if change != nil {
			change(s)
		}
	})
	t.Cleanup(func() {
		for id := range strings.FieldsSeq(b.ok("list", "-q")) {
			b.ok("delete", "--force", id)
		}
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup + "*")
		if len(dirs) > 0 {
			t.Errorf("cgroups are left: %v", dirs)
		}
		parents, _ := filepath.Glob("/sys/fs/cgroup/*/hull-test")
		for _, p := range parents {
			os.Remove(p) // fails while another test uses it
		}
	})
	return b
}

// config changes the bundle's config.json.
func (b *box) config(change func(*specs.Spec)) {
	b.t.Helper()
	name := filepath.Join(b.bundle, "config.json")
	text, err := os.ReadFile(name)
	s := new(specs.Spec)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	change(s)
	if text, err = json.Marshal(s); err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// run calls keel; it returns what it printed and its exit status.
func (b *box) run(args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(b.keel, append([]string{"--root", b.state}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second // a container left behind may hold the pipes
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		b.t.Fatalf("keel %q: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ok calls keel and fails the test when that fails.
func (b *box) ok(args ...string) string {
	b.t.Helper()
	out, errs, code := b.run(args...)
	if code != 0 {
		b.t.Fatalf("keel %q: status %d: %s", args, code, errs)
	}
	return out
}

// refused calls keel and wants a failure with a status and one line that contains text.
func (b *box) refused(code int, text string, args ...string) {
	b.t.Helper()
	_, errs, got := b.run(args...)
	if got != code || !strings.Contains(errs, text) || !strings.HasPrefix(errs, "keel: ") || strings.Count(errs, "\n") != 1 {
		b.t.Errorf("keel %q: status %d, %q; want %d and one line with %q", args, got, errs, code, text)
	}
}

// create makes a container whose output goes nowhere.
func (b *box) create(id string) {
	b.t.Helper()
	cmd := exec.Command(b.keel, "--root", b.state, "create", "-b", b.bundle, id)
	errs, err := os.CreateTemp(b.t.TempDir(), "err")
	if err != nil {
		b.t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stderr = errs // a file: the container keeps it open
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(errs.Name())
		b.t.Fatalf("keel create: %v: %s", err, text)
	}
}

func (b *box) status(id string) (status string, pid int) {
	b.t.Helper()
	var s struct {
		Status string
		Pid    int
	}
	if err := json.Unmarshal([]byte(b.ok("state", id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Status, s.Pid
}

// becomes waits for a status.
func (b *box) becomes(id, want string) {
	b.t.Helper()
	got := ""
	for range 200 {
		if got, _ = b.status(id); got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("container %s is %s, want %s", id, got, want)
}

// hook is one that appends a word to a file of the test, and its state, and exits with a code.
func (b *box) hook(word string, code int) specs.Hook {
	log := filepath.Join(b.bundle, "hooks")
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf(`echo %s $(cat) >> %s; exit %d`, word, log, code)}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func (b *box) hooks() string {
	text, _ := os.ReadFile(filepath.Join(b.bundle, "hooks"))
	return string(text)
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for range 200 {
		if ready() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("waited for two seconds in vain")
}

func ownerOf(st os.FileInfo) uint32 { return st.Sys().(*syscall.Stat_t).Uid }
