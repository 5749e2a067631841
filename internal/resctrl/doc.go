// Package resctrl puts containers into groups of the resctrl file system: shares of caches and of
// memory bandwidth (config-linux.md, IntelRdt; the kernel's Documentation/filesystems/resctrl.rst).
//
// # Terms
//
//   - root: where the file system is mounted, /sys/fs/resctrl as a rule.
//   - class: a directory in it, a class of service, named by closID or after the container. "/" is
//     the root itself, the default class.
//   - schemata: the file of a class that says what it gets, one resource a line: "L3:0=ff;1=c0".
//   - monitoring group: a directory below mon_groups of a class, named after the container.
//
// # Life cycle
//
//	root, err := resctrl.Root()
//	g := resctrl.New(root, id, config)
//	made, err := g.Create()         // classes and groups; what it made is to be removed with the container
//	g.Tasks()                       // where a process joins, by writing 0
//	resctrl.Remove(made)
//
// After an error Create has taken back what it made. Errors name the field of config.json or the
// file, and the kernel's own reason (info/last_cmd_status) where it gives one.
package resctrl
