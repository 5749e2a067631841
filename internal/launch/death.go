package launch

import (
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DeathError says that the child was killed before it executed the container's program: by a
// person, by the kernel for want of memory, by the seccomp filter for the very execve (SIGSYS).
type DeathError struct {
	Signal syscall.Signal
}

func (e *DeathError) Error() string {
	return "the container process was killed by signal " + strconv.Itoa(int(e.Signal)) + " (" + unix.SignalName(e.Signal) + ") before it executed its program"
}

// forkedNotExecuted is PF_FORKNOEXEC of the kernel's include/linux/sched.h. execve(2) takes it
// away before it closes the descriptors that are close-on-exec (begin_new_exec), and a process
// that dies keeps it, so at the end of the report pipe it tells one from the other.
const forkedNotExecuted = 0x40

// death tells the ends of the report pipe apart: io.EOF when the program runs or the plan has
// come to its Exit, otherwise a [*DeathError]. The process is not reaped.
func (c *Child) death() error {
	if !c.executesPlan() {
		return io.EOF
	}
	// It is on its way out: what closes the pipe comes shortly before the status.
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, c.PidFD, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("wait for the container process: waitid", err)
		}
		const exited = 1 // CLD_EXITED: by the plan's own Exit
		if info.Code == exited {
			return io.EOF
		}
		status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), 24)) // si_status
		return &DeathError{Signal: syscall.Signal(status)}
	}
}

// executesPlan tells whether the process has neither executed a program nor been reaped.
func (c *Child) executesPlan() bool {
	flags, ok := processFlags(c.Pid)
	return ok && flags&forkedNotExecuted != 0
}

// processFlags is field 9 of /proc/PID/stat (proc_pid_stat(5)).
func processFlags(pid int) (flags uint64, ok bool) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	buf := make([]byte, 512)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return 0, false
	}
	text := string(buf[:n])
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name may hold anything
	if len(f) < 7 {
		return 0, false
	}
	flags, err = strconv.ParseUint(f[6], 10, 64)
	return flags, err == nil
}
