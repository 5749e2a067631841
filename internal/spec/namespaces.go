package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// namespaces says which are new, which are joined, and which, not being in the list, are the
// host's.
func (b *builder) namespaces() error {
	h, l := b.Host, b.spec.Linux
	add := func(t specs.LinuxNamespaceType, path string, host bool) {
		if path != "" || !host {
			l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: t, Path: path})
		}
	}
	add(specs.MountNamespace, "", false)
	add(specs.NetworkNamespace, b.Namespaces.Net, h.NetworkMode.IsHost() && !b.Config.NetworkDisabled)
	add(specs.UTSNamespace, b.Namespaces.UTS, h.UTSMode.IsHost())
	add(specs.PIDNamespace, b.Namespaces.PID, h.PidMode.IsHost())
	add(specs.IPCNamespace, b.Namespaces.IPC, h.IpcMode.IsHost())
	add(specs.CgroupNamespace, b.Namespaces.Cgroup, h.CgroupnsMode.IsHost())
	if b.IDs != nil {
		add(specs.UserNamespace, b.Namespaces.User, false)
		l.UIDMappings, l.GIDMappings = b.idMappings(), b.idMappings()
	}
	if h.NetworkMode.IsContainer() && b.Namespaces.Net == "" || h.PidMode.IsContainer() && b.Namespaces.PID == "" || h.IpcMode.IsContainer() && b.Namespaces.IPC == "" {
		return invalid("cannot join the namespace of a container: no path of it is known")
	}
	if !h.UTSMode.IsHost() && b.Namespaces.UTS == "" {
		b.spec.Hostname = b.Config.Hostname
		b.spec.Domainname = b.Config.Domainname
	}
	return nil
}

func (b *builder) idMappings() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: b.IDs.Host, Size: b.IDs.Size}}
}
