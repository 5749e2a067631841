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
	StatusCreating = "creating"
	StatusCreated  = "created"
	StatusRunning  = "running"
	StatusPaused   = "paused"
	StatusStopped  = "stopped"
)

// Status is creating, created, running, paused or stopped, as the kernel has it now.
func (c *Container) Status() string {
	if c.creating && (c.alive() || c.creatorLives()) {
		return StatusCreating
	}
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
// process that has got its number. One that is exiting does not live: init of a pid namespace
// can be at that for seconds, see [Container.waitDead].
func (c *Container) alive() bool {
	s, ok := c.initStat()
	return ok && !(s.flags&pfExiting != 0 && s.threads <= 1)
}

// initStat reads /proc/PID/stat of init; false when it has ended.
func (c *Container) initStat() (procStat, bool) {
	if c.InitPid <= 0 {
		return procStat{}, false
	}
	s, err := readStat(c.InitPid)
	return s, err == nil && s.start == c.InitStart && s.state != 'Z' && s.state != 'X'
}

// pfExiting is PF_EXITING of the kernel's include/linux/sched.h.
const pfExiting = 4

// procStat is what is read of /proc/PID/stat (proc_pid_stat(5)).
type procStat struct {
	state   byte   // field 3
	flags   uint64 // field 9
	threads int    // field 20
	start   uint64 // field 22, clock ticks since boot
}

func readStat(pid int) (procStat, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return procStat{}, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var b [1024]byte // 52 numbers and a name of at most 64 bytes
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return procStat{}, &os.PathError{Op: "read", Path: name, Err: err}
	}
	s, ok := parseStat(string(b[:n]))
	if !ok {
		return procStat{}, errors.New("the stat line is not as proc_pid_stat(5) has it")
	}
	return s, nil
}

// parseStat parses /proc/PID/stat. The name in field 2 is the process's own choice and may
// contain ") R 1".
func parseStat(stat string) (s procStat, ok bool) {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return s, false
	}
	var f [20]string
	n := 0
	for w := range strings.FieldsSeq(stat[i+1:]) {
		if n == len(f) {
			break
		}
		f[n] = w
		n++
	}
	if n < len(f) || len(f[0]) != 1 {
		return s, false
	}
	s.state = f[0][0]
	var err [3]error
	s.flags, err[0] = strconv.ParseUint(f[6], 10, 64)
	s.threads, err[1] = strconv.Atoi(f[17])
	s.start, err[2] = strconv.ParseUint(f[19], 10, 64)
	return s, err == [3]error{}
}

// waits tells whether init waits for start.
func (c *Container) waits() bool {
	// A `start` that was killed after it wrote leaves the name; init has closed the FIFO then.
	fd, err := unix.Open(filepath.Join(c.dir, startFifo), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // ENXIO: nobody reads it
	}
	unix.Close(fd)
	return true
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
	if _, ok := c.initStat(); !ok { // asked after the open: the descriptor is of the process that was looked at
		unix.Close(fd)
		return -1, ErrNotRunning
	}
	return fd, nil
}

// waitDead returns when no process of the container runs any more.
//
// The end of init says so, but init of a pid namespace ends only when all others in it have
// been reaped (pid_namespaces(7)), and what `exec --detach` has left is reaped by who adopted
// it: the host's init or a subreaper, when it likes. Such a zombie holds nothing; so a cgroup
// without processes, which zombies do not count as, is as good as an end.
func (c *Container) waitDead(pidfd int, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	g, err := c.cgroup()
	look := err == nil && len(c.Cgroups) > 0
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := time.Until(deadline)
		if !look {
			return waitEnd(pidfd, left)
		}
		if left <= 0 {
			return errRuns
		}
		if err := waitEnd(pidfd, min(left, pause)); err != errRuns {
			return err
		}
		if pids, err := g.Pids(); err == nil && len(pids) == 0 {
			return nil
		}
	}
}

var errRuns = errors.New("container init still running")

// waitEnd returns when the process behind a pidfd has ended.
func waitEnd(pidfd int, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return errRuns
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
