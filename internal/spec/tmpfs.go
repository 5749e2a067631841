package spec

import (
	"fmt"
	"slices"
	"strings"
)

// tmpfsFlag groups options of which one holds: "exec" and "noexec" are the same flag. 0: no such
// option.
func tmpfsFlag(option string) int {
	groups := [...][]string{
		{"ro", "rw"}, {"suid", "nosuid"}, {"dev", "nodev"}, {"exec", "noexec"}, {"sync", "async"},
		{"dirsync"}, {"mand", "nomand"}, {"atime", "noatime"}, {"diratime", "nodiratime"},
		{"unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave"},
		{"relatime", "norelatime"}, {"strictatime", "nostrictatime"},
	}
	for i, g := range groups {
		if slices.Contains(g, option) {
			return i + 1
		}
	}
	return 0
}

// mergeTmpfs refuses options that do not go with tmpfs, and of those that contradict each other
// keeps the last one. It is moby/sys' mount.MergeTmpfsOptions without remount and bind, which would
// make something else of the mount.
func mergeTmpfs(options []string) ([]string, error) {
	var out []string
	flags, keys := make(map[int]bool), make(map[string]bool)
	for _, o := range slices.Backward(options) {
		if o == "defaults" {
			continue
		}
		if flag := tmpfsFlag(o); flag != 0 {
			if !flags[flag] {
				out = append(out, o)
				flags[flag] = true
			}
			continue
		}
		parts := strings.SplitN(o, "=", 2)
		if len(parts) != 2 || !slices.Contains([]string{"mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"}, parts[0]) {
			return nil, invalid(fmt.Sprintf("invalid tmpfs option %q", parts))
		}
		if !keys[parts[0]] {
			out = append(out, o)
			keys[parts[0]] = true
		}
	}
	slices.Reverse(out)
	return out, nil
}
