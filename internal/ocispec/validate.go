package ocispec

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Validate checks what a configuration means, as far as that does not need the host: what the specification demands and
// what runc 1.3 refuses. The error is one sentence that begins with the field. Warnings are for the log: the container
// can run, but not quite as written.
//
// A missing process is not an error: the specification wants it from `start` on.
//
// Where it is stricter than runc, because the specification is, or because runc would start a container that is not the
// one asked for, is listed in the test that compares the two (TestRootRuncAgrees).
func Validate(c *Config) (warnings []string, err error) {
	v := &validator{namespaces: namespacesOf(c.Linux)}
	v.config(c)
	return v.warnings, v.err
}

// ValidateProcess checks a process that joins a container: a process.json, or one made from a command line. Fields
// are named from the document's root: "user.uid".
func ValidateProcess(p *specs.Process) (warnings []string, err error) {
	v := &validator{}
	v.process("", p)
	return v.warnings, v.err
}

// validator collects warnings and the first error.
type validator struct {
	warnings   []string
	err        error
	namespaces uint64 // CLONE_NEW* flags of linux.namespaces
}

// refuse reports that a field cannot be had. Only the first report counts.
func (v *validator) refuse(field, reason string) {
	if v.err == nil {
		v.err = &Error{Field: field, Reason: reason}
	}
}

func (v *validator) warn(field, text string) { v.warnings = append(v.warnings, field+": "+text) }

// has says whether the container has a namespace of its own, or one that it joins.
func (v *validator) has(flag uint64) bool { return v.namespaces&flag != 0 }

// at is the path of element i of an array.
func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// keyed is the path of a member whose name is data.
func keyed(field, key string) string { return field + "[" + strconv.Quote(shorten(key)) + "]" }

func quote(s string) string { return strconv.Quote(shorten(s)) }

func (v *validator) config(c *Config) {
	if c.nul != "" {
		v.refuse(c.nul, nulReason)
	}
	if reason := versionProblem(c.Version); reason != "" {
		v.refuse("ociVersion", reason)
	}
	for _, name := range c.OtherPlatforms {
		v.warn(name, "ignored, it is for another operating system")
	}
	switch {
	case c.Root == nil:
		v.refuse("root", "missing: it names the container's root file system")
	case c.Root.Path == "":
		v.refuse("root.path", "missing: it names the container's root file system")
	}
	v.uts("hostname", c.Hostname)
	v.uts("domainname", c.Domainname)
	if c.Process != nil {
		v.process("process.", c.Process)
	}
	v.mounts(c)
	v.hooks(c.Hooks)
	for k := range c.Annotations {
		if k == "" {
			v.refuse("annotations", "an annotation without a name")
		}
	}
	v.seccompHead(c)
	if c.Linux != nil {
		v.linux(c)
	}
}

// versionProblem checks ociVersion: a semantic version of major 1. Every 1.x configuration is one that a runtime of
// version 1.3 can read (config.md: compatible within major versions); what it does not know, it ignores.
func versionProblem(s string) string {
	if s == "" {
		return "missing: it says which version of the specification the configuration is for"
	}
	core, _, _ := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	ok := len(parts) == 3 && (!hasPre || pre != "")
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		ok = ok && err == nil && strconv.FormatUint(n, 10) == p // no sign, no leading zero
	}
	switch {
	case !ok:
		return quote(s) + " is not a semantic version"
	case parts[0] != "1":
		return "version " + quote(s) + " is not supported, only 1.x is"
	}
	return ""
}

// uts checks a name that needs a UTS namespace. The kernel's limit is 64 bytes (__NEW_UTS_LEN).
func (v *validator) uts(field, name string) {
	switch {
	case name == "":
	case !v.has(unix.CLONE_NEWUTS):
		v.refuse(field, "cannot be set without a uts namespace: it would be the host's")
	case len(name) > 64:
		v.refuse(field, "longer than the 64 bytes that the kernel takes")
	}
}

func (v *validator) hooks(h *specs.Hooks) {
	if h == nil {
		return
	}
	for _, l := range [...]struct {
		name string
		list []specs.Hook
	}{
		{"hooks.prestart", h.Prestart}, // deprecated, and still in use
		{"hooks.createRuntime", h.CreateRuntime},
		{"hooks.createContainer", h.CreateContainer},
		{"hooks.startContainer", h.StartContainer},
		{"hooks.poststart", h.Poststart},
		{"hooks.poststop", h.Poststop},
	} {
		for i, hook := range l.list {
			field := at(l.name, i)
			v.absolute(field+".path", hook.Path)
			if hook.Timeout != nil && *hook.Timeout <= 0 {
				v.refuse(field+".timeout", "must be greater than 0 seconds")
			}
			v.environment(field+".env", hook.Env)
		}
	}
}

// pathMax is PATH_MAX of limits.h without the NUL: no system call takes a longer path, and
// plans grow with the square of a path's components.
const pathMax = 4095

const tooLong = "longer than the 4095 bytes that the kernel takes"

// absolute checks a path that must be absolute.
func (v *validator) absolute(field, path string) {
	switch {
	case len(path) > pathMax:
		v.refuse(field, tooLong)
	case path == "":
		v.refuse(field, "must not be empty")
	case path[0] != '/':
		v.refuse(field, quote(path)+" is not an absolute path")
	}
}

// seccompHead checks what package seccomp does not see (config-linux.md, Seccomp).
func (v *validator) seccompHead(c *Config) {
	h := &c.Seccomp
	switch {
	case h.Notify && h.ListenerPath == "":
		v.refuse("linux.seccomp.listenerPath", "missing, and SCMP_ACT_NOTIFY needs a listener")
	case h.ListenerMetadata != "" && h.ListenerPath == "":
		v.refuse("linux.seccomp.listenerMetadata", "must not be set without listenerPath")
	case h.ListenerPath != "" && h.ListenerPath[0] != '/':
		v.refuse("linux.seccomp.listenerPath", quote(h.ListenerPath)+" is not an absolute path")
	}
}

// namespacesOf are the CLONE_NEW* flags of linux.namespaces.
func namespacesOf(l *specs.Linux) (flags uint64) {
	if l != nil {
		for _, n := range l.Namespaces {
			flags |= NamespaceFlag(n.Type)
		}
	}
	return flags
}

// NamespaceFlag is the CLONE_NEW* flag of a type of namespace, 0 for an unknown one.
func NamespaceFlag(t specs.LinuxNamespaceType) uint64 {
	switch t {
	case specs.PIDNamespace:
		return unix.CLONE_NEWPID
	case specs.NetworkNamespace:
		return unix.CLONE_NEWNET
	case specs.MountNamespace:
		return unix.CLONE_NEWNS
	case specs.IPCNamespace:
		return unix.CLONE_NEWIPC
	case specs.UTSNamespace:
		return unix.CLONE_NEWUTS
	case specs.UserNamespace:
		return unix.CLONE_NEWUSER
	case specs.CgroupNamespace:
		return unix.CLONE_NEWCGROUP
	case specs.TimeNamespace:
		return unix.CLONE_NEWTIME
	}
	return 0
}

// pathOf is the path of the namespace to join, empty for a new one or none.
func pathOf(l *specs.Linux, t specs.LinuxNamespaceType) string {
	i := slices.IndexFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
	if i < 0 {
		return ""
	}
	return l.Namespaces[i].Path
}

// environment checks NAME=VALUE entries. Of two with one name the last one counts, which is the runtime's to do.
func (v *validator) environment(field string, env []string) {
	for i, e := range env {
		if err := CheckEnv(e); err != nil {
			v.refuse(at(field, i), err.Error())
			return
		}
	}
}

// CheckEnv checks one entry of an environment. An entry without = is refused, never looked up on the host (SECURITY.md
// R8).
func CheckEnv(e string) error {
	switch i := strings.IndexByte(e, '='); {
	case strings.IndexByte(e, 0) >= 0:
		return errors.New(nulReason)
	case i < 0:
		return errors.New(quote(e) + " is not of the form NAME=VALUE")
	case i == 0:
		return errors.New(quote(e) + " has no name before the =")
	}
	return nil
}
