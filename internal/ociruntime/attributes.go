package ociruntime

import (
	"cmp"
	"encoding/binary"
	"strconv"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// attributes plans what a process keeps over execve(2): name, limits, scheduling, execution
// domain, memory policy. It comes after the cgroups (whose cpuset decides what a CPU or a
// node is) and before the capabilities are dropped that it needs.
func (p *planner) attributes(e ending) {
	p.rlimits(e.limits, e.openFiles)
	if s := e.proc.Scheduler; s != nil {
		p.scheduler(s)
	}
	if io := e.proc.IOPriority; io != nil {
		p.ioPriority(io)
	}
	if e.linux == nil {
		return
	}
	if per := e.linux.Personality; per != nil {
		p.personality(per)
	}
	if m := e.linux.MemoryPolicy; m != nil {
		p.memoryPolicy(m)
	}
}

// rlimits sets the limits of the process. openFiles is the soft RLIMIT_NOFILE that the caller
// of the runtime had, which Go has raised for itself; 0: there is nothing to put back.
func (p *planner) rlimits(limits []specs.POSIXRlimit, openFiles uint64) {
	for _, l := range limits {
		p.Doing("set the limit", l.Type)
		p.setLimit(ocispec.RlimitNumber(l.Type), l.Soft, l.Hard)
		if l.Type == "RLIMIT_NOFILE" {
			openFiles = 0
		}
	}
	var now unix.Rlimit
	if openFiles == 0 || unix.Getrlimit(unix.RLIMIT_NOFILE, &now) != nil || now.Cur == openFiles {
		return
	}
	p.Doing("set the limit", "RLIMIT_NOFILE to what it was")
	p.setLimit(unix.RLIMIT_NOFILE, min(openFiles, now.Max), now.Max)
}

func (p *planner) setLimit(resource int, soft, hard uint64) {
	mem, arg := p.Data(16) // struct rlimit64
	binary.NativeEndian.PutUint64(mem, soft)
	binary.NativeEndian.PutUint64(mem[8:], hard)
	p.Call("prlimit64", unix.SYS_PRLIMIT64, launch.Int(0), launch.Int(resource), arg, launch.Int(0))
}

// name is what ps shows of a process until it has executed its program.
func (p *planner) name(comm string) {
	p.Doing("set", "the name of the process")
	p.prctl("", launch.Int(unix.PR_SET_NAME), p.Str(comm), launch.Int(0), launch.Int(0), launch.Int(0))
}

// oomScoreAdj is written through the procfs of the host, so it comes before its mount namespace
// is left. A lower value than the caller's own takes CAP_SYS_RESOURCE; without, it stays.
func (p *planner) oomScoreAdj(adj int) {
	text := strconv.Itoa(adj)
	p.Doing("set process.oomScoreAdj to", text)
	p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/proc/self/oom_score_adj"), launch.Hex(unix.O_WRONLY|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
	p.Call("write", unix.SYS_WRITE, launch.Of(p.target), p.Str(text), launch.Int(len(text))).Ok(eACCES)
	p.close(p.target)
}

// sizeofSchedAttr is SCHED_ATTR_SIZE_VER1: the kernel wants the two members for utilisation
// clamping when their flags are set (sched_setattr(2)). config.json has no values for them.
const sizeofSchedAttr = 56

func (p *planner) scheduler(s *specs.Scheduler) {
	mem, arg := p.Mem(sizeofSchedAttr)
	flags := uint64(0)
	for _, f := range s.Flags {
		flags |= schedulerFlag(f)
	}
	binary.NativeEndian.PutUint32(mem, sizeofSchedAttr)
	binary.NativeEndian.PutUint32(mem[4:], schedulerPolicy(s.Policy))
	binary.NativeEndian.PutUint64(mem[8:], flags)
	binary.NativeEndian.PutUint32(mem[16:], uint32(s.Nice))
	binary.NativeEndian.PutUint32(mem[20:], uint32(s.Priority))
	binary.NativeEndian.PutUint64(mem[24:], s.Runtime)
	binary.NativeEndian.PutUint64(mem[32:], s.Deadline)
	binary.NativeEndian.PutUint64(mem[40:], s.Period)
	p.Doing("set process.scheduler", string(s.Policy))
	p.Call("sched_setattr", unix.SYS_SCHED_SETATTR, launch.Int(0), arg, launch.Int(0))
}

// schedulerPolicy is SCHED_* of linux/sched.h. [ocispec.Validate] has refused others.
func schedulerPolicy(p specs.LinuxSchedulerPolicy) uint32 {
	switch p {
	case specs.SchedFIFO:
		return unix.SCHED_FIFO
	case specs.SchedRR:
		return unix.SCHED_RR
	case specs.SchedBatch:
		return unix.SCHED_BATCH
	case specs.SchedISO:
		return 4 // reserved, and refused, by the kernel
	case specs.SchedIdle:
		return unix.SCHED_IDLE
	case specs.SchedDeadline:
		return unix.SCHED_DEADLINE
	}
	return unix.SCHED_NORMAL
}

// schedulerFlag is SCHED_FLAG_* of linux/sched.h.
func schedulerFlag(f specs.LinuxSchedulerFlag) uint64 {
	switch f {
	case specs.SchedFlagResetOnFork:
		return unix.SCHED_FLAG_RESET_ON_FORK
	case specs.SchedFlagReclaim:
		return unix.SCHED_FLAG_RECLAIM
	case specs.SchedFlagDLOverrun:
		return unix.SCHED_FLAG_DL_OVERRUN
	case specs.SchedFlagKeepPolicy:
		return unix.SCHED_FLAG_KEEP_POLICY
	case specs.SchedFlagKeepParams:
		return unix.SCHED_FLAG_KEEP_PARAMS
	case specs.SchedFlagUtilClampMin:
		return unix.SCHED_FLAG_UTIL_CLAMP_MIN
	case specs.SchedFlagUtilClampMax:
		return unix.SCHED_FLAG_UTIL_CLAMP_MAX
	}
	return 0
}

// ioPriority sets the class and level of ioprio_set(2) for the one process.
func (p *planner) ioPriority(io *specs.LinuxIOPriority) {
	const whoProcess, classShift = 1, 13
	class := 0
	switch io.Class {
	case specs.IOPRIO_CLASS_RT:
		class = 1
	case specs.IOPRIO_CLASS_BE:
		class = 2
	case specs.IOPRIO_CLASS_IDLE:
		class = 3
	}
	p.Doing("set process.ioPriority", string(io.Class))
	p.Call("ioprio_set", unix.SYS_IOPRIO_SET, launch.Int(whoProcess), launch.Int(0), launch.Int(class<<classShift|io.Priority))
}

func (p *planner) personality(per *specs.LinuxPersonality) {
	const linux32 = 0x8 // PER_LINUX32 of linux/personality.h
	domain := uint64(0)
	if per.Domain == specs.PerLinux32 {
		domain = linux32
	}
	p.Doing("set linux.personality", string(per.Domain))
	p.Call("personality", unix.SYS_PERSONALITY, launch.Hex(domain))
}

// memoryPolicy sets the NUMA policy, which children and programs inherit (set_mempolicy(2)).
func (p *planner) memoryPolicy(m *specs.LinuxMemoryPolicy) {
	mode := 0
	switch m.Mode {
	case specs.MpolPreferred:
		mode = unix.MPOL_PREFERRED
	case specs.MpolBind:
		mode = unix.MPOL_BIND
	case specs.MpolInterleave:
		mode = unix.MPOL_INTERLEAVE
	case specs.MpolLocal:
		mode = unix.MPOL_LOCAL
	case specs.MpolPreferredMany:
		mode = unix.MPOL_PREFERRED_MANY
	case specs.MpolWeightedInterleave:
		mode = unix.MPOL_WEIGHTED_INTERLEAVE
	}
	for _, f := range m.Flags {
		switch f {
		case specs.MpolFStaticNodes:
			mode |= unix.MPOL_F_STATIC_NODES
		case specs.MpolFRelativeNodes:
			mode |= unix.MPOL_F_RELATIVE_NODES
		case specs.MpolFNumaBalancing:
			mode |= unix.MPOL_F_NUMA_BALANCING
		}
	}
	nodes, bits := launch.Int(0), 0
	if m.Nodes != "" {
		nodes, bits = p.numbers(m.Nodes)
	}
	p.Doing("set linux.memoryPolicy", string(m.Mode)+" "+m.Nodes)
	// The kernel takes one bit less than it is told.
	p.Call("set_mempolicy", unix.SYS_SET_MEMPOLICY, launch.Hex(uint64(mode)), nodes, launch.Int(bits+1))
}

// numbers lays out the mask of a list of CPUs or nodes, which has been checked.
func (p *planner) numbers(list string) (mask launch.Arg, bits int) {
	words, _ := ocispec.ParseList(list)
	mem, arg := p.Mem(8 * len(words))
	for i, w := range words {
		binary.NativeEndian.PutUint64(mem[8*i:], w)
	}
	return arg, 64 * len(words)
}

// affinity binds the process to a list of CPUs; to all of them when the list is empty, which the
// kernel cuts down to the cpuset of the cgroup.
func (p *planner) affinity(cpus string) {
	var mask launch.Arg
	bits := ocispec.MaxListID
	if cpus != "" {
		p.Doing("set process.execCPUAffinity", cpus)
		mask, _ = p.numbers(cpus)
	} else {
		p.Doing("reset", "the CPU affinity")
		var mem []byte
		mem, mask = p.Mem(bits / 8)
		for i := range mem {
			mem[i] = 0xff
		}
	}
	p.Call("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, launch.Int(0), launch.Int(bits/8), mask)
}

// execAffinity joins the cgroups, with process.execCPUAffinity before and after (config.md:
// initial counts until the process is in its cgroup, final from then on). Without any the
// process gets what its cgroup allows, whatever the runtime was bound to, as in runc 1.3.
func (p *planner) execAffinity(a *specs.CPUAffinity, cgroups []string) {
	if a != nil && a.Initial != "" {
		p.affinity(a.Initial)
	}
	p.joinCgroups(cgroups)
	if a == nil || a.Initial == "" || a.Final != "" {
		final := ""
		if a != nil {
			final = a.Final
		}
		p.affinity(final)
	}
}

// joinExec plans the beginning of an exec process: its cgroups, and what it gets from the host's
// procfs before it leaves that.
func (p *planner) joinExec(pr, init *specs.Process, cgroups []string) {
	p.name("keel:[EXEC]")
	p.execAffinity(pr.ExecCPUAffinity, cgroups)
	if adj := execOOMScore(pr, init); !keepsOOMScore(adj) {
		p.oomScoreAdj(*adj)
	}
}

// execOOMScore is the OOM score of an exec process: its own or the container's.
func execOOMScore(pr, init *specs.Process) *int { return cmp.Or(pr.OOMScoreAdj, init.OOMScoreAdj) }
