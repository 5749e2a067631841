package launch

import (
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// cloneArgs is struct clone_args of clone3(2), up to the cgroup member (Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Clone says how the child is born.
type Clone struct {
	Flags  uint64 // CLONE_NEW*; CLONE_PIDFD is always added
	Cgroup int    // descriptor of a cgroup v2 directory for CLONE_INTO_CGROUP, or 0
	// PidNS is a descriptor of a pid namespace, or a pidfd of a process in it, to be born in; 0
	// for none. The calling thread is in it for the time of the clone alone: a thread that
	// stayed could make no further threads (EINVAL, clone(2)).
	PidNS int
	// Share lets the child use the parent's memory (CLONE_VM) instead of a copy of it, which
	// saves the page tables and a fault for each page that either of them writes: 0.5 ms. See
	// the proof obligations for what that asks of the caller. Ignored where it cannot be done.
	Share bool
}

// Child is a process that executes a plan.
type Child struct {
	Pid    int
	PidFD  int
	report int // read end
	plan   *Plan
	eof    bool
	reborn bool   // Pid is the second process's, see Plan.Rebirth
	early  Notice // of the second process, before it was known
	shared *sharedMemory
}

// Start clones a child that executes the plan. Only the calling thread is copied; if the
// child is to be born in namespaces that this thread has joined, call it from a locked
// thread. The plan belongs to the child from now on and cannot be started again.
func (p *Plan) Start(c Clone) (*Child, error) {
	p.seal()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("make the report pipe: pipe2", err)
	}
	prog := &program{steps: unsafe.Pointer(unsafe.SliceData(p.steps)), n: int32(len(p.steps)), report: int32(pipe[1])}
	prog.slots[Report] = uintptr(pipe[1])
	for _, c := range p.others {
		c.fill(pipe[1])
	}
	foreign := p.foreign(pipe[1])
	prog.close, prog.nclose = unsafe.Pointer(unsafe.SliceData(foreign)), int32(len(foreign))
	args := &cloneArgs{
		flags:      c.Flags | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		pidfd:      uint64(uintptr(unsafe.Pointer(&prog.pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if c.Cgroup > 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(c.Cgroup)
	}
	var mem *sharedMemory
	if c.Share && canShare {
		mem = &sharedMemory{plan: p, prog: prog, foreign: foreign}
		args.flags |= unix.CLONE_VM
		args.stack = uint64(uintptr(unsafe.Pointer(&mem.stack[0])))
		args.stackSize = uint64(len(mem.stack))
		mem.pin()
	}
	own := -1
	if c.PidNS > 0 {
		var err error
		if own, err = unix.Open("/proc/self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			unix.Close(pipe[0])
			unix.Close(pipe[1])
			mem.unpin()
			return nil, &os.PathError{Op: "open", Path: "/proc/self/ns/pid", Err: err}
		}
		defer unix.Close(own)
	}
	pid, joined, errno := clone(prog, args, uintptr(c.PidNS), uintptr(own))
	runtime.KeepAlive(p)
	runtime.KeepAlive(prog)
	runtime.KeepAlive(foreign)
	unix.Close(pipe[1])
	if errno != 0 {
		unix.Close(pipe[0])
		mem.unpin()
		if !joined {
			return nil, os.NewSyscallError("join the pid namespace: setns", errno)
		}
		return nil, os.NewSyscallError("create the container process: clone3", errno)
	}
	return &Child{Pid: int(pid), PidFD: int(prog.pidfd), report: pipe[0], plan: p, shared: mem}, nil
}

// TimerSlack, when not 0, is the timer slack in nanoseconds that children are born with: threads
// of a program linked with package seal's entry have a greater one.
var TimerSlack uintptr

// foreign lists the descriptors that the child does not need, as ranges: all from 3 on but the
// report pipe, those named by [Plan.FD] and those promised by [Plan.Inherit].
func (p *Plan) foreign(report int) [][2]uint32 {
	keep := make([]int, 0, 16)
	keep = append(keep, report)
	for _, f := range p.fds {
		keep = append(keep, f.fd)
	}
	slices.Sort(keep)
	ranges := make([][2]uint32, 0, len(keep)+1)
	next := 3 + p.inherit
	for _, fd := range keep {
		if fd > next {
			ranges = append(ranges, [2]uint32{uint32(next), uint32(fd - 1)})
		}
		next = max(next, fd+1)
	}
	return append(ranges, [2]uint32{uint32(next), ^uint32(0)})
}

// noReturn is what a program says that ends in [clone].
const noReturn = "keel: cannot return from the pid namespace of the container\n"

// clone makes the child. Between clone3 and run nothing but raw system calls runs.
//
//go:noinline
//go:norace
//go:nocheckptr
func clone(prog *program, args *cloneArgs, pidns, own uintptr) (pid uintptr, joined bool, errno syscall.Errno) {
	runtimeBeforeFork()
	if TimerSlack != 0 {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, TimerSlack, 0, 0, 0, 0)
	}
	if pidns != 0 {
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETNS, pidns, unix.CLONE_NEWPID, 0); errno != 0 {
			runtimeAfterFork()
			return 0, false, errno
		}
	}
	if args.stack != 0 {
		pid = cloneShared(args, prog)
		if int(pid) < 0 {
			pid, errno = 0, syscall.Errno(-int(pid))
		}
	} else {
		pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
		if errno == 0 && pid == 0 {
			prog.run()
		}
	}
	if pidns != 0 {
		if _, _, back := syscall.RawSyscall(unix.SYS_SETNS, own, unix.CLONE_NEWPID, 0); back != 0 {
			// Own namespace, same rights as before: there is no memory for it. The program
			// could make no threads any more, so it ends, and the child with it.
			if errno == 0 {
				syscall.RawSyscall(unix.SYS_KILL, pid, uintptr(unix.SIGKILL), 0)
			}
			syscall.RawSyscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(noReturn))), uintptr(len(noReturn)))
			syscall.RawSyscall6(unix.SYS_EXIT_GROUP, failCode, 0, 0, 0, 0, 0)
		}
	}
	runtimeAfterFork()
	return pid, true, errno
}

// runShared is where a child with shared memory begins, on its own stack.
//
//lint:ignore U1000 called from assembly
//go:nosplit
//go:norace
//go:nocheckptr
func runShared(prog *program) { prog.run() }

var _ = runShared // called from assembly
