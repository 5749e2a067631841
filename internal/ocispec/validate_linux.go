package ocispec

import (
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (v *validator) linux(c *Config) {
	l := c.Linux
	v.namespaceList(l.Namespaces)
	v.userNamespace(c)
	v.timeOffsets(l)
	for _, key := range sortedKeys(l.Sysctl) {
		v.sysctl(key, l.Sysctl[key])
	}
	v.devices(l.Devices)
	v.netDevices(l)
	switch l.RootfsPropagation {
	case "", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable":
	default:
		v.refuse("linux.rootfsPropagation", "unknown propagation "+quote(l.RootfsPropagation))
	}
	v.hidden("linux.maskedPaths", l.MaskedPaths)
	v.hidden("linux.readonlyPaths", l.ReadonlyPaths)
	v.label("linux.mountLabel", l.MountLabel)
	v.intelRdt(l.IntelRdt)
	v.memoryPolicy(l.MemoryPolicy)
	if p := l.Personality; p != nil {
		if p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32 {
			v.refuse("linux.personality.domain", "unknown domain "+quote(string(p.Domain))+", want LINUX or LINUX32")
		}
		if len(p.Flags) > 0 {
			v.refuse("linux.personality.flags", "the specification knows none")
		}
	}
}

// sortedKeys makes the first error the same one each time.
func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (v *validator) namespaceList(list []specs.LinuxNamespace) {
	var seen uint64
	for i, n := range list {
		flag := NamespaceFlag(n.Type)
		switch {
		case flag == 0:
			v.refuse(at("linux.namespaces", i)+".type", "unknown namespace "+quote(string(n.Type)))
		case seen&flag != 0:
			v.refuse(at("linux.namespaces", i)+".type", quote(string(n.Type))+" is there twice")
		case n.Path != "":
			v.absolute(at("linux.namespaces", i)+".path", n.Path)
		}
		seen |= flag
	}
}

// hidden checks maskedPaths and readonlyPaths.
func (v *validator) hidden(field string, paths []string) {
	if len(paths) > 0 && !v.has(unix.CLONE_NEWNS) {
		v.refuse(field, "needs a mount namespace: it would hide the host's files")
	}
	for i, p := range paths {
		v.absolute(at(field, i), p)
	}
}

// userNamespace checks the maps of a new user namespace, and that the process's ids are in them. The maps of a
// namespace to join are its own; that those in the configuration, which containerd and CRI-O repeat, agree with them
// is the runtime's to check.
func (v *validator) userNamespace(c *Config) {
	l := c.Linux
	v.mappings("linux.uidMappings", l.UIDMappings)
	v.mappings("linux.gidMappings", l.GIDMappings)
	if !v.has(unix.CLONE_NEWUSER) {
		if len(l.UIDMappings) > 0 {
			v.refuse("linux.uidMappings", "there is no user namespace to map ids in")
		}
		if len(l.GIDMappings) > 0 {
			v.refuse("linux.gidMappings", "there is no user namespace to map ids in")
		}
		return
	}
	if pathOf(l, specs.UserNamespace) != "" {
		return
	}
	for _, m := range [...]struct {
		field string
		list  []specs.LinuxIDMapping
	}{{"linux.uidMappings", l.UIDMappings}, {"linux.gidMappings", l.GIDMappings}} {
		switch {
		case len(m.list) == 0:
			v.refuse(m.field, "missing: a new user namespace needs them")
		case !mapped(m.list, 0):
			v.refuse(m.field, "0 is not mapped: root in the container is who sets it up")
		}
	}
	if c.Process == nil {
		return
	}
	u := &c.Process.User
	if !mapped(l.UIDMappings, u.UID) {
		v.refuse("process.user.uid", strconv.FormatUint(uint64(u.UID), 10)+" is not mapped by linux.uidMappings")
	}
	if !mapped(l.GIDMappings, u.GID) {
		v.refuse("process.user.gid", strconv.FormatUint(uint64(u.GID), 10)+" is not mapped by linux.gidMappings")
	}
	for i, g := range u.AdditionalGids {
		if !mapped(l.GIDMappings, g) {
			v.refuse(at("process.user.additionalGids", i), strconv.FormatUint(uint64(g), 10)+" is not mapped by linux.gidMappings")
		}
	}
}

// mapped says whether an id of the container is mapped.
func mapped(list []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(list, func(m specs.LinuxIDMapping) bool {
		return id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size)
	})
}

// maxMappings is UID_GID_MAP_MAX_EXTENTS. A list of any length once overflowed a 16-bit length on its way through runc
// (CVE-2021-43784).
const maxMappings = 340

// mappings checks what the kernel demands of uid_map and gid_map (user_namespaces(7)): 4294967295 is no id, so no range
// reaches it, and ranges do not overlap on either side.
func (v *validator) mappings(field string, list []specs.LinuxIDMapping) {
	if len(list) > maxMappings {
		v.refuse(field, strconv.Itoa(len(list))+" entries, the kernel takes "+strconv.Itoa(maxMappings))
		return
	}
	// All of them are one write of less than a page.
	text := 0
	for _, m := range list {
		text += digits(m.ContainerID) + digits(m.HostID) + digits(m.Size) + len("  \n")
	}
	if page := unix.Getpagesize(); text >= page {
		v.refuse(field, strconv.Itoa(text)+" bytes of text, the kernel takes less than a page of "+strconv.Itoa(page))
	}
	for i, m := range list {
		switch {
		case m.Size == 0:
			v.refuse(at(field, i)+".size", "must not be 0")
		case uint64(m.ContainerID)+uint64(m.Size) > math.MaxUint32:
			v.refuse(at(field, i)+".containerID", "the range ends beyond 4294967294, the greatest id")
		case uint64(m.HostID)+uint64(m.Size) > math.MaxUint32:
			v.refuse(at(field, i)+".hostID", "the range ends beyond 4294967294, the greatest id")
		}
		for k, o := range list[:i] {
			if overlap(m.ContainerID, m.Size, o.ContainerID, o.Size) || overlap(m.HostID, m.Size, o.HostID, o.Size) {
				v.refuse(at(field, i), "overlaps with entry "+strconv.Itoa(k))
			}
		}
	}
}

func digits(n uint32) int {
	d := 1
	for ; n > 9; n /= 10 {
		d++
	}
	return d
}

func overlap(a, sizeA, b, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// timeOffsets checks linux.timeOffsets (time_namespaces(7)).
func (v *validator) timeOffsets(l *specs.Linux) {
	if len(l.TimeOffsets) == 0 {
		return
	}
	switch {
	case !v.has(unix.CLONE_NEWTIME):
		v.refuse("linux.timeOffsets", "there is no time namespace to set them in")
	case pathOf(l, specs.TimeNamespace) != "":
		v.refuse("linux.timeOffsets", "cannot be set in a time namespace that exists already")
	}
	for _, clock := range sortedKeys(l.TimeOffsets) {
		if clock != "monotonic" && clock != "boottime" {
			v.refuse(keyed("linux.timeOffsets", clock), "unknown clock, want monotonic or boottime")
		}
		if l.TimeOffsets[clock].Nanosecs > 999_999_999 {
			v.refuse("linux.timeOffsets."+clock+".nanosecs", "greater than 999999999")
		}
	}
}

// netDevices checks linux.netDevices (config-linux.md, Network devices).
func (v *validator) netDevices(l *specs.Linux) {
	if len(l.NetDevices) > 0 && !v.has(unix.CLONE_NEWNET) {
		v.refuse("linux.netDevices", "there is no network namespace to move them to")
	}
	var inside []string
	for _, host := range sortedKeys(l.NetDevices) {
		field := keyed("linux.netDevices", host)
		if !interfaceName(host, false) {
			v.refuse(field, "not a name of a network device")
		}
		name := l.NetDevices[host].Name
		if name == "" {
			name = host
		}
		if !interfaceName(name, true) {
			v.refuse(field+".name", quote(name)+" is not a name of a network device")
		}
		if slices.Contains(inside, name) && !strings.Contains(name, "%d") {
			v.refuse(field+".name", quote(name)+" is another device's name as well")
		}
		inside = append(inside, name)
	}
}

// interfaceName is the kernel's dev_valid_name; pattern allows one %d, for which the kernel puts the next free number.
func interfaceName(s string, pattern bool) bool {
	if s == "" || len(s) >= unix.IFNAMSIZ || s == "." || s == ".." {
		return false
	}
	if pattern {
		s = strings.Replace(s, "%d", "0", 1)
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return c == '/' || c == ':' || c == '%' || c <= ' ' || c == 0x7f || c == 0xa0
	}) < 0
}

// intelRdt checks names and lines for resctrl (config-linux.md, IntelRdt).
func (v *validator) intelRdt(r *specs.LinuxIntelRdt) {
	if r == nil {
		return
	}
	// "/" alone is resctrl's root, the default class.
	if r.ClosID == "." || r.ClosID == ".." || r.ClosID != "/" && strings.ContainsAny(r.ClosID, "/\n") {
		v.refuse("linux.intelRdt.closID", quote(r.ClosID)+" is not a name of a directory")
	}
	for i, line := range r.Schemata {
		if strings.Contains(line, "\n") {
			v.refuse(at("linux.intelRdt.schemata", i), "more than one line")
		}
	}
	if strings.Contains(r.L3CacheSchema, "\n") {
		v.refuse("linux.intelRdt.l3CacheSchema", "more than one line")
	}
	if b := r.MemBwSchema; b != "" && (strings.Contains(b, "\n") || !strings.HasPrefix(b, "MB:")) {
		v.refuse("linux.intelRdt.memBwSchema", quote(b)+" is not one line that begins with MB:")
	}
}

// memoryPolicy checks what set_mempolicy(2) would refuse.
func (v *validator) memoryPolicy(p *specs.LinuxMemoryPolicy) {
	if p == nil {
		return
	}
	var static, relative, balancing bool
	for i, f := range p.Flags {
		switch f {
		case specs.MpolFStaticNodes:
			static = true
		case specs.MpolFRelativeNodes:
			relative = true
		case specs.MpolFNumaBalancing:
			balancing = true
		default:
			v.refuse(at("linux.memoryPolicy.flags", i), "unknown flag "+quote(string(f)))
		}
	}
	mask, err := ParseList(p.Nodes)
	if err != nil {
		v.refuse("linux.memoryPolicy.nodes", err.Error())
	}
	none := mask == [len(mask)]uint64{}
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if !none {
			v.refuse("linux.memoryPolicy.nodes", "must be empty for "+string(p.Mode))
		}
		if static || relative {
			v.refuse("linux.memoryPolicy.flags", "say how to read nodes, and "+string(p.Mode)+" has none")
		}
	case specs.MpolPreferred:
		if none && (static || relative) {
			v.refuse("linux.memoryPolicy.nodes", "must not be empty with flags that say how to read it")
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferredMany:
		if none {
			v.refuse("linux.memoryPolicy.nodes", "must not be empty for "+string(p.Mode))
		}
	case "":
		v.refuse("linux.memoryPolicy.mode", "missing")
	default:
		v.refuse("linux.memoryPolicy.mode", "unknown mode "+quote(string(p.Mode)))
	}
	if static && relative {
		v.refuse("linux.memoryPolicy.flags", "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other")
	}
	if balancing && p.Mode != specs.MpolBind && p.Mode != specs.MpolPreferredMany {
		v.refuse("linux.memoryPolicy.flags", "MPOL_F_NUMA_BALANCING is only for MPOL_BIND and MPOL_PREFERRED_MANY")
	}
}
