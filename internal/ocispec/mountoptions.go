package ocispec

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// MountOptions is mounts[].options, taken apart (config.md, Linux mount options). Of options that contradict each other
// the last one counts.
type MountOptions struct {
	// Flags are the MS_* flags that mount(2) is to set, Clear those that options such as "rw" or "suid" take away.
	// unix.MS_BIND, and MS_REC for "rbind", are among Flags.
	Flags, Clear uint64
	// Propagation are MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE, each perhaps with MS_REC, to apply in this
	// order: "shared" after "slave" makes a mount that is both.
	Propagation []uint64
	// RecSet and RecClear are MOUNT_ATTR_* for mount_setattr(2) with AT_RECURSIVE, from the options with an r in front.
	RecSet, RecClear uint64
	// IDMap asks for an id-mapped mount, RIDMap for one with all mounts below it.
	IDMap, RIDMap bool
	// TmpCopyUp: a tmpfs begins with a copy of what it hides (runc's extension).
	TmpCopyUp bool
	// CopySymlink, SrcNoFollow and DestNoFollow are crun's: a source that is a symbolic link is made anew in place of
	// mounted; a symbolic link itself is the source, or the target.
	CopySymlink, SrcNoFollow, DestNoFollow bool
	// Data are the remaining options in order: for the file system, as "size=64k".
	Data []string
}

// optionKind says what an option does with its value.
type optionKind uint8

const (
	optSet         optionKind = iota // Flags
	optClear                         // Clear
	optRecSet                        // RecSet
	optRecClear                      // RecClear
	optPropagation                   // Propagation
	optExtension                     // one of the ext constants
	optSystem                        // data for a file system with ACLs; there is no flag for it (runc issue 3738)
)

const (
	extCopyUp = iota
	extIDMap
	extRIDMap
	extCopySymlink
	extSrcNoFollow
	extDestNoFollow
)

type mountOption struct {
	name  string
	kind  optionKind
	value uint64
}

// mountOptions is sorted by name.
var mountOptions = [...]mountOption{
	{"acl", optSystem, 0},
	{"async", optClear, unix.MS_SYNCHRONOUS},
	{"atime", optClear, unix.MS_NOATIME},
	{"bind", optSet, unix.MS_BIND},
	{"copy-symlink", optExtension, extCopySymlink},
	{"defaults", optSet, 0},
	{"dest-nofollow", optExtension, extDestNoFollow},
	{"dev", optClear, unix.MS_NODEV},
	{"diratime", optClear, unix.MS_NODIRATIME},
	{"dirsync", optSet, unix.MS_DIRSYNC},
	{"exec", optClear, unix.MS_NOEXEC},
	{"idmap", optExtension, extIDMap},
	{"iversion", optSet, unix.MS_I_VERSION},
	{"lazytime", optSet, unix.MS_LAZYTIME},
	{"loud", optClear, unix.MS_SILENT},
	{"mand", optSet, unix.MS_MANDLOCK},
	{"noacl", optSystem, 0},
	{"noatime", optSet, unix.MS_NOATIME},
	{"nodev", optSet, unix.MS_NODEV},
	{"nodiratime", optSet, unix.MS_NODIRATIME},
	{"noexec", optSet, unix.MS_NOEXEC},
	{"noiversion", optClear, unix.MS_I_VERSION},
	{"nolazytime", optClear, unix.MS_LAZYTIME},
	{"nomand", optClear, unix.MS_MANDLOCK},
	{"norelatime", optClear, unix.MS_RELATIME},
	{"nostrictatime", optClear, unix.MS_STRICTATIME},
	{"nosuid", optSet, unix.MS_NOSUID},
	{"nosymfollow", optSet, unix.MS_NOSYMFOLLOW},
	{"private", optPropagation, unix.MS_PRIVATE},
	{"ratime", optRecClear, unix.MOUNT_ATTR_NOATIME},
	{"rbind", optSet, unix.MS_BIND | unix.MS_REC},
	{"rdev", optRecClear, unix.MOUNT_ATTR_NODEV},
	{"rdiratime", optRecClear, unix.MOUNT_ATTR_NODIRATIME},
	{"relatime", optSet, unix.MS_RELATIME},
	{"remount", optSet, unix.MS_REMOUNT},
	{"rexec", optRecClear, unix.MOUNT_ATTR_NOEXEC},
	{"ridmap", optExtension, extRIDMap},
	{"rnoatime", optRecSet, unix.MOUNT_ATTR_NOATIME},
	{"rnodev", optRecSet, unix.MOUNT_ATTR_NODEV},
	{"rnodiratime", optRecSet, unix.MOUNT_ATTR_NODIRATIME},
	{"rnoexec", optRecSet, unix.MOUNT_ATTR_NOEXEC},
	{"rnorelatime", optRecClear, unix.MOUNT_ATTR_RELATIME},
	{"rnostrictatime", optRecClear, unix.MOUNT_ATTR_STRICTATIME},
	{"rnosuid", optRecSet, unix.MOUNT_ATTR_NOSUID},
	{"rnosymfollow", optRecSet, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"ro", optSet, unix.MS_RDONLY},
	{"rprivate", optPropagation, unix.MS_PRIVATE | unix.MS_REC},
	{"rrelatime", optRecSet, unix.MOUNT_ATTR_RELATIME},
	{"rro", optRecSet, unix.MOUNT_ATTR_RDONLY},
	{"rrw", optRecClear, unix.MOUNT_ATTR_RDONLY},
	{"rshared", optPropagation, unix.MS_SHARED | unix.MS_REC},
	{"rslave", optPropagation, unix.MS_SLAVE | unix.MS_REC},
	{"rstrictatime", optRecSet, unix.MOUNT_ATTR_STRICTATIME},
	{"rsuid", optRecClear, unix.MOUNT_ATTR_NOSUID},
	{"rsymfollow", optRecClear, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"runbindable", optPropagation, unix.MS_UNBINDABLE | unix.MS_REC},
	{"rw", optClear, unix.MS_RDONLY},
	{"shared", optPropagation, unix.MS_SHARED},
	{"silent", optSet, unix.MS_SILENT},
	{"slave", optPropagation, unix.MS_SLAVE},
	{"src-nofollow", optExtension, extSrcNoFollow},
	{"strictatime", optSet, unix.MS_STRICTATIME},
	{"suid", optClear, unix.MS_NOSUID},
	{"symfollow", optClear, unix.MS_NOSYMFOLLOW},
	{"sync", optSet, unix.MS_SYNCHRONOUS},
	{"tmpcopyup", optExtension, extCopyUp},
	{"unbindable", optPropagation, unix.MS_UNBINDABLE},
}

// KnownMountOptions are the names of all options with a meaning of their own, sorted: the mountOptions of `features`.
func KnownMountOptions() []string {
	list := make([]string, len(mountOptions))
	for i := range mountOptions {
		list[i] = mountOptions[i].name
	}
	return list
}

// ParseMountOptions takes mounts[].options apart. It takes any list: what it does not know is for the file system.
func ParseMountOptions(options []string) MountOptions {
	var m MountOptions
	for _, o := range options {
		i, found := slices.BinarySearchFunc(mountOptions[:], o, func(e mountOption, name string) int {
			return strings.Compare(e.name, name)
		})
		if !found {
			m.Data = append(m.Data, o)
			continue
		}
		switch e := &mountOptions[i]; e.kind {
		case optSet:
			m.Flags, m.Clear = m.Flags|e.value, m.Clear&^e.value
		case optClear:
			m.Flags, m.Clear = m.Flags&^e.value, m.Clear|e.value
		case optRecSet:
			m.recSet(e.value)
		case optRecClear:
			m.recClear(e.value)
		case optPropagation:
			m.Propagation = append(m.Propagation, e.value)
		case optSystem:
			m.Data = append(m.Data, o)
		case optExtension:
			m.extension(e.value)
		}
	}
	return m
}

// recSet sets an attribute. The access time attributes are one field with three values, not three bits; the kernel
// refuses to set one without clearing the field in the same call (mount_setattr(2)).
func (m *MountOptions) recSet(attr uint64) {
	if attr&unix.MOUNT_ATTR__ATIME == attr {
		m.RecSet = m.RecSet&^unix.MOUNT_ATTR__ATIME | attr
		m.RecClear |= unix.MOUNT_ATTR__ATIME
		return
	}
	m.RecSet, m.RecClear = m.RecSet|attr, m.RecClear&^attr
}

// recClear clears an attribute. "ratime" and "rnostrictatime" go back to the kernel's default, relatime; "rnorelatime"
// takes away what is no bit, and does nothing.
func (m *MountOptions) recClear(attr uint64) {
	m.RecSet &^= attr
	if attr&unix.MOUNT_ATTR__ATIME != 0 {
		attr = unix.MOUNT_ATTR__ATIME
	}
	m.RecClear |= attr
}

func (m *MountOptions) extension(e uint64) {
	switch e {
	case extCopyUp:
		m.TmpCopyUp = true
	case extIDMap:
		m.IDMap = true
	case extRIDMap:
		m.RIDMap = true
	case extCopySymlink:
		m.CopySymlink = true
	case extSrcNoFollow:
		m.SrcNoFollow = true
	case extDestNoFollow:
		m.DestNoFollow = true
	}
}

// Bind says whether the mount is a bind mount.
func (m *MountOptions) Bind() bool { return m.Flags&unix.MS_BIND != 0 }

// Attr is what Flags and Clear mean for the one mount, as MOUNT_ATTR_* for mount_setattr(2) and fsmount(2). Flags that
// belong to the file system, as "sync", are not among them: see [MountOptions.Super].
func (m *MountOptions) Attr() (set, clear uint64) {
	for _, f := range [...]struct{ ms, attr uint64 }{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV},
		{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
		{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
	} {
		switch {
		case m.Flags&f.ms != 0:
			set |= f.attr
		case m.Clear&f.ms != 0:
			clear |= f.attr
		}
	}
	const asked = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	const taken = unix.MS_NOATIME | unix.MS_STRICTATIME
	if m.Flags&asked == 0 && m.Clear&taken == 0 {
		return set, clear
	}
	// As mount(2) decides it: strictatime beats noatime, and relatime, the default, is what is left.
	clear |= unix.MOUNT_ATTR__ATIME
	switch {
	case m.Flags&unix.MS_STRICTATIME != 0:
		set |= unix.MOUNT_ATTR_STRICTATIME
	case m.Flags&unix.MS_NOATIME != 0:
		set |= unix.MOUNT_ATTR_NOATIME
	}
	return set, clear
}

// Super are the keys that Flags mean for a new file system, for fsconfig(2) with FSCONFIG_SET_FLAG: "ro", "sync",
// "dirsync", "mand" and "lazytime". "iversion" and "silent" have no key there and no effect.
func (m *MountOptions) Super() []string {
	var keys []string
	for _, f := range [...]struct {
		ms  uint64
		key string
	}{
		{unix.MS_RDONLY, "ro"}, {unix.MS_SYNCHRONOUS, "sync"}, {unix.MS_DIRSYNC, "dirsync"},
		{unix.MS_MANDLOCK, "mand"}, {unix.MS_LAZYTIME, "lazytime"},
	} {
		if m.Flags&f.ms != 0 {
			keys = append(keys, f.key)
		}
	}
	return keys
}
