package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary play other parts when it is started by a test.
func TestMain(m *testing.M) {
	switch os.Getenv("HULL_CGROUP_PART") {
	case "alloc": // touch memory until killed
		var keep [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			keep = append(keep, b)
			time.Sleep(time.Millisecond)
			_ = keep
		}
	case "rootless":
		os.Exit(rootlessPart())
	}
	os.Exit(m.Run())
}

var groupNumber atomic.Int32

// newGroup creates a group for one test, under an absolute path of its own, and removes it
// with everything in it at the end.
func newGroup(t *testing.T, r *specs.LinuxResources) *Group {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	if h.Mode() == None {
		t.Skip("no cgroup file system is mounted")
	}
	g, err := New(h, Config{Path: fmt.Sprintf("/hulltest-%d-%d", os.Getpid(), groupNumber.Add(1)), Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Kill(unix.SIGKILL); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if err := g.Delete(); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(r); err != nil {
		t.Fatal(err)
	}
	return g
}

// needV1 skips a test of one v1 controller where that is not on v1.
func needV1(t *testing.T, g *Group, controller string) string {
	t.Helper()
	d := g.one(controller)
	if d == nil {
		t.Skipf("this host has no v1 %s controller", controller)
	}
	return d.path
}

// child is a process that joined a group as a container's init does: by itself, with one
// thread, through the files of JoinFiles.
type child struct {
	*exec.Cmd
	out *bufio.Reader
}

func start(t *testing.T, g *Group, env []string, argv ...string) *child {
	t.Helper()
	return startIn(t, g.JoinFiles(), env, argv...)
}

func startIn(t *testing.T, files, env []string, argv ...string) *child {
	t.Helper()
	script := `while [ "$1" != -- ]; do echo 0 >"$1" || exit 99; shift; done; shift; echo joined; exec "$@"`
	args := append([]string{"-c", script, "sh"}, files...)
	cmd := exec.Command("/bin/sh", append(append(args, "--"), argv...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, bufio.NewReader(r)}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	if line := c.line(t); line != "joined" {
		t.Fatalf("the child did not join: %q", line)
	}
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return strings.TrimSuffix(s, "\n")
}

// exit waits for the end and returns the exit status, or minus the signal.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	c.Wait()
	ws := c.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return -int(ws.Signal())
	}
	return ws.ExitStatus()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
