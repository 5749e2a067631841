package ociruntime

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func descriptorCount(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestRunHook: what hooks do with their pipes, and how they end.
func TestRunHook(t *testing.T) {
	dir := t.TempDir()
	big := []byte(strings.Repeat("x", 1<<20))
	second := 1
	for _, tc := range []struct {
		name    string
		script  string
		state   []byte
		timeout *int
		want    string // in the error; "" for none
	}{
		{"reads its input to the end", "test \"$(cat)\" = state", []byte("state"), nil, ""},
		{"does not read a large input", "exit 0", big, nil, ""},
		{"reads a large input late", "sleep 0.1; test $(wc -c) = 1048576", big, nil, ""},
		{"closes its pipes and goes on", "exec <&- >&- 2>&-; sleep 0.1", big, nil, ""},
		{"fails with a message", "echo what happened; echo why >&2; exit 3", nil, nil, "exit status 3: what happened\nwhy"},
		{"is killed", "kill -9 $$", nil, nil, "killed by signal 9"},
		{"takes too long", "echo busy; exec sleep 60", nil, &second, "killed after its timeout of 1 s: busy"},
		{"says too much", "head -c 1000000 /dev/zero | tr '\\0' a; exit 1", nil, nil, "exit status 1: aaa"},
		{"leaves a process with its pipes", "sleep 5 & echo $! > " + dir + "/pid; exit 0", nil, nil, ""},
		{"has no descriptor but its own", "ls /proc/self/fd | tr '\\n' ' '; exit 1", nil, nil, "exit status 1: 0 1 2 3"}, // 3: ls reads the directory
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, start := descriptorCount(t), time.Now()
			// Not close-on-exec, as an engine may leave them to us.
			fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			c := &Container{State: State{ID: "c"}, r: &Runtime{}}
			err = c.runHook("createRuntime", specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", tc.script}, Env: []string{"PATH=/bin:/usr/bin"}, Timeout: tc.timeout}, tc.state)
			unix.Close(fd)
			if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("%.100v, want %q", err, tc.want)
			}
			if err != nil && len(err.Error()) > maxOutput+100 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if tc.name == "has no descriptor but its own" && err != nil && err.Error() != tc.want {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if after := descriptorCount(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
		if p, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			unix.Kill(p, unix.SIGKILL)
		}
	}
}

// TestRunHookThatIsNotThere: a hook that cannot be started is an error and costs nothing.
func TestRunHookThatIsNotThere(t *testing.T) {
	before := descriptorCount(t)
	c := &Container{State: State{ID: "c", InitPid: 1 << 30}, r: &Runtime{}}
	if err := c.runHook("createRuntime", specs.Hook{Path: "/nonexistent"}, []byte("state")); err == nil || !strings.Contains(err.Error(), "/nonexistent: no such file") {
		t.Errorf("a path of nothing: %v", err)
	}
	if err := c.runHook("createContainer", specs.Hook{Path: "/bin/true"}, nil); err == nil || !strings.Contains(err.Error(), "open the container process") {
		t.Errorf("a container that has ended: %v", err)
	}
	if after := descriptorCount(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
