package reaper

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes the test's own program the init.
func TestMain(m *testing.M) {
	if os.Getenv("HULL_TEST_REAPER") != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func initOf(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{"--"}, args...)...)
	cmd.Env = append(os.Environ(), "HULL_TEST_REAPER=1")
	return cmd
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"true"}, 0, ""}, {[]string{"sh", "-c", "exit 42"}, 42, ""}, {[]string{"sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"nosuchprogram"}, 127, "exec nosuchprogram failed"}, {[]string{"/etc/passwd"}, 126, "permission denied"}, {nil, 1, "no program"},
	} {
		cmd := initOf(t, c.args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%v: exit %d, want %d: %s", c.args, got, c.code, out)
		}
	}
}

// TestSignal: what init gets, the program gets.
func TestSignal(t *testing.T) {
	cmd := initOf(t, "sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the program did not get the signal")
	}
	if got := cmd.ProcessState.ExitCode(); got != 9 {
		t.Errorf("exit %d, want 9", got)
	}
}
