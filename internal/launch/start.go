package launch

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// cloneArgs is struct clone_args of clone3(2), up to the cgroup member (Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Clone says how the child is born.
type Clone struct {
	Flags  uint64 // CLONE_NEW*; CLONE_PIDFD is always added
	Cgroup int    // descriptor of a cgroup v2 directory for CLONE_INTO_CGROUP, or 0
}

// Child is a process that executes a plan.
type Child struct {
	Pid    int
	PidFD  int
	report int // read end
	plan   *Plan
	eof    bool
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
	var pidfd int32 = -1
	args := &cloneArgs{
		flags:      c.Flags | unix.CLONE_PIDFD,
		pidfd:      uint64(uintptr(unsafe.Pointer(&pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
	}
	if c.Cgroup > 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(c.Cgroup)
	}
	pid, errno := clone(prog, args)
	runtime.KeepAlive(p)
	runtime.KeepAlive(prog)
	unix.Close(pipe[1])
	if errno != 0 {
		unix.Close(pipe[0])
		return nil, os.NewSyscallError("create the container process: clone3", errno)
	}
	return &Child{Pid: int(pid), PidFD: int(pidfd), report: pipe[0], plan: p}, nil
}

// clone makes the child. Between clone3 and childMain nothing but raw system calls runs.
//
//go:noinline
//go:norace
//go:nocheckptr
func clone(prog *program, args *cloneArgs) (uintptr, syscall.Errno) {
	runtimeBeforeFork()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		return pid, errno
	}
	runtimeAfterForkInChild()
	prog.run()
	return 0, 0
}
