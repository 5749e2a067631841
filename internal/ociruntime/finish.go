package ociruntime

import (
	"encoding/binary"
	"slices"
	"strings"
	"unsafe"

	"github.com/hull-dev/hull/internal/launch"
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
	joining   bool   // the container runs: what is in it may look at us as soon as we are in its pid namespace
	rebirth   bool   // enter the pid namespace last; see entry
	program   string // the program when it is not what process.args[0] leads to
	startFD   int    // exec.fifo, or -1: start at once
	statusFD  int    // exec.status
	sync      int    // socket to the parent
	preserve  int    // descriptors 3… that the program gets
	setgroups bool   // setgroups(2) is not denied in the user namespace
	hooks     bool   // startContainer hooks need to enter the user namespace, see [planner.openFor]
	held      uint64 // capabilities that can be handed on
	limits    []specs.POSIXRlimit
	openFiles uint64       // soft RLIMIT_NOFILE unless limits has one; 0: leave it
	linux     *specs.Linux // of the container: personality and memory policy
	labels    *labels      // nil: none
}

// user, capabilities, seccomp, execve: the order is the defence. Each step says why it is where it is.
func (p *planner) finish(e ending) {
	pr := e.proc
	p.Inherit(e.preserve)
	if e.keyring != "" {
		p.labelKeys(e.labels, true)
		p.Doing("join the session keyring", e.keyring)
		p.Call("keyctl", unix.SYS_KEYCTL, launch.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), p.Str("_ses."+e.keyring)).Ok(eNOSYS, ePERM, uint16(unix.EDQUOT))
		p.labelKeys(e.labels, false)
	}
	p.attributes(e)
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
		groups := supplementary(pr.User)
		mem, arg := p.Data(4 * len(groups))
		for i, g := range groups {
			binary.NativeEndian.PutUint32(mem[4*i:], g)
		}
		p.Call("setgroups", unix.SYS_SETGROUPS, launch.Int(len(groups)), arg)
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
	p.labelProgram(e.labels)
	candidates := lookPath(pr.Args[0], pr.Env)
	if e.program != "" {
		candidates = []string{e.program}
	}
	notify := e.filter != nil && e.filter.Notify
	if e.startFD >= 0 {
		p.find(e, candidates)
	}
	if e.startFD >= 0 || e.joining {
		p.Doing("close", "what others shall not see")
		p.CloseOthers(3+e.preserve, e.needed(notify)...)
	}
	if e.joining {
		if e.rebirth {
			p.Doing("enter", "the pid namespace")
			p.Rebirth()
		}
		p.session()
		if pr.Terminal {
			p.control()
		}
	}
	if !notify {
		p.wait(e)
	}
	p.closeAll(e)
	if notify {
		p.listen(e)
	} else if e.filter != nil {
		p.install(e.filter)
	}
	if keep != 0 {
		p.Doing("set", "the capabilities")
		p.capset(caps.effective, caps.permitted, caps.inheritable)
	}
	p.exec(candidates, pr)
}

// needed are the descriptors that the rest of the plan uses.
func (e *ending) needed(notify bool) (list []int) {
	if e.startFD >= 0 {
		list = append(list, e.startFD, e.statusFD)
	}
	if notify {
		list = append(list, e.sync)
	}
	return list
}

// supplementary are the groups that a process gets: those asked for, and the primary one. A
// file that its group must not have would be open to a process that can change its primary
// group (CVE-2022-36109; runc leaves this to its callers).
func supplementary(u specs.User) []uint32 {
	if slices.Contains(u.AdditionalGids, u.GID) {
		return u.AdditionalGids
	}
	return append([]uint32{u.GID}, u.AdditionalGids...)
}

// closeAll is the last that happens to descriptors before a filter can see it.
func (p *planner) closeAll(e ending) {
	p.Doing("close", "what the program shall not have")
	p.Call("close_range", unix.SYS_CLOSE_RANGE, launch.Int(3+e.preserve), launch.Hex(0xffffffff), launch.Int(unix.CLOSE_RANGE_CLOEXEC))
}

func (p *planner) install(filter *seccomp.Program) launch.Step {
	p.Doing("install", "the seccomp filter")
	prog := &unix.SockFprog{Len: uint16(len(filter.Filter)), Filter: &filter.Filter[0]}
	p.Keep(prog)
	_, arg := p.Mem(1)
	return p.Call("seccomp", unix.SYS_SECCOMP, launch.Int(unix.SECCOMP_SET_MODE_FILTER), launch.Hex(uint64(filter.Flags)), arg.To(unsafe.Pointer(prog)))
}

// find looks for the program as execve will. As runc does, a directory or a device is refused
// here, at create, and not at start: engines clean up after a failed create.
func (p *planner) find(e ending, candidates []string) {
	p.Doing("exec:", quote(e.proc.Args[0]))
	found, last := p.NewLabel(), len(candidates)-1
	for i, c := range candidates {
		name, next := p.Str(c), launch.Label(0)
		access := p.Call("faccessat", unix.SYS_FACCESSAT, launch.Int(unix.AT_FDCWD), name, launch.Int(unix.X_OK))
		if i < last {
			next = p.NewLabel()
			access.Ok(eNOENT, eNOTDIR, eACCES).Else(next)
		}
		p.Call("statx", unix.SYS_STATX, launch.Int(unix.AT_FDCWD), name, launch.Int(0), launch.Hex(unix.STATX_TYPE), p.statx)
		p.Assert32(p.statxMem[statxMode:], unix.S_IFMT, unix.S_IFREG, eACCES).Else(next)
		if i < last {
			p.Jump(found)
			p.Bind(next)
		}
	}
	p.Bind(found)
}

// wait tells the parent that the container is created, and blocks until `start`. From then on
// failures go to the status FIFO: the creator is gone.
func (p *planner) wait(e ending) {
	if e.startFD < 0 {
		return
	}
	p.Doing("wait for", "start")
	p.Notify(noticeCreated, 0)
	p.reportTo(e.statusFD)
	p.awaitStart(e)
}

func (p *planner) awaitStart(e ending) {
	p.read1(e.startFD, "start")
	if e.hooks {
		p.openFor(true, func() {
			p.Doing("wait for", "the startContainer hooks")
			p.Notify(noticeHooks, 0)
			p.read1(e.startFD, "start")
		})
	}
}

func (p *planner) reportTo(fd int) {
	p.Call("dup3", unix.SYS_DUP3, p.FD(fd, "status"), launch.Of(launch.Report), launch.Hex(unix.O_CLOEXEC))
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
	d, darg := p.Data(24)
	for i, v := range []uint64{effective, permitted, inheritable} {
		binary.NativeEndian.PutUint32(d[4*i:], uint32(v))
		binary.NativeEndian.PutUint32(d[12+4*i:], uint32(v>>32))
	}
	p.Call("capset", unix.SYS_CAPSET, harg, darg)
}

// maxSearch bounds the directories of PATH that are searched: each is a step of the plan.
const maxSearch = 1024

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
	for _, d := range strings.SplitN(dirs, ":", maxSearch+1)[:min(maxSearch, strings.Count(dirs, ":")+1)] {
		if d == "" {
			d = "."
		}
		list = append(list, d+"/"+name)
	}
	return list
}

func quote(s string) string { return `"` + s + `"` }
