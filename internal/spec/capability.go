package spec

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultCaps are Podman's 11: Docker's 14 without AUDIT_WRITE, MKNOD and NET_RAW. Ping works
// without NET_RAW by net.ipv4.ping_group_range, PAM without AUDIT_WRITE by the seccomp profile.
func defaultCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
	}
}

// dockerCaps are those of dockerd, in its order.
func dockerCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

// allCaps are those that Linux has, by number.
func allCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
		"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
		"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
		"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
		"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
		"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
	}
}

const everyCap = "ALL"

// NormalizeCaps writes capabilities as the kernel's headers do; "ALL" stays. available are those
// that hulld can give away.
func NormalizeCaps(available, caps []string) ([]string, error) {
	var out []string
	for _, c := range caps {
		c = strings.ToUpper(c)
		if c != everyCap {
			if !strings.HasPrefix(c, "CAP_") {
				c = "CAP_" + c
			}
			if !slices.Contains(allCaps(), c) {
				return nil, invalid(fmt.Sprintf("unknown capability: %q", c))
			}
			if !slices.Contains(available, c) {
				return nil, invalid(fmt.Sprintf("capability not supported by your kernel or not available in the current environment: %q", c))
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// Capabilities are those of a container: basics, changed by what is added and dropped. A dropped
// ALL leaves what is added, an added ALL what is not dropped.
func Capabilities(available, basics, add, drop []string, privileged bool) ([]string, error) {
	if privileged {
		return slices.Clone(available), nil
	}
	add, err := NormalizeCaps(available, add)
	if err != nil {
		return nil, err
	}
	if drop, err = NormalizeCaps(available, drop); err != nil {
		return nil, err
	}
	var out []string
	give := func(caps []string) {
		for _, c := range caps {
			if c != everyCap && slices.Contains(available, c) && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	switch {
	case slices.Contains(add, everyCap):
		basics = available
	case slices.Contains(drop, everyCap):
		basics = nil
	}
	give(slices.DeleteFunc(slices.Clone(basics), func(c string) bool { return slices.Contains(drop, c) }))
	if !slices.Contains(add, everyCap) {
		give(add)
	}
	return out, nil
}

// capabilitySets are the sets of a user's process. Inheritable and ambient stay empty (CVE-2022-24769,
// SECURITY.md R6). A user other than root starts with none, and can get those of the bounding set from
// a file alone (CVE-2016-8867).
func capabilitySets(caps []string, uid uint32) *specs.LinuxCapabilities {
	if caps == nil {
		caps = []string{}
	}
	own := caps
	if uid != 0 {
		own = []string{}
	}
	return &specs.LinuxCapabilities{Bounding: caps, Effective: own, Permitted: own}
}
