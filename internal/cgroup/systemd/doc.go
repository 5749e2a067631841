// Package systemd makes a container's cgroup through systemd, which on most hosts owns the
// tree: the group is a transient scope (or slice) unit, asked for over D-Bus.
//
// # Terms
//
//   - unit: a scope "PREFIX-NAME.scope", or a slice when NAME ends in ".slice".
//   - slice: the inner node that the unit is below; "a-b.slice" is the directory
//     a.slice/a-b.slice.
//   - user manager: the systemd instance of an ordinary user, for rootless containers (v2 only).
//   - property: a typed setting of a unit, as systemd.resource-control(5) names it on D-Bus.
//
// # Life cycle
//
//	u, err := systemd.ParseUnit(spec.Linux.CgroupsPath, id, rootless) // "slice:prefix:name"
//	d, err := systemd.Open(rootless)
//	defer d.Close()
//	g, err := d.Group(host, u, cgroup.Config{…})   // computes the directories
//	extra, err := systemd.Annotations(spec.Annotations)
//	err = d.Create(g, u, pid, extra, r)            // unit with pid in it, limits, device rules
//	…
//	err = d.Update(g, u, r, old)
//	err = d.Delete(g, u)
//
// The limits go both to systemd, so that it does not undo them when it writes its own, and to
// the files, because systemd knows only some. This is opencontainers/runc's behaviour with
// --systemd-cgroup, which the properties follow name by name.
package systemd
