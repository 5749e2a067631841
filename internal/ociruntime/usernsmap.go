package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idMaps are the id mappings of a user namespace, and whether its processes may call
// setgroups(2) (user_namespaces(7)).
type idMaps struct {
	uids, gids []specs.LinuxIDMapping
	setgroups  bool
}

// caller is what the process that makes containers may do.
type caller struct {
	uid, gid int
	caps     uint64 // effective, in its own user namespace
	userns   bool   // not in the initial user namespace
	groups   bool   // may call setgroups(2) if it has CAP_SETGID
}

func (c *caller) has(capability uint) bool { return c.caps&(1<<capability) != 0 }

func thisCaller() caller {
	c := caller{uid: os.Geteuid(), gid: os.Getegid(), caps: ownEffective(), groups: true}
	initial, err := InitialUserNamespace()
	if c.userns = err != nil || !initial; c.userns {
		c.groups = maySetgroups("self")
	}
	return c
}

// InitialUserNamespace tells whether this program is in the host's first user namespace. Its
// inode is a constant of the kernel, PROC_USER_INIT_INO.
func InitialUserNamespace() (bool, error) {
	b := make([]byte, 64)
	n, err := unix.Readlink("/proc/self/ns/user", b)
	return err == nil && string(b[:n]) == "user:[4026531837]", err
}

// maySetgroups reads /proc/PID/setgroups.
func maySetgroups(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/setgroups")
	return err != nil || strings.TrimSpace(string(b)) != "deny"
}

// newMaps says what the user namespace that config.json asks for will be like. An ordinary user
// maps his own group without any help, but only if setgroups(2) is denied there for ever: it
// would let him leave groups that are kept out of something. newgidmap, which reads
// /etc/subgid, needs no such promise.
func (c *caller) newMaps(l *specs.Linux) *idMaps {
	return &idMaps{l.UIDMappings, l.GIDMappings, c.groups && (c.has(unix.CAP_SETGID) || !c.own(l.GIDMappings, c.gid))}
}

// own says whether a mapping is of the caller's own id alone, which needs no rights.
func (c *caller) own(m []specs.LinuxIDMapping, id int) bool {
	return len(m) == 1 && m[0].Size == 1 && int(m[0].HostID) == id
}

// mapIDs writes the maps of the new user namespace of a process that is not dumped to another
// owner yet, by newuidmap(1) and newgidmap(1) where the caller has no right to write them.
func (c *caller) mapIDs(pid int, l *specs.Linux) error {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if c.groups && !c.newMaps(l).setgroups {
		if err := os.WriteFile(dir+"setgroups", []byte("deny"), 0); err != nil {
			return fmt.Errorf("deny setgroups in the user namespace: %w", err)
		}
	}
	for _, m := range [...]struct {
		field, file, tool string
		list              []specs.LinuxIDMapping
		direct            bool
	}{
		{"linux.uidMappings", "uid_map", "newuidmap", l.UIDMappings, c.has(unix.CAP_SETUID) || c.own(l.UIDMappings, c.uid)},
		{"linux.gidMappings", "gid_map", "newgidmap", l.GIDMappings, c.has(unix.CAP_SETGID) || c.own(l.GIDMappings, c.gid)},
	} {
		var err error
		if m.direct {
			err = os.WriteFile(dir+m.file, mapText(m.list), 0)
		} else {
			err = runTool(m.tool, append([]string{strconv.Itoa(pid)}, strings.Fields(string(mapText(m.list)))...)...)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				err = fmt.Errorf("%w (see /etc/subuid and /etc/subgid)", err)
			} else if err != nil {
				err = fmt.Errorf("an ordinary user needs %s (package uidmap) for more than his own id, and it is not in $PATH", m.tool)
			}
		}
		if err != nil {
			return fmt.Errorf("map the ids of the user namespace (%s): %w", m.field, err)
		}
	}
	return nil
}

func mapText(list []specs.LinuxIDMapping) (b []byte) {
	for _, e := range list {
		b = fmt.Appendf(b, "%d %d %d\n", e.ContainerID, e.HostID, e.Size)
	}
	return b
}

// readMaps reads the maps of a process's user namespace, as this process sees them.
func readMaps(pid int) (*idMaps, error) {
	name := strconv.Itoa(pid)
	m := &idMaps{setgroups: maySetgroups(name)}
	for file, list := range map[string]*[]specs.LinuxIDMapping{"uid_map": &m.uids, "gid_map": &m.gids} {
		b, err := os.ReadFile("/proc/" + name + "/" + file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			var e specs.LinuxIDMapping
			if _, err := fmt.Sscan(line, &e.ContainerID, &e.HostID, &e.Size); err != nil {
				return nil, fmt.Errorf("/proc/%s/%s: %q: %w", name, file, line, err)
			}
			*list = append(*list, e)
		}
	}
	return m, nil
}

// inside is what an id of the host is in the user namespace.
func inside(list []specs.LinuxIDMapping, host uint32) (id uint32, ok bool) {
	for _, m := range list {
		if host >= m.HostID && uint64(host) < uint64(m.HostID)+uint64(m.Size) {
			return host - m.HostID + m.ContainerID, true
		}
	}
	return 0, false
}

// outside is what an id of the user namespace is on the host.
func outside(list []specs.LinuxIDMapping, id uint32) (host uint32, ok bool) {
	for _, m := range list {
		if id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size) {
			return id - m.ContainerID + m.HostID, true
		}
	}
	return 0, false
}

// mapped says whether an id of the user namespace is mapped.
func mapped(list []specs.LinuxIDMapping, id uint32) bool {
	_, ok := outside(list, id)
	return ok
}

// checkUser refuses a user that the namespace has no id for. In a namespace that is new
// package ocispec has checked that already; this one's maps are known only now.
func (m *idMaps) checkUser(u *specs.User) error {
	switch {
	case !mapped(m.uids, u.UID):
		return fmt.Errorf("process.user.uid: %d is not mapped in the container's user namespace", u.UID)
	case !mapped(m.gids, u.GID):
		return fmt.Errorf("process.user.gid: %d is not mapped in the container's user namespace", u.GID)
	case !m.setgroups && len(u.AdditionalGids) > 0:
		return errors.New("process.user.additionalGids: setgroups is denied in the container's user namespace; its processes have no other groups than the creator's")
	}
	for i, g := range u.AdditionalGids {
		if !mapped(m.gids, g) {
			return fmt.Errorf("process.user.additionalGids[%d]: %d is not mapped in the container's user namespace", i, g)
		}
	}
	return nil
}
