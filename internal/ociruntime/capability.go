package ociruntime

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// capNames are the capabilities by number (linux/capability.h), without CAP_.
var capNames = [...]string{"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO",
	"SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE"}

func lastCap() uint { return uint(len(capNames) - 1) }

type capabilities struct{ bounding, effective, permitted, inheritable, ambient uint64 }

// capSets turns names into sets. Names that this runtime does not know are left out, as in
// runc, and so is what the runtime itself does not hold: nobody can hand on what he lacks.
func capSets(c *specs.LinuxCapabilities) capabilities {
	if c == nil {
		return capabilities{}
	}
	held := ownBounding()
	set := func(names []string) (s uint64) {
		for _, n := range names {
			for i, known := range capNames {
				if n == "CAP_"+known {
					s |= 1 << i
				}
			}
		}
		return s & held
	}
	out := capabilities{set(c.Bounding), set(c.Effective), set(c.Permitted), set(c.Inheritable), set(c.Ambient)}
	out.ambient &= out.permitted & out.inheritable // the kernel's rule, capabilities(7); runc warns
	out.effective &= out.permitted
	return out
}

var rlimitNames = [...]string{"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
	"RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME"}

func rlimitNumber(name string) int {
	for i, n := range rlimitNames {
		if n == name {
			return i
		}
	}
	return -1
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// CapabilityNames are the capabilities that this runtime knows.
func CapabilityNames() []string {
	out := make([]string, 0, len(capNames))
	for _, n := range capNames {
		out = append(out, "CAP_"+n)
	}
	return out
}
