package ociruntime

import (
	"strings"

	"golang.org/x/sys/unix"
)

// mountOptions is mounts[].options, sorted by what they ask for.
type mountOptions struct {
	set, clear       uint64 // MOUNT_ATTR_* of this mount
	recSet, recClear uint64 // MOUNT_ATTR_* of this mount and all below it (r-prefixed)
	propagation      uint64 // MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE; 0: not asked for
	recPropagation   bool
	bind, rbind      bool
	copyUp           bool
	data             []string // for the file system: "size=64k", "ro"
}

// attr maps an option to the attribute that it sets or, with no true, clears.
func attr(o string) (set, clear uint64, ok bool) {
	switch o {
	case "ro":
		return unix.MOUNT_ATTR_RDONLY, 0, true
	case "rw":
		return 0, unix.MOUNT_ATTR_RDONLY, true
	case "nosuid":
		return unix.MOUNT_ATTR_NOSUID, 0, true
	case "suid":
		return 0, unix.MOUNT_ATTR_NOSUID, true
	case "nodev":
		return unix.MOUNT_ATTR_NODEV, 0, true
	case "dev":
		return 0, unix.MOUNT_ATTR_NODEV, true
	case "noexec":
		return unix.MOUNT_ATTR_NOEXEC, 0, true
	case "exec":
		return 0, unix.MOUNT_ATTR_NOEXEC, true
	case "nodiratime":
		return unix.MOUNT_ATTR_NODIRATIME, 0, true
	case "diratime":
		return 0, unix.MOUNT_ATTR_NODIRATIME, true
	case "nosymfollow":
		return unix.MOUNT_ATTR_NOSYMFOLLOW, 0, true
	case "symfollow":
		return 0, unix.MOUNT_ATTR_NOSYMFOLLOW, true
	case "noatime":
		return unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME, true
	case "strictatime":
		return unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME, true
	case "relatime", "atime", "norelatime", "nostrictatime":
		return 0, unix.MOUNT_ATTR__ATIME, true
	}
	return 0, 0, false
}

func propagation(o string) (flag uint64, rec, ok bool) {
	rec = len(o) > 1 && o[0] == 'r'
	switch strings.TrimPrefix(o, "r") {
	case "private":
		return unix.MS_PRIVATE, rec, true
	case "shared":
		return unix.MS_SHARED, rec, true
	case "slave":
		return unix.MS_SLAVE, rec, true
	case "unbindable":
		return unix.MS_UNBINDABLE, rec, true
	}
	return 0, false, false
}

func parseMountOptions(list []string) (m mountOptions) {
	for _, o := range list {
		if s, c, ok := attr(o); ok {
			m.set, m.clear = m.set&^c|s, m.clear&^s|c
			continue
		}
		if f, rec, ok := propagation(o); ok {
			m.propagation, m.recPropagation = f, rec
			continue
		}
		if s, c, ok := attr(strings.TrimPrefix(o, "r")); ok {
			m.recSet, m.recClear = m.recSet&^c|s, m.recClear&^s|c
			continue
		}
		switch o {
		case "bind":
			m.bind = true
		case "rbind":
			m.bind, m.rbind = true, true
		case "tmpcopyup":
			m.copyUp = true
		case "defaults", "remount", "acl", "noacl", "loud", "silent", "nomand", "mand", "iversion", "noiversion", "nolazytime":
		default:
			m.data = append(m.data, o)
		}
	}
	return m
}

// MountOptionNames are the options that [parseMountOptions] understands by itself; others go
// to the file system.
func MountOptionNames() []string {
	return []string{"acl", "atime", "bind", "defaults", "dev", "diratime", "exec", "iversion", "loud", "mand", "noacl", "noatime", "nodev", "nodiratime",
		"noexec", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev",
		"rdiratime", "relatime", "remount", "rexec", "rnoatime", "rnodev", "rnodiratime", "rnoexec", "rnosuid", "rnosymfollow", "ro", "rprivate",
		"rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw", "shared", "silent", "slave",
		"strictatime", "suid", "symfollow", "tmpcopyup", "unbindable"}
}
