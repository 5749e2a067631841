package engines

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a client command on a pseudo terminal, as a person at a keyboard runs it.
type terminal struct {
	p      *probe
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	seen   bytes.Buffer // what the screen got and expect has not consumed
	done   chan error
}

// openTerminal starts a client command on a new pseudo terminal of the given size.
func openTerminal(p *probe, columns, rows int, args ...string) *terminal {
	p.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		p.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		p.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		p.Fatal(err)
	}
	defer slave.Close()
	s := &terminal{p: p, master: master, done: make(chan error, 1)}
	s.setSize(columns, rows)
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	s.cmd = p.e.command(ctx, args...)
	s.cmd.Env = append(s.cmd.Env, "TERM=xterm")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		cancel()
		master.Close()
	})
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.seen.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { s.done <- s.cmd.Wait() }()
	return s
}

func (s *terminal) setSize(columns, rows int) {
	s.p.Helper()
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)}); err != nil {
		s.p.Fatal(err)
	}
}

// resize changes the size; the kernel signals the client, as a window manager would.
func (s *terminal) resize(columns, rows int) { s.setSize(columns, rows) }

func (s *terminal) send(keys string) {
	s.p.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.p.Fatal(err)
	}
}

// expect waits for text on the screen and consumes the screen up to its end.
func (s *terminal) expect(text string) {
	s.p.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		screen := s.seen.String()
		if i := strings.Index(screen, text); i >= 0 {
			s.seen.Next(i + len(text))
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p.Fatalf("the terminal does not show %q; it shows %q", text, s.seen.String())
}

// wait waits for the command's end and returns its exit code.
func (s *terminal) wait(limit time.Duration) int {
	s.p.Helper()
	select {
	case err := <-s.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			s.p.Fatal(err)
		}
		return 0
	case <-time.After(limit):
		_ = s.cmd.Process.Kill()
		s.p.Fatalf("the command does not end within %v", limit)
		return -1
	}
}

// countProcesses counts the host's processes whose command line contains text (arguments are
// separated by NUL).
func countProcesses(text string) int {
	n := 0
	entries, _ := os.ReadDir("/proc")
	for _, d := range entries {
		if cmdline, err := os.ReadFile("/proc/" + d.Name() + "/cmdline"); err == nil && bytes.Contains(cmdline, []byte(text)) {
			n++
		}
	}
	return n
}
