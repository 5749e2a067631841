package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The kernel drops a signal to the init of a pid namespace that has no handler for it, whoever sends
// it but for SIGKILL and SIGSTOP: `docker stop` of `sleep` as PID 1 takes ten seconds for nothing
// (moby#27187). So before a stop waits, it looks (/proc/PID/status, which the kernel writes):
//
//   - init handles the signal, or blocks it (it may wait for it, sigwait(3)): it is sent, as Docker does;
//   - it does not, but children of it do (a shell that started a server): they get the signal and the
//     time. Docker's wait would end in SIGKILL for them;
//   - else nobody in the container could ever know, and it is killed at once.
//
// Not the init of a pid namespace (--pid=host): the signal does what it does to everybody.

// signals are the signal masks of /proc/PID/status and what else is wanted from there.
type signals struct {
	caught, blocked, ignored uint64
	inner                    int // pid in the innermost namespace
	parent                   int
}

func readSignals(pid int) (s signals, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return s, err
	}
	return parseSignals(string(data))
}

func parseSignals(text string) (s signals, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimSpace(value)
		mask := map[string]*uint64{"SigCgt": &s.caught, "SigBlk": &s.blocked, "SigIgn": &s.ignored}[key]
		switch {
		case mask != nil:
			*mask, err = strconv.ParseUint(value, 16, 64)
		case key == "NSpid":
			fields := strings.Fields(value)
			if len(fields) > 0 {
				s.inner, err = strconv.Atoi(fields[len(fields)-1])
			}
		case key == "PPid":
			s.parent, err = strconv.Atoi(value)
		}
		if err != nil {
			return s, fmt.Errorf("reading a process's status: %s: %w", key, err)
		}
	}
	return s, nil
}

func (s signals) hears(sig unix.Signal) bool {
	bit := uint64(1) << (sig - 1)
	return (s.caught|s.blocked)&bit != 0
}

// deaf says whether a signal cannot reach a process because it is an init without a handler for it.
func deaf(pid int, sig unix.Signal) bool {
	if sig == unix.SIGKILL || sig == unix.SIGSTOP {
		return false
	}
	s, err := readSignals(pid)
	return err == nil && s.inner == 1 && !s.hears(sig)
}

// tellChildren sends a signal to those children of a deaf init that hear it, through descriptors: a
// pid may be another process's by now.
func (c *Container) tellChildren(ctx context.Context, sig unix.Signal) (told bool, err error) {
	if c.shim == nil {
		return false, nil
	}
	pids, err := c.shim.Processes(ctx)
	if err != nil {
		return false, nil // it is killed, then
	}
	init := c.view.Load().State.Pid
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// Read after the descriptor was opened: it is of this process or of none.
		if s, err := readSignals(pid); err == nil && s.parent == init && s.caught&(1<<(sig-1)) != 0 {
			told = unix.PidfdSendSignal(fd, sig, nil, 0) == nil || told
		}
		unix.Close(fd)
	}
	return told, nil
}

// hangs says what a process that does not end is doing.
func hangs(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/wchan")
	if err != nil || len(data) == 0 || string(data) == "0" {
		return "it may be in a system call that cannot be interrupted"
	}
	return "it waits in the kernel, in " + string(data)
}
