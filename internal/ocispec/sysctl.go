package ocispec

import (
	"strings"

	"golang.org/x/sys/unix"
)

// SysctlPath is the path below /proc/sys of a key of linux.sysctl. As in sysctl.d(5), the first separator decides: a key
// with dots may have slashes for the dots within a name, and the other way round:
//
//	net.ipv4.conf.eth0/100.forwarding
//	net/ipv4/conf/eth0.100/forwarding
//
// both give the latter. ok is false for a key that is not a plain path: an empty, "." or ".." component, a control
// character.
func SysctlPath(key string) (path string, ok bool) {
	path = key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		path = strings.Map(func(c rune) rune {
			switch c {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return c
		}, key)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	return path, strings.IndexFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }) < 0
}

// sysctl checks one entry of linux.sysctl: it must belong to a namespace of the container's own (SECURITY.md R22). Whether
// a network namespace to join is the host's is the runtime's to check.
func (v *validator) sysctl(key, value string) {
	field := keyed("linux.sysctl", key)
	path, ok := SysctlPath(key)
	if !ok {
		v.refuse(field, "not a name of a sysctl")
		return
	}
	switch {
	case strings.HasPrefix(path, "net/"):
		if !v.has(unix.CLONE_NEWNET) {
			v.refuse(field, "needs a network namespace: it would be the host's")
		}
	case path == "kernel/hostname":
		v.refuse(field, "use the field hostname")
	case path == "kernel/domainname":
		if !v.has(unix.CLONE_NEWUTS) {
			v.refuse(field, "needs a uts namespace: it would be the host's")
		}
	case ipcSysctl(path):
		if !v.has(unix.CLONE_NEWIPC) {
			v.refuse(field, "needs an ipc namespace: it would be the host's")
		}
	default:
		v.refuse(field, "does not belong to a namespace: it would be the host's")
	}
	v.sysctlValue(field, value)
}

// ipcSysctl says whether a sysctl belongs to IPC namespaces (ipc_namespaces(7)).
func ipcSysctl(path string) bool {
	name, ok := strings.CutPrefix(path, "kernel/")
	if !ok {
		return strings.HasPrefix(path, "fs/mqueue/")
	}
	return name == "sem" || (strings.HasPrefix(name, "msg") || strings.HasPrefix(name, "shm")) && !strings.Contains(name, "/")
}

// sysctlValue refuses values that would be more than one value somewhere. We write a value whole into one file, so a
// plus sign cannot begin another sysctl here, as it did in CRI-O's command line (CVE-2022-0811). But the value can pass
// through other hands, hooks and annotations, and a value of that form has no honest use.
func (v *validator) sysctlValue(field, value string) {
	if strings.ContainsAny(value, "\x00\n") {
		v.refuse(field, "the value has more than one line")
	}
	if _, second, plus := strings.Cut(value, "+"); plus && strings.Contains(second, "=") {
		v.refuse(field, "the value "+quote(value)+" looks like two sysctls")
	}
}
