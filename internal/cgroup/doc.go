// Package cgroup makes, limits, observes and removes the control groups of one container,
// on cgroup v2, on cgroup v1, and on hybrid hosts (v1 controllers beside a v2 mount that
// holds some controllers or none).
//
// # Terms
//
//   - hierarchy: one mounted tree of control groups. A v2 host has one, a v1 host one for
//     each controller (or pair, as cpu,cpuacct), a hybrid host both kinds.
//   - controller: memory, cpu, cpuset, pids, blkio (v2: io), hugetlb, devices, freezer, …
//     On v2, devices is an eBPF program and freezer a file of every group.
//   - group: the directories, one for each hierarchy, that one container's processes are in.
//
// # Life cycle
//
//	host, err := cgroup.Detect()
//	g, err := cgroup.New(host, cgroup.Config{Path: spec.Linux.CgroupsPath, ID: id, Resources: r})
//	err = g.Create()       // directories; undone wholly when it fails
//	err = g.Apply(r)       // limits and, for a group that Create made, the device rules
//	for _, f := range g.JoinFiles() { … } // the child writes "0" into each
//	…
//	err = g.Kill(unix.SIGKILL)
//	err = g.Delete()
//
// A later process loads the same group with [Load] from the paths that [Group.Paths] gave,
// as they are kept in state.json (controller → directory, "" for v2, as runc writes them).
// Apply on a loaded group is an update: it never touches device rules.
//
// # Rules
//
// The package follows what opencontainers/runc does on the same host, with these decisions:
//
//   - New devices policy is closed: a group that Create made starts with "deny all", then the
//     rules of linux.resources.devices, then [DefaultDevices]. No rule list means just those.
//   - A limit that was asked for and that the host cannot set is an error that names the field
//     of config.json and the file. Kernel memory limits (obsolete since Linux 5.4) and, on v2,
//     network priorities are not set and are reported by [Group.Warnings].
//   - Limits that v2 does not have (realtime, swappiness, disableOOMKiller, leafWeight) are
//     errors there, as in crun; runc drops them without a word.
//   - pids.limit 0 means "no limit": podman writes 0 for --pids-limit=-1, crun and runc up to
//     1.3 take it so. Runtime-spec 1.3 would have it mean zero, which no container can use.
//   - cpu.shares become cpu.weight by the quadratic formula of crun 1.23 and runc 1.3.2, where
//     the default 1024 is the default 100.
//   - On a hybrid host a controller that is on v2 is used there (runc cannot), and enabled down
//     the path only when a limit asks for it.
//
// # Rootless
//
// With Config.Rootless and no explicit path, hierarchies in which the user has no rights are
// left out, and Create returns a [*NoRightsError]: the container can run without them. With
// limits, Apply then fails and names the limit. An explicit path makes every failure an error.
//
// # Paths
//
// Directories are kept as strings, not descriptors: cgroupfs has no symbolic links, v2 has no
// rename, and every component above the container's own group belongs to the host. File names
// come from constants, or are checked to be plain (unified keys), and files are opened with
// O_NOFOLLOW and never created.
package cgroup
