//go:build amd64

package keel

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A tracer runs a program under ptrace(2) and can, at the entry of its n-th system call, kill
// it or make the call fail. So the released binary is tested at every step, and there is no
// failpoint in the product.
//
//	keel, all its threads        side parent    counted together
//	the process that it clones   side child     counted alone, up to its execve
//
// A new program that keel itself becomes (package seal) goes on as keel.
type tracer struct {
	side   side
	at     int           // the call to act on; 0: only count
	kill   bool          // SIGKILL before the call; otherwise the call fails
	errno  syscall.Errno // of the failing call
	only   map[uint64]bool
	count  int    // calls of the side so far
	hit    string // the call that was acted on
	status unix.WaitStatus
	stderr string

	root    int
	threads map[int]*thread
	born    bool // the child is; what keel clones after it are hooks, which nobody counts
}

// traceTimeout is how long a traced program may take.
const traceTimeout = 20 * time.Second

type side int

const (
	parent side = iota
	child
	nobody
)

type thread struct {
	side    side
	inCall  bool
	failing bool
	stop    bool // a clone's own SIGSTOP is still to come
}

// noise are calls of the Go runtime that leave nothing behind.
var noise = map[uint64]bool{
	unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_MMAP: true, unix.SYS_MUNMAP: true, unix.SYS_MADVISE: true, unix.SYS_MPROTECT: true, unix.SYS_BRK: true,
	unix.SYS_RT_SIGACTION: true, unix.SYS_RT_SIGPROCMASK: true, unix.SYS_RT_SIGRETURN: true, unix.SYS_SIGALTSTACK: true, unix.SYS_GETTID: true, unix.SYS_GETPID: true,
	unix.SYS_GETEUID: true, unix.SYS_GETUID: true, unix.SYS_GETGID: true, unix.SYS_GETEGID: true, unix.SYS_TGKILL: true, unix.SYS_SCHED_YIELD: true, unix.SYS_SCHED_GETAFFINITY: true,
	unix.SYS_ARCH_PRCTL: true, unix.SYS_CLONE: true, unix.SYS_EPOLL_CREATE1: true, unix.SYS_EPOLL_CTL: true, unix.SYS_EPOLL_PWAIT: true, unix.SYS_EVENTFD2: true,
	unix.SYS_EXIT_GROUP: true, unix.SYS_EXIT: true, unix.SYS_RSEQ: true, unix.SYS_SET_ROBUST_LIST: true, unix.SYS_CLOCK_GETTIME: true, unix.SYS_UNAME: true, unix.SYS_FCNTL: true,
	unix.SYS_RESTART_SYSCALL: true, unix.SYS_PRLIMIT64: true,
}

// run traces a command line to its end. The calling test must be on one goroutine.
func (tr *tracer) run(t *testing.T, argv []string) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	errs, err := os.CreateTemp(t.TempDir(), "err")
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Stdin: null, Stdout: null, Stderr: errs, SysProcAttr: &syscall.SysProcAttr{Ptrace: true}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tr.root, tr.threads = cmd.Process.Pid, map[int]*thread{cmd.Process.Pid: {}}
	watchdog := time.AfterFunc(traceTimeout, func() { unix.Kill(tr.root, unix.SIGKILL) })
	err = tr.follow()
	if !watchdog.Stop() {
		t.Errorf("%q hangs after %s", argv, tr.hit)
	}
	if err != nil {
		t.Fatalf("trace %q: %v", argv, err)
	}
	cmd.Process.Release()
	text, err := os.ReadFile(errs.Name())
	if err != nil {
		t.Fatal(err)
	}
	tr.stderr = string(text)
}

func (tr *tracer) follow() error {
	var ws unix.WaitStatus
	if _, err := unix.Wait4(tr.root, &ws, 0, nil); err != nil {
		return err
	}
	opts := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC
	if tr.side == child {
		opts |= unix.PTRACE_O_TRACEFORK
	}
	if err := unix.PtraceSetOptions(tr.root, opts); err != nil {
		return err
	}
	unix.PtraceSyscall(tr.root, 0)
	for {
		// Only what this thread traces or has started: other tests' children are theirs.
		pid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if ws.Exited() || ws.Signaled() {
			delete(tr.threads, pid)
			if pid == tr.root {
				tr.status = ws
				return tr.letGo()
			}
			continue
		}
		if sig := tr.stopped(pid, ws); sig >= 0 {
			unix.PtraceSyscall(pid, sig)
		}
	}
}

// stopped deals with a stop and returns the signal to go on with, or -1 when it must not go on.
func (tr *tracer) stopped(pid int, ws unix.WaitStatus) int {
	th := tr.threads[pid]
	if th == nil { // its first stop may come before its parent's event
		th = &thread{stop: true, side: nobody}
		tr.threads[pid] = th
	}
	sig := ws.StopSignal()
	switch {
	case sig == unix.SIGTRAP|0x80:
		th.inCall = !th.inCall
		return tr.call(pid, th)
	case sig == unix.SIGTRAP && ws.TrapCause() > 0:
		switch msg, _ := unix.PtraceGetEventMsg(pid); ws.TrapCause() {
		case unix.PTRACE_EVENT_CLONE:
			if tr.threads[int(msg)] == nil {
				tr.threads[int(msg)] = &thread{stop: true}
			}
			tr.threads[int(msg)].side = th.side
		case unix.PTRACE_EVENT_FORK:
			if tr.threads[int(msg)] == nil {
				tr.threads[int(msg)] = &thread{stop: true, side: nobody}
			}
			if !tr.born {
				tr.threads[int(msg)].side, tr.born = child, true
			}
		case unix.PTRACE_EVENT_EXEC:
			if th.side != parent { // the container's program, a hook
				delete(tr.threads, pid)
				unix.PtraceDetach(pid)
				return -1
			}
		}
		return 0
	case sig == unix.SIGSTOP && th.stop:
		th.stop = false
		return 0
	case sig == unix.SIGTRAP:
		return 0
	}
	return int(sig)
}

func (tr *tracer) call(pid int, th *thread) int {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return 0 // killed meanwhile
	}
	if !th.inCall {
		if th.failing {
			th.failing = false
			regs.Rax = uint64(-int64(tr.errno))
			unix.PtraceSetRegs(pid, &regs)
		}
		return 0
	}
	if th.side != tr.side || noise[regs.Orig_rax] || tr.only != nil && !tr.only[regs.Orig_rax] {
		return 0
	}
	tr.count++
	if tr.count != tr.at {
		return 0
	}
	tr.hit = fmt.Sprintf("call %d, %s", tr.at, callText(pid, &regs))
	if tr.kill {
		if tr.side == parent {
			pid = tr.root
		}
		unix.Kill(pid, unix.SIGKILL)
		return 0
	}
	th.failing = true
	if regs.Orig_rax == unix.SYS_CLOSE {
		return 0 // close(2) gives the descriptor up even when it fails
	}
	regs.Orig_rax = ^uint64(0) // no call; the result is set at its exit
	unix.PtraceSetRegs(pid, &regs)
	return 0
}

// letGo frees what is still traced when keel has ended: a container that waits for start.
func (tr *tracer) letGo() error {
	for pid := range tr.threads {
		unix.Kill(pid, unix.SIGSTOP)
	}
	for len(tr.threads) > 0 {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECHILD {
			return nil
		}
		if err != nil {
			return err
		}
		if ws.Stopped() && ws.StopSignal() != unix.SIGSTOP {
			unix.PtraceSyscall(pid, 0)
			continue
		}
		if ws.Stopped() {
			unix.PtraceDetach(pid)
			unix.Kill(pid, unix.SIGCONT)
		}
		delete(tr.threads, pid)
	}
	return nil
}

// callText names a call well enough for a person: its number, and a path if it has one.
func callText(pid int, r *unix.PtraceRegs) string {
	text := ""
	for _, a := range []uint64{r.Rdi, r.Rsi} {
		if a < 1<<20 {
			continue
		}
		buf := make([]byte, 128)
		if n, _ := unix.PtracePeekData(pid, uintptr(a), buf); n == len(buf) {
			if s, _, ok := strings.Cut(string(buf), "\x00"); ok && s != "" && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0 {
				text = " " + s
			}
		}
	}
	return fmt.Sprintf("number %d(%#x, %#x, %#x)%s", r.Orig_rax, r.Rdi, r.Rsi, r.Rdx, text)
}
