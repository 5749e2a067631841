package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	t      *testing.T
	own    *os.File // the end that a person sits at
	theirs *os.File
	cmd    *exec.Cmd

	mu   sync.Mutex
	seen strings.Builder
}

func newTerminal(t *testing.T, c *client, args ...string) *terminal {
	t.Helper()
	own, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(own.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(own.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, own: own, theirs: theirs}
	x.resize(30, 100)
	x.cmd = exec.Command(c.program, args...)
	x.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.config, "DOCKER_HOST=" + c.host, "DOCKER_CONFIG=" + c.config}
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = theirs, theirs, theirs
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := own.Read(buf)
			x.mu.Lock()
			x.seen.Write(buf[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		theirs.Close()
		own.Close()
	})
	return x
}

func (x *terminal) resize(rows, cols uint16) {
	x.t.Helper()
	if err := unix.IoctlSetWinsize(int(x.own.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		x.t.Fatal(err)
	}
}

// await waits until the program has written a text, and forgets what was up to it.
func (x *terminal) await(text string) {
	x.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		x.mu.Lock()
		seen := x.seen.String()
		if _, rest, ok := strings.Cut(seen, text); ok {
			x.seen.Reset()
			x.seen.WriteString(rest)
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		if time.Now().After(deadline) {
			x.t.Fatalf("no %q in %q", text, seen)
		}
	}
}

func (x *terminal) write(text string) {
	x.t.Helper()
	if _, err := x.own.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// end waits for the program's end, and checks that the terminal is as it was.
func (x *terminal) end(code int) {
	x.t.Helper()
	done := make(chan error, 1)
	go func() { done <- x.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		x.t.Fatalf("%v does not end", x.cmd.Args)
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Errorf("%v: exit %d, want %d; %q", x.cmd.Args, got, code, x.seen.String())
	}
	termios, err := unix.IoctlGetTermios(int(x.theirs.Fd()), unix.TCGETS)
	if err != nil || termios.Lflag&unix.ECHO == 0 || termios.Lflag&unix.ICANON == 0 || termios.Oflag&unix.OPOST == 0 {
		x.t.Errorf("%v: the terminal stays raw: %+v %v", x.cmd.Args, termios, err)
	}
}

// TestRootTerminal: size and its changes, keys, detaching and coming back, statuses.
func TestRootTerminal(t *testing.T) {
	requires(t)
	c := &client{program: hull(t), host: startDocker(t), dir: t.TempDir(), config: t.TempDir()}

	x := newTerminal(t, c, "run", "-it", "--name", "tty", "--network", "none", "bb", "sh")
	x.await("# ")
	x.write("stty size\r")
	x.await("30 100")
	x.resize(40, 120)
	time.Sleep(300 * time.Millisecond)
	x.write("stty size\r")
	x.await("40 120")
	x.await("# ")
	x.write("cat\r")
	x.await("cat\r\n")
	time.Sleep(300 * time.Millisecond) // until cat is there
	x.write("\x03")                    // an interrupt is the container's
	x.await("^C")
	x.await("# ")
	x.write("\x10\x11") // ctrl-p ctrl-q
	x.end(0)
	if r := c.run(nil, "inspect", "-f", "{{.State.Running}}", "tty"); r.out != "true\n" {
		t.Errorf("after detaching: %+v", r)
	}

	x = newTerminal(t, c, "attach", "--detach-keys", "ctrl-x,x", "tty")
	x.await("# ") // the change of size makes the shell show it
	x.write("echo back\r")
	x.await("back\r\n")
	x.write("\x18x")
	x.await("read escape sequence")
	x.end(1)

	x = newTerminal(t, c, "exec", "-it", "tty", "sh", "-c", "sleep 0.5; stty size; read x; exit 5") // daemons before 1.42 get the size after the start
	x.await("30 100")
	x.write("\r")
	x.end(5)

	x = newTerminal(t, c, "attach", "tty")
	x.await("# ")
	x.write("exit 3\r")
	x.end(3)

	x = newTerminal(t, c, "start", "-ai", "tty")
	x.await("# ")
	x.write("exit 4\r")
	x.end(4)

	x = newTerminal(t, c, "run", "-it", "--rm", "--network", "none", "bb", "nosuch")
	x.await("executable file not found")
	x.end(127)

	x = newTerminal(t, c, "run", "--rm", "--name", "sig", "--network", "none", "bb", "sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done")
	x.await("ready")
	x.write("\x03") // hull gets SIGINT, and hands it on
	x.end(9)

	x = newTerminal(t, c, "stats")
	x.await("CONTAINER ID")
	x.write("\x03")
	x.end(130)
	c.run(nil, "rm", "-f", "tty")
}
