package keel

import (
	"os"
	"strings"
	"testing"
)

// The entry gives the runtime's own threads a great timer slack. A container has the caller's,
// and falls back to it (PR_SET_TIMERSLACK with 0), in run and exec.
func TestRootTimerSlack(t *testing.T) {
	own, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, nil, "cat", "/proc/self/timerslack_ns")
	if out := b.ok("run", "-b", b.bundle, "c"); out != string(own) {
		t.Errorf("run: the program's timer slack is %s, the caller's %s", strings.TrimSpace(out), own)
	}
	b = newBox(t, nil, "sleep", "600")
	b.create("d")
	b.ok("start", "d")
	if out := b.ok("exec", "d", "/bin/busybox", "cat", "/proc/self/timerslack_ns"); out != string(own) {
		t.Errorf("exec: the program's timer slack is %s, the caller's %s", strings.TrimSpace(out), own)
	}
	b.ok("delete", "-f", "d")
}
