package ociruntime

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// noticeCreated tells the parent that everything but the program is there.
const noticeCreated = 1

// ending is the last part of a plan, the same for run, create and exec: from root of the
// container to the unprivileged program.
type ending struct {
	proc      *specs.Process
	filter    *seccomp.Program
	keyring   string // session keyring to join; "" keeps the caller's
	startFD   int    // exec.fifo, or -1: start at once
	statusFD  int    // exec.status
	preserve  int    // descriptors 3… that the program gets
	setgroups bool   // setgroups(2) is not denied in the user namespace
	hooks     bool   // startContainer hooks need to enter the user namespace, see [planner.openFor]
	held      uint64 // capabilities that can be handed on
	limits    []specs.POSIXRlimit
}

// user, capabilities, seccomp, execve: the order is the defence. Each step says why it is where it is.
func (p *planner) finish(e ending) {
	pr := e.proc
	if e.keyring != "" {
		p.Doing("join the session keyring", e.keyring)
		p.Call("keyctl", unix.SYS_KEYCTL, launch.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), p.Str("_ses."+e.keyring)).Ok(eNOSYS, ePERM, uint16(unix.EDQUOT))
	}
	for _, l := range e.limits {
		mem, arg := p.Mem(16)
		binary.NativeEndian.PutUint64(mem, l.Soft)
		binary.NativeEndian.PutUint64(mem[8:], l.Hard)
		p.Doing("set the limit", l.Type)
		p.Call("prlimit64", unix.SYS_PRLIMIT64, launch.Int(0), launch.Int(ocispec.RlimitNumber(l.Type)), arg, launch.Int(0))
	}
	if s := pr.Scheduler; s != nil {
		p.scheduler(s)
	}
	if io := pr.IOPriority; io != nil {
		p.Doing("set the I/O priority", string(io.Class))
		class := map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}[io.Class]
		p.Call("ioprio_set", unix.SYS_IOPRIO_SET, launch.Int(1), launch.Int(0), launch.Int(class<<13|io.Priority))
	}
	umask := uint32(0o022)
	if pr.User.Umask != nil {
		umask = *pr.User.Umask
	}
	p.Call("umask", unix.SYS_UMASK, launch.Oct(umask))
	if pr.NoNewPrivileges {
		p.Doing("set", "no_new_privs")
		p.prctl("", launch.Int(unix.PR_SET_NO_NEW_PRIVS), launch.Int(1), launch.Int(0), launch.Int(0), launch.Int(0))
	}
	// The working directory is reached below the root without magic links, so it is inside
	// the root whatever its name is (CVE-2024-21626). A directory that only the user may
	// enter is tried again after the switch.
	cwd := p.Slot("cwd")
	later := p.NewLabel()
	p.Doing("change to the working directory", pr.Cwd)
	p.openIn(pr.Cwd, unix.O_PATH|unix.O_DIRECTORY, p.target).Ok(eACCES).Else(later)
	p.Call("fchdir", unix.SYS_FCHDIR, launch.Of(p.target)).Ok(eACCES).Else(later)
	p.Set(cwd, 1)
	p.Bind(later)

	caps := capSets(pr.Capabilities, e.held)
	p.Doing("drop capabilities", "of the bounding set")
	for c := range lastCap() + 1 {
		if caps.bounding&(1<<c) == 0 {
			p.prctl("", launch.Int(unix.PR_CAPBSET_DROP), launch.Int(int(c)), launch.Int(0), launch.Int(0), launch.Int(0)).Ok(eINVAL)
		}
	}
	p.Doing("switch to the user", itoa(uint64(pr.User.UID))+":"+itoa(uint64(pr.User.GID)))
	p.prctl("", launch.Int(unix.PR_SET_KEEPCAPS), launch.Int(1), launch.Int(0), launch.Int(0), launch.Int(0))
	if e.setgroups {
		mem, arg := p.Mem(4*len(pr.User.AdditionalGids) + 4)
		for i, g := range pr.User.AdditionalGids {
			binary.NativeEndian.PutUint32(mem[4*i:], g)
		}
		p.Call("setgroups", unix.SYS_SETGROUPS, launch.Int(len(pr.User.AdditionalGids)), arg)
	}
	gid, uid := launch.Int(int(pr.User.GID)), launch.Int(int(pr.User.UID))
	p.Call("setresgid", unix.SYS_SETRESGID, gid, gid, gid)
	p.Call("setresuid", unix.SYS_SETRESUID, uid, uid, uid)
	p.prctl("", launch.Int(unix.PR_SET_KEEPCAPS), launch.Int(0), launch.Int(0), launch.Int(0), launch.Int(0))
	// The switch makes the process as dumpable as fs.suid_dumpable says.
	p.prctl("", launch.Int(unix.PR_SET_DUMPABLE), launch.Int(0), launch.Int(0), launch.Int(0), launch.Int(0))
	// A filter needs CAP_SYS_ADMIN (or no_new_privs) to install. It stays until then, so
	// that the filter sees nothing but capset and execve.
	keep := uint64(0)
	if e.filter != nil && !pr.NoNewPrivileges {
		keep = 1 << unix.CAP_SYS_ADMIN
	}
	p.Doing("set", "the capabilities")
	p.capset(caps.effective|keep, caps.permitted|keep, caps.inheritable)
	p.prctl("", launch.Int(unix.PR_CAP_AMBIENT), launch.Int(unix.PR_CAP_AMBIENT_CLEAR_ALL), launch.Int(0), launch.Int(0), launch.Int(0)).Ok(eINVAL)
	for c := range uint(64) {
		if caps.ambient&(1<<c) != 0 {
			p.prctl("", launch.Int(unix.PR_CAP_AMBIENT), launch.Int(unix.PR_CAP_AMBIENT_RAISE), launch.Int(int(c)), launch.Int(0), launch.Int(0))
		}
	}
	there := p.NewLabel()
	p.Doing("change to the working directory", pr.Cwd)
	retry := p.NewLabel()
	p.JumpZero(cwd, retry)
	p.Jump(there)
	p.Bind(retry)
	p.openIn(pr.Cwd, unix.O_PATH|unix.O_DIRECTORY, p.target)
	p.Call("fchdir", unix.SYS_FCHDIR, launch.Of(p.target))
	p.Bind(there)
	candidates := lookPath(pr.Args[0], pr.Env)
	if e.startFD >= 0 {
		p.wait(e, candidates)
	}
	p.Doing("close", "what the program shall not have")
	p.Call("close_range", unix.SYS_CLOSE_RANGE, launch.Int(3+e.preserve), launch.Hex(0xffffffff), launch.Int(unix.CLOSE_RANGE_CLOEXEC))
	if e.filter != nil {
		p.Doing("install", "the seccomp filter")
		prog := &unix.SockFprog{Len: uint16(len(e.filter.Filter)), Filter: &e.filter.Filter[0]}
		p.Keep(prog)
		_, arg := p.Mem(1)
		p.Call("seccomp", unix.SYS_SECCOMP, launch.Int(unix.SECCOMP_SET_MODE_FILTER), launch.Hex(uint64(e.filter.Flags)), arg.To(unsafe.Pointer(prog)))
		if keep != 0 {
			p.capset(caps.effective, caps.permitted, caps.inheritable)
		}
	}
	p.exec(candidates, pr)
}

// wait finds the program, tells the parent, and blocks until `start`. From then on
// failures go to the status FIFO: the creator is gone.
func (p *planner) wait(e ending, candidates []string) {
	p.Doing("exec:", quote(e.proc.Args[0]))
	// As runc does, a directory or a device is refused here, at create, and not at start:
	// engines clean up after a failed create.
	found, last := p.NewLabel(), len(candidates)-1
	st, arg := p.Mem(256) // struct statx; stx_mode is the 16 bits at 28
	for i, c := range candidates {
		name, next := p.Str(c), launch.Label(0)
		access := p.Call("faccessat", unix.SYS_FACCESSAT, launch.Int(unix.AT_FDCWD), name, launch.Int(unix.X_OK))
		if i < last {
			next = p.NewLabel()
			access.Ok(eNOENT, eNOTDIR, eACCES).Else(next)
		}
		p.Call("statx", unix.SYS_STATX, launch.Int(unix.AT_FDCWD), name, launch.Int(0), launch.Hex(unix.STATX_TYPE), arg)
		p.Assert32(st[28:], unix.S_IFMT, unix.S_IFREG, eACCES).Else(next)
		if i < last {
			p.Jump(found)
			p.Bind(next)
		}
	}
	p.Bind(found)
	p.Doing("wait for", "start")
	p.Notify(noticeCreated, 0)
	p.Call("dup3", unix.SYS_DUP3, launch.Int(e.statusFD), launch.Of(launch.Report), launch.Hex(unix.O_CLOEXEC))
	_, b := p.Mem(1)
	p.Call("read", unix.SYS_READ, launch.Int(e.startFD), b, launch.Int(1)).Want(1)
	if e.hooks {
		p.openFor(true, func() {
			p.Doing("wait for", "the startContainer hooks")
			p.Notify(noticeHooks, 0)
			p.Call("read", unix.SYS_READ, launch.Int(e.startFD), b, launch.Int(1)).Want(1)
		})
	}
}

func (p *planner) exec(candidates []string, pr *specs.Process) {
	argv, env := p.Strs(pr.Args), p.Strs(pr.Env)
	denied := p.Slot("denied")
	p.Doing("exec:", quote(pr.Args[0]))
	for i, c := range candidates {
		s := p.Call("execve", unix.SYS_EXECVE, p.Str(c), argv, env)
		if i < len(candidates)-1 {
			s.Ok(eNOENT, eNOTDIR, eACCES).Out(denied)
		}
	}
}

func (p *planner) capset(effective, permitted, inheritable uint64) {
	h, harg := p.Mem(8)
	binary.NativeEndian.PutUint32(h, unix.LINUX_CAPABILITY_VERSION_3)
	d, darg := p.Mem(24)
	for i, v := range []uint64{effective, permitted, inheritable} {
		binary.NativeEndian.PutUint32(d[4*i:], uint32(v))
		binary.NativeEndian.PutUint32(d[12+4*i:], uint32(v>>32))
	}
	p.Call("capset", unix.SYS_CAPSET, harg, darg)
}

func (p *planner) scheduler(s *specs.Scheduler) {
	mem, arg := p.Mem(48)
	policy := map[specs.LinuxSchedulerPolicy]uint32{specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6}[s.Policy]
	flags := uint64(0)
	for _, f := range s.Flags {
		flags |= map[specs.LinuxSchedulerFlag]uint64{specs.SchedFlagResetOnFork: 1, specs.SchedFlagReclaim: 2, specs.SchedFlagDLOverrun: 4, specs.SchedFlagKeepPolicy: 8, specs.SchedFlagKeepParams: 16, specs.SchedFlagUtilClampMin: 32, specs.SchedFlagUtilClampMax: 64}[f]
	}
	binary.NativeEndian.PutUint32(mem, 48)
	binary.NativeEndian.PutUint32(mem[4:], policy)
	binary.NativeEndian.PutUint64(mem[8:], flags)
	binary.NativeEndian.PutUint32(mem[16:], uint32(s.Nice))
	binary.NativeEndian.PutUint32(mem[20:], uint32(s.Priority))
	binary.NativeEndian.PutUint64(mem[24:], s.Runtime)
	binary.NativeEndian.PutUint64(mem[32:], s.Deadline)
	binary.NativeEndian.PutUint64(mem[40:], s.Period)
	p.Doing("set the scheduler", string(s.Policy))
	p.Call("sched_setattr", unix.SYS_SCHED_SETATTR, launch.Int(0), arg, launch.Int(0))
}

// lookPath lists where execvp would look for a program.
func lookPath(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = v
		}
	}
	var list []string
	for _, d := range strings.Split(dirs, ":") {
		if d == "" {
			d = "."
		}
		list = append(list, d+"/"+name)
	}
	return list
}

func quote(s string) string { return `"` + s + `"` }
