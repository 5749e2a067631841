package ociruntime

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"golang.org/x/sys/unix"
)

// Statuses of a container (runtime.md, State); paused is runc's extension.
const (
	StatusCreated = "created"
	StatusRunning = "running"
	StatusPaused  = "paused"
	StatusStopped = "stopped"
)

// Status is created, running, paused or stopped, as the kernel has it now.
func (c *Container) Status() string {
	if !c.alive() {
		return StatusStopped
	}
	if c.frozen() {
		return StatusPaused
	}
	if c.waits() {
		return StatusCreated
	}
	return StatusRunning
}

// Pid is init's process id on the host, 0 when the container has stopped.
func (c *Container) Pid() int {
	if !c.alive() {
		return 0
	}
	return c.InitPid
}

// alive tells whether init is the process that was started, and not a zombie or another
// process that has got its number.
func (c *Container) alive() bool {
	if c.InitPid <= 0 {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(c.InitPid) + "/stat")
	if err != nil {
		return false
	}
	state, start, ok := parseStat(string(b))
	return ok && start == c.InitStart && state != 'Z' && state != 'X'
}

// parseStat takes the state (field 3) and the start time (field 22) out of /proc/PID/stat.
// The name in field 2 is the process's own choice and may contain ") R 1".
func parseStat(stat string) (state byte, start uint64, ok bool) {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, 0, false
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return 0, 0, false
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return f[0][0], start, err == nil
}

// waits tells whether init waits for start.
func (c *Container) waits() bool {
	_, err := os.Lstat(filepath.Join(c.dir, startFifo))
	return err == nil
}

func (c *Container) frozen() bool {
	g, err := c.cgroup()
	if err != nil {
		return false
	}
	s, err := g.State()
	return err == nil && s == cgroup.Frozen
}

// initFD returns a pidfd of init, which cannot become another process's, or [ErrNotRunning].
func (c *Container) initFD() (int, error) {
	if c.InitPid <= 0 {
		return -1, ErrNotRunning
	}
	fd, err := unix.PidfdOpen(c.InitPid, 0)
	if err == unix.ESRCH || err == unix.EINVAL { // EINVAL: now the number of a thread
		return -1, ErrNotRunning
	}
	if err != nil {
		return -1, os.NewSyscallError("pidfd_open", err)
	}
	if !c.alive() { // asked after the open: the descriptor is of the process that was looked at
		unix.Close(fd)
		return -1, ErrNotRunning
	}
	return fd, nil
}

// waitEnd returns when the process behind a pidfd has ended; for init of a pid namespace
// that is when all others in it are gone too (pid_namespaces(7)).
func waitEnd(pidfd int, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return errors.New("container init still running")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n > 0:
			return nil
		}
	}
}
