package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Values of linux/seccomp.h that x/sys/unix types as signed or lacks.
const (
	retKillThread  = uint32(unix.SECCOMP_RET_KILL_THREAD)
	retKillProcess = uint32(unix.SECCOMP_RET_KILL_PROCESS)
	retTrap        = uint32(unix.SECCOMP_RET_TRAP)
	retErrno       = uint32(unix.SECCOMP_RET_ERRNO)
	retNotify      = uint32(unix.SECCOMP_RET_USER_NOTIF)
	retTrace       = uint32(unix.SECCOMP_RET_TRACE)
	retLog         = uint32(unix.SECCOMP_RET_LOG)
	retAllow       = uint32(unix.SECCOMP_RET_ALLOW)
)

const (
	flagTsync  = "SECCOMP_FILTER_FLAG_TSYNC" // not in the runtime-spec, known to runc
	flagNotify = uint32(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	flagWait   = uint32(unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
)

var actions = [...]struct {
	name string
	ret  uint32
}{
	{"SCMP_ACT_ALLOW", retAllow},
	{"SCMP_ACT_ERRNO", retErrno},
	{"SCMP_ACT_KILL", retKillThread},
	{"SCMP_ACT_KILL_PROCESS", retKillProcess},
	{"SCMP_ACT_KILL_THREAD", retKillThread},
	{"SCMP_ACT_LOG", retLog},
	{"SCMP_ACT_NOTIFY", retNotify},
	{"SCMP_ACT_TRACE", retTrace},
	{"SCMP_ACT_TRAP", retTrap},
}

// op is a comparison of an argument with a value.
type op uint8

const (
	opEQ op = iota
	opNE
	opLT
	opLE
	opGE
	opGT
	opMasked // argument & mask == value
)

var operators = [...]struct {
	name string
	op   op
}{
	{"SCMP_CMP_EQ", opEQ},
	{"SCMP_CMP_GE", opGE},
	{"SCMP_CMP_GT", opGT},
	{"SCMP_CMP_LE", opLE},
	{"SCMP_CMP_LT", opLT},
	{"SCMP_CMP_MASKED_EQ", opMasked},
	{"SCMP_CMP_NE", opNE},
}

var flags = [...]struct {
	name string
	flag uint32 // 0: known and without effect
	bit  uint32 // the kernel's own bit, for the probe
}{
	{"SECCOMP_FILTER_FLAG_LOG", unix.SECCOMP_FILTER_FLAG_LOG, unix.SECCOMP_FILTER_FLAG_LOG},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	// The filter is set in a process with one thread, so there is nothing to synchronise; runc ignores it as well.
	{flagTsync, 0, unix.SECCOMP_FILTER_FLAG_TSYNC},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", flagWait, flagWait},
}

// KnownActions returns the names of all actions, sorted, for `keel features`.
func KnownActions() []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = a.name
	}
	return names
}

// KnownOperators returns the names of all comparisons, sorted, for `keel features`.
func KnownOperators() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = o.name
	}
	return names
}

// KnownArches returns the names that linux.seccomp.architectures may hold, sorted, for `keel features`. Compile
// generates code for those of them that it has a table for; see the package comment.
func KnownArches() []string {
	return slices.Clone(arches[:])
}

// KnownFlags returns the names that linux.seccomp.flags may hold, sorted, for `keel features`.
func KnownFlags() []string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = f.name
	}
	return names
}
