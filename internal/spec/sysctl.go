package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sysctls sets the user's and those that make ping and low ports work without capabilities.
func (b *builder) sysctls() error {
	set := make(map[string]string)
	h := b.Host
	if (h.NetworkMode.IsPrivate() || b.Config.NetworkDisabled) && b.Namespaces.Net == "" {
		if b.Facts.PingGroupRange {
			last := uint32(2147483647)
			if b.IDs != nil {
				last = b.IDs.Size - 1 // only mapped groups can be named
			}
			set["net.ipv4.ping_group_range"] = fmt.Sprintf("0 %d", last)
		}
		if b.Facts.UnprivilegedPortStart {
			set["net.ipv4.ip_unprivileged_port_start"] = "0"
		}
	}
	maps.Copy(set, h.Sysctls)
	if len(set) > 0 {
		b.spec.Linux.Sysctl = set
	}
	return nil
}

// checkSysctls refuses parameters of the whole host, and values that a runtime could take for more
// than one (CVE-2022-0811, SECURITY.md R22).
func checkSysctls(sysctls map[string]string, hostNet, hostIPC, hostUTS bool) error {
	for _, key := range slices.Sorted(maps.Keys(sysctls)) {
		name := strings.ReplaceAll(key, "/", ".")
		for _, part := range strings.Split(name, ".") {
			if part == "" || !plain(part, "_-") {
				return invalid(fmt.Sprintf("invalid sysctl %q", key))
			}
		}
		if v := sysctls[key]; len(v) > 4096 || !plain(v, " \t._:,-") {
			return invalid(fmt.Sprintf("invalid value %q of sysctl %q: it may have letters, digits, blanks and . _ : , - only", v, key))
		}
		switch {
		case strings.HasPrefix(name, "net."):
			if hostNet {
				return invalid(fmt.Sprintf("sysctl %q not allowed in host network namespace", key))
			}
		case strings.HasPrefix(name, "fs.mqueue."), ipcSysctl(name):
			if hostIPC {
				return invalid(fmt.Sprintf("sysctl %q is not allowed in the hosts ipc namespace", key))
			}
		case name == "kernel.domainname":
			if hostUTS {
				return invalid(fmt.Sprintf("sysctl %q is not allowed in the hosts UTS namespace", key))
			}
		case name == "kernel.hostname":
			return invalid(fmt.Sprintf("sysctl %q is not allowed as it conflicts with the OCI %q field", key, "hostname"))
		default:
			return invalid(fmt.Sprintf("sysctl %q is not in a separate kernel namespace", key))
		}
	}
	return nil
}

func ipcSysctl(name string) bool {
	return slices.Contains([]string{
		"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
		"kernel.shmmni", "kernel.shm_rmid_forced",
	}, name)
}

// plain says whether s has only ASCII letters, digits, and characters of more.
func plain(s, more string) bool {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(more, c)) {
			return false
		}
	}
	return true
}
