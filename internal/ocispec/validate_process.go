package ocispec

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// process checks a process; prefix is "process." or empty.
func (v *validator) process(prefix string, p *specs.Process) {
	v.absolute(prefix+"cwd", p.Cwd)
	switch {
	case len(p.Args) == 0:
		v.refuse(prefix+"args", "must not be empty: its first element names the program")
	case p.Args[0] == "":
		v.refuse(prefix+"args[0]", "must not be empty: it names the program")
	}
	// Decoded documents cannot have NUL bytes here, command lines and other callers of ValidateProcess could.
	for i, a := range p.Args {
		if strings.IndexByte(a, 0) >= 0 {
			v.refuse(at(prefix+"args", i), nulReason)
		}
	}
	if strings.IndexByte(p.Cwd, 0) >= 0 {
		v.refuse(prefix+"cwd", nulReason)
	}
	v.environment(prefix+"env", p.Env)
	if p.Terminal && p.ConsoleSize != nil && (p.ConsoleSize.Height > 65535 || p.ConsoleSize.Width > 65535) {
		v.refuse(prefix+"consoleSize", "larger than 65535, the most that a terminal can have")
	}
	v.user(prefix+"user.", &p.User)
	v.rlimits(prefix+"rlimits", p.Rlimits)
	v.capabilities(prefix+"capabilities.", p.Capabilities)
	if a := p.OOMScoreAdj; a != nil && (*a < -1000 || *a > 1000) {
		v.refuse(prefix+"oomScoreAdj", strconv.Itoa(*a)+" is outside -1000 to 1000")
	}
	v.label(prefix+"apparmorProfile", p.ApparmorProfile)
	v.label(prefix+"selinuxLabel", p.SelinuxLabel)
	v.scheduler(prefix+"scheduler.", p.Scheduler)
	if io := p.IOPriority; io != nil {
		switch io.Class {
		case specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE:
		default:
			v.refuse(prefix+"ioPriority.class", "unknown class "+quote(string(io.Class)))
		}
		if io.Priority < 0 || io.Priority > 7 {
			v.refuse(prefix+"ioPriority.priority", strconv.Itoa(io.Priority)+" is outside 0 to 7")
		}
	}
	if a := p.ExecCPUAffinity; a != nil {
		v.cpus(prefix+"execCPUAffinity.initial", a.Initial)
		v.cpus(prefix+"execCPUAffinity.final", a.Final)
	}
}

// invalidID is -1, which setuid(2) and chown(2) take for "leave as it is": a container that asks for it would keep root.
const invalidID = 1<<32 - 1

func (v *validator) user(prefix string, u *specs.User) {
	const reason = "4294967295 is no id: to the kernel it means none"
	if u.UID == invalidID {
		v.refuse(prefix+"uid", reason)
	}
	if u.GID == invalidID {
		v.refuse(prefix+"gid", reason)
	}
	if i := slices.Index(u.AdditionalGids, invalidID); i >= 0 {
		v.refuse(at(prefix+"additionalGids", i), reason)
	}
	if len(u.AdditionalGids) > 65536 { // NGROUPS_MAX
		v.refuse(prefix+"additionalGids", strconv.Itoa(len(u.AdditionalGids))+" groups, the kernel takes 65536")
	}
	if u.Umask != nil && *u.Umask > 0o777 {
		v.refuse(prefix+"umask", strconv.FormatUint(uint64(*u.Umask), 10)+" is greater than 511 (octal 777)")
	}
}

func (v *validator) cpus(field, list string) {
	if list == "" {
		return
	}
	mask, err := ParseList(list)
	switch {
	case err != nil:
		v.refuse(field, err.Error())
	case mask == [len(mask)]uint64{}:
		v.refuse(field, quote(list)+" names no CPU")
	}
}

// label checks a string that is written to a file of procfs whole.
func (v *validator) label(field, s string) {
	if strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) >= 0 {
		v.refuse(field, quote(s)+" contains a control character")
	}
}

func (v *validator) rlimits(field string, list []specs.POSIXRlimit) {
	var seen uint32
	for i, r := range list {
		n := RlimitNumber(r.Type)
		switch {
		case n < 0:
			v.refuse(at(field, i)+".type", "unknown limit "+quote(r.Type))
			return
		case seen&(1<<n) != 0:
			v.refuse(at(field, i)+".type", r.Type+" is there twice")
		case r.Soft > r.Hard:
			v.refuse(at(field, i)+".soft", "greater than the hard limit")
		}
		seen |= 1 << n
	}
}

// RlimitNumber is the resource of prlimit(2) that a name as RLIMIT_NOFILE stands for, -1 for an unknown one.
func RlimitNumber(name string) int {
	switch name {
	case "RLIMIT_CPU":
		return unix.RLIMIT_CPU
	case "RLIMIT_FSIZE":
		return unix.RLIMIT_FSIZE
	case "RLIMIT_DATA":
		return unix.RLIMIT_DATA
	case "RLIMIT_STACK":
		return unix.RLIMIT_STACK
	case "RLIMIT_CORE":
		return unix.RLIMIT_CORE
	case "RLIMIT_RSS":
		return unix.RLIMIT_RSS
	case "RLIMIT_NPROC":
		return unix.RLIMIT_NPROC
	case "RLIMIT_NOFILE":
		return unix.RLIMIT_NOFILE
	case "RLIMIT_MEMLOCK":
		return unix.RLIMIT_MEMLOCK
	case "RLIMIT_AS":
		return unix.RLIMIT_AS
	case "RLIMIT_LOCKS":
		return unix.RLIMIT_LOCKS
	case "RLIMIT_SIGPENDING":
		return unix.RLIMIT_SIGPENDING
	case "RLIMIT_MSGQUEUE":
		return unix.RLIMIT_MSGQUEUE
	case "RLIMIT_NICE":
		return unix.RLIMIT_NICE
	case "RLIMIT_RTPRIO":
		return unix.RLIMIT_RTPRIO
	case "RLIMIT_RTTIME":
		return unix.RLIMIT_RTTIME
	}
	return -1
}

// scheduler checks what sched_setattr(2) would refuse.
func (v *validator) scheduler(prefix string, s *specs.Scheduler) {
	if s == nil {
		return
	}
	realtime := false
	switch s.Policy {
	case specs.SchedFIFO, specs.SchedRR:
		realtime = true
	case specs.SchedOther, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline:
	case "":
		v.refuse(prefix+"policy", "missing")
	default:
		v.refuse(prefix+"policy", "unknown policy "+quote(string(s.Policy)))
	}
	if s.Nice < -20 || s.Nice > 19 {
		v.refuse(prefix+"nice", strconv.Itoa(int(s.Nice))+" is outside -20 to 19")
	}
	switch {
	case realtime && (s.Priority < 1 || s.Priority > 99):
		v.refuse(prefix+"priority", strconv.Itoa(int(s.Priority))+" is outside 1 to 99")
	case !realtime && s.Priority != 0:
		v.refuse(prefix+"priority", "only for SCHED_FIFO and SCHED_RR")
	}
	switch {
	case s.Policy != specs.SchedDeadline && (s.Runtime != 0 || s.Deadline != 0 || s.Period != 0):
		v.refuse(prefix+"runtime", "runtime, deadline and period are only for SCHED_DEADLINE")
	case s.Policy == specs.SchedDeadline && (s.Runtime > s.Deadline || s.Period != 0 && s.Deadline > s.Period):
		v.refuse(prefix+"runtime", "want runtime <= deadline <= period")
	}
	for i, f := range s.Flags {
		switch f {
		case specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
			specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax:
		default:
			v.refuse(at(prefix+"flags", i), "unknown flag "+quote(string(f)))
		}
	}
}

// capabilityNames are the capabilities by number (linux/capability.h).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// CapabilityNumber is the number of a capability as CAP_CHOWN, -1 for an unknown one.
func CapabilityNumber(name string) int {
	short, ok := strings.CutPrefix(name, "CAP_")
	if !ok {
		return -1
	}
	return slices.Index(capabilityNames[:], short)
}

// KnownCapabilities are the names of all capabilities, in the order of their numbers.
func KnownCapabilities() []string {
	list := make([]string, len(capabilityNames))
	for i, n := range capabilityNames {
		list[i] = "CAP_" + n
	}
	return list
}

// capabilities warns of names that no kernel knows: they grant nothing, and the specification wants a warning
// (config.md: values that cannot be mapped to a kernel interface MUST be logged). Whether ambient capabilities have
// what they need is the kernel's to say, and the runtime's to warn of.
func (v *validator) capabilities(prefix string, c *specs.LinuxCapabilities) {
	if c == nil {
		return
	}
	for _, set := range [...]struct {
		name string
		list []string
	}{
		{"bounding", c.Bounding}, {"effective", c.Effective}, {"inheritable", c.Inheritable},
		{"permitted", c.Permitted}, {"ambient", c.Ambient},
	} {
		for i, name := range set.list {
			if CapabilityNumber(name) < 0 {
				v.warn(at(prefix+set.name, i), "ignoring unknown capability "+quote(name))
			}
		}
	}
}
