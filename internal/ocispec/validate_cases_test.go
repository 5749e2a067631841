package ocispec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// validateCase is the example configuration with some members changed, and what Validate says of it.
type validateCase struct {
	name    string
	change  map[string]any // path -> value; nil takes the member away
	want    string         // the error; empty: accepted
	warning string         // the only warning, if any
	runc    string         // why runc 1.1.5 decides otherwise; empty: it agrees
}

// oneOf is a short way to change one member.
func oneOf(path string, value any) map[string]any { return map[string]any{path: value} }

type list = []any
type dict = map[string]any

// withNamespaces are the example's namespaces and some more.
func withNamespaces(more ...any) list {
	l := list{}
	for _, t := range []string{"pid", "network", "ipc", "uts", "mount"} {
		l = append(l, dict{"type": t})
	}
	return append(l, more...)
}

func withoutNamespace(t string) list {
	l := list{}
	for _, n := range withNamespaces() {
		if n.(dict)["type"] != t {
			l = append(l, n)
		}
	}
	return l
}

var userNamespace = withNamespaces(dict{"type": "user"})

func idMap(container, host, size int64) dict {
	return dict{"containerID": container, "hostID": host, "size": size}
}

// inUserNamespace are the members of a working user namespace, changed.
func inUserNamespace(more dict) dict {
	m := dict{
		"linux.namespaces":  userNamespace,
		"linux.uidMappings": list{idMap(0, 100000, 65536)},
		"linux.gidMappings": list{idMap(0, 100000, 65536)},
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func manyMaps(n, host int64) (l list) {
	for i := range n {
		l = append(l, idMap(i, host+i, 1))
	}
	return l
}

func withMount(m dict) map[string]any {
	return oneOf("mounts", list{
		dict{"destination": "/proc", "type": "proc", "source": "proc"},
		dict{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		m,
	})
}

func hook(h dict) map[string]any {
	return oneOf("hooks", dict{"poststop": list{h}})
}

const (
	runcNewer   = "runc 1.1 does not know it"
	runcIgnores = "runc does not look at it"
	runcLater   = "runc finds out when it is used"
	dangerous   = "not tried: runc would mount in the host's namespace"
)

// document is the example with the case's changes.
func (c *validateCase) document(t testing.TB) []byte {
	t.Helper()
	var doc dict
	if err := json.Unmarshal([]byte(ExampleSpec(false)), &doc); err != nil {
		t.Fatal(err)
	}
	change := dict{"process.terminal": nil, "ociVersion": "1.0.2"}
	for path, value := range c.change {
		change[path] = value
	}
	paths := slices.Sorted(maps.Keys(change))
	slices.Reverse(paths) // "process" after "process.terminal"
	for _, path := range paths {
		value, at := change[path], doc
		parts := strings.Split(path, ".")
		for _, p := range parts[:len(parts)-1] {
			if at[p] == nil {
				at[p] = dict{}
			}
			at = at[p].(dict)
		}
		if last := parts[len(parts)-1]; value == nil {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValidate(t *testing.T) {
	names := map[string]bool{}
	for _, c := range validateCases {
		if names[c.name] {
			t.Errorf("two cases called %q", c.name)
		}
		names[c.name] = true
		warnings, err := decodeAndValidate(c.document(t))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
		if w := strings.Join(warnings, "|"); w != c.warning {
			t.Errorf("%s: warnings %q, want %q", c.name, w, c.warning)
		}
	}
	t.Logf("%d configurations", len(validateCases))
}

// TestValidateProcess: a process of its own has fields without a prefix, and may come from a command line.
func TestValidateProcess(t *testing.T) {
	good := specs.Process{Args: []string{"sh"}, Cwd: "/"}
	for want, change := range map[string]func(*specs.Process){
		"":                             func(p *specs.Process) {},
		"cwd: must not be empty":       func(p *specs.Process) { p.Cwd = "" },
		"cwd: contains a NUL byte":     func(p *specs.Process) { p.Cwd = "/a\x00" },
		"args[1]: contains a NUL byte": func(p *specs.Process) { p.Args = []string{"a", "\x00"} },
		"env[0]: contains a NUL byte":  func(p *specs.Process) { p.Env = []string{"A=\x00"} },
		"oomScoreAdj: -1001 is outside -1000 to 1000":                func(p *specs.Process) { p.OOMScoreAdj = new(int); *p.OOMScoreAdj = -1001 },
		"user.uid: 4294967295 is no id: to the kernel it means none": func(p *specs.Process) { p.User.UID = 4294967295 },
	} {
		p := good
		change(&p)
		_, err := ValidateProcess(&p)
		if got := fmt.Sprint(err); got != want && !(want == "" && err == nil) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func decodeAndValidate(doc []byte) ([]string, error) {
	c, err := Decode(doc)
	if err != nil {
		return nil, err
	}
	return Validate(c)
}

var validateCases = append(append(generalCases, processCases...), linuxCases...)

var generalCases = []validateCase{
	{name: "the example"},
	{name: "no version", change: oneOf("ociVersion", nil), want: "ociVersion: missing: it says which version of the specification the configuration is for", runc: runcIgnores},
	{name: "version 2", change: oneOf("ociVersion", "2.0.0"), want: `ociVersion: version "2.0.0" is not supported, only 1.x is`, runc: runcIgnores},
	{name: "version 0", change: oneOf("ociVersion", "0.9.0"), want: `ociVersion: version "0.9.0" is not supported, only 1.x is`, runc: runcIgnores},
	{name: "version 1", change: oneOf("ociVersion", "1"), want: `ociVersion: "1" is not a semantic version`, runc: runcIgnores},
	{name: "version with a zero", change: oneOf("ociVersion", "1.02.0"), want: `ociVersion: "1.02.0" is not a semantic version`, runc: runcIgnores},
	{name: "pre-release", change: oneOf("ociVersion", "1.0.2-dev")},
	{name: "build", change: oneOf("ociVersion", "1.0.0-rc5+dev.1-2")},
	{name: "future 1.x", change: oneOf("ociVersion", "1.99.0")},
	{name: "unknown member", change: oneOf("x-vendor", dict{"a": list{1, nil, "b"}})},
	{name: "unknown member of process", change: oneOf("process.x", 7)},
	{name: "wrong type", change: oneOf("process.user.uid", "0"), want: `process.user.uid: want an unsigned 32-bit integer, found string "0"`},
	{name: "uid too large", change: oneOf("process.user.uid", 4294967296), want: "process.user.uid: want an unsigned 32-bit integer, found number 4294967296"},
	{name: "uid with a fraction", change: oneOf("process.user.uid", json.Number("1.0")), want: "process.user.uid: want an unsigned 32-bit integer, found number 1.0"},
	{name: "windows", change: oneOf("windows", dict{"layerFolders": list{}}), warning: "windows: ignored, it is for another operating system"},
	{name: "no root", change: oneOf("root", nil), want: "root: missing: it names the container's root file system"},
	{name: "no root path", change: oneOf("root.path", nil), want: "root.path: missing: it names the container's root file system"},
	{name: "root path with NUL", change: oneOf("root.path", "rootfs\x00x"), want: "root.path: contains a NUL byte"},
	{name: "no process", change: oneOf("process", nil), runc: "the specification wants it from start on"},
	{name: "no linux", change: oneOf("linux", nil), want: "hostname: cannot be set without a uts namespace: it would be the host's"},
	{name: "hostname without namespace", change: oneOf("linux.namespaces", withoutNamespace("uts")), want: "hostname: cannot be set without a uts namespace: it would be the host's"},
	{name: "domainname without namespace", change: dict{"hostname": nil, "domainname": "x", "linux.namespaces": withoutNamespace("uts")}, want: "domainname: cannot be set without a uts namespace: it would be the host's", runc: runcNewer},
	{name: "hostname of 64 bytes", change: oneOf("hostname", strings.Repeat("h", 64))},
	{name: "hostname of 65 bytes", change: oneOf("hostname", strings.Repeat("h", 65)), want: "hostname: longer than the 64 bytes that the kernel takes"},
	{name: "annotation", change: oneOf("annotations", dict{"a": "b"})},
	{name: "annotation without a name", change: oneOf("annotations", dict{"": "b"}), want: "annotations: an annotation without a name", runc: runcIgnores},
	{name: "annotation with NUL", change: oneOf("annotations", dict{"a": "b\x00"}), want: "annotations.a: contains a NUL byte", runc: runcIgnores},
	{name: "annotation's name with NUL", change: oneOf("annotations", dict{"a\x00": "b"}), want: `annotations["a\x00"]: contains a NUL byte`, runc: runcIgnores},

	{name: "hook", change: hook(dict{"path": "/bin/true", "timeout": 1})},
	{name: "hook without path", change: hook(dict{}), want: "hooks.poststop[0].path: must not be empty", runc: runcLater},
	{name: "hook with relative path", change: hook(dict{"path": "true"}), want: `hooks.poststop[0].path: "true" is not an absolute path`, runc: runcLater},
	{name: "hook without time", change: hook(dict{"path": "/bin/true", "timeout": 0}), want: "hooks.poststop[0].timeout: must be greater than 0 seconds", runc: runcIgnores},
	{name: "hook's environment", change: hook(dict{"path": "/bin/true", "env": list{"A=1", "LD_PRELOAD"}}), want: `hooks.poststop[0].env[1]: "LD_PRELOAD" is not of the form NAME=VALUE`, runc: runcIgnores},
	{name: "prestart hook", change: oneOf("hooks", dict{"prestart": list{dict{"path": "x"}}}), want: `hooks.prestart[0].path: "x" is not an absolute path`},
	{name: "createRuntime hook", change: oneOf("hooks", dict{"createRuntime": list{dict{"path": "x"}}}), want: `hooks.createRuntime[0].path: "x" is not an absolute path`},
	{name: "createContainer hook", change: oneOf("hooks", dict{"createContainer": list{dict{"path": "x"}}}), want: `hooks.createContainer[0].path: "x" is not an absolute path`},
	{name: "startContainer hook", change: oneOf("hooks", dict{"startContainer": list{dict{"path": "x"}}}), want: `hooks.startContainer[0].path: "x" is not an absolute path`, runc: runcLater},
	{name: "poststart hook", change: oneOf("hooks", dict{"poststart": list{dict{"path": "x"}}}), want: `hooks.poststart[0].path: "x" is not an absolute path`},

	{name: "bind mount", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind", "ro"}})},
	{name: "mount without destination", change: withMount(dict{"type": "tmpfs"}), want: "mounts[2].destination: must not be empty"},
	{name: "mount with relative destination", change: withMount(dict{"destination": "mnt", "type": "tmpfs", "source": "tmpfs"}), warning: `mounts[2].destination: "mnt" is not absolute, it is taken as /mnt`},
	{name: "mount with NUL", change: withMount(dict{"destination": "/mnt", "type": "tmpfs", "source": "a\x00b"}), want: "mounts[2].source: contains a NUL byte"},
	{name: "mount option with NUL", change: withMount(dict{"destination": "/mnt", "type": "tmpfs", "options": list{"mode=\x00"}}), want: "mounts[2].options[0]: contains a NUL byte"},
	{name: "mount without type", change: withMount(dict{"destination": "/mnt", "source": "tmpfs"}), want: "mounts[2].type: missing, and it is no bind mount"},
	{name: "bind mount without source", change: withMount(dict{"destination": "/mnt", "type": "bind", "options": list{"rbind"}}), want: "mounts[2].source: must not be empty for a bind mount", runc: "to runc it is the bundle"},
	{name: "bind mount with data", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind", "size=64k"}}), warning: `mounts[2].options: "size=64k" is for a new file system, it has no effect on a bind mount`},
	{name: "bind mount with acl", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind", "acl"}})},
	{name: "remount without type", change: withMount(dict{"destination": "/proc", "options": list{"remount", "ro"}})},
	{name: "idmap beyond the last id", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind"}, "uidMappings": list{idMap(1, 1, 4294967295)}, "gidMappings": list{idMap(0, 1, 1)}}), want: "mounts[2].uidMappings[0].containerID: the range ends beyond 4294967294, the greatest id", runc: runcNewer},
	{name: "mounts without namespace", change: dict{"linux.namespaces": withoutNamespace("mount"), "linux.maskedPaths": nil, "linux.readonlyPaths": nil}, runc: dangerous},
	{name: "idmap without user namespace", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind", "idmap"}}), want: "mounts[2].options: idmap without uidMappings and gidMappings needs a user namespace to take them from", runc: runcNewer},
	{name: "idmap of half", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind"}, "uidMappings": list{idMap(0, 1, 1)}}), want: "mounts[2].gidMappings: missing, and uidMappings are there", runc: runcNewer},
	{name: "idmap of the other half", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind"}, "gidMappings": list{idMap(0, 1, 1)}}), want: "mounts[2].uidMappings: missing, and gidMappings are there", runc: runcNewer},
	{name: "idmap of tmpfs", change: withMount(dict{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "uidMappings": list{idMap(0, 1, 1)}, "gidMappings": list{idMap(0, 1, 1)}}), want: "mounts[2].options: id-mapped mounts must be bind mounts", runc: runcNewer},
	{name: "idmap of nothing", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind"}, "uidMappings": list{idMap(0, 1, 1)}, "gidMappings": list{idMap(0, 1, 0)}}), want: "mounts[2].gidMappings[0].size: must not be 0", runc: runcNewer},
	{name: "idmap without namespace", change: withMount(dict{"destination": "/mnt", "source": "/tmp", "options": list{"bind"}, "uidMappings": list{idMap(0, 1, 1)}, "gidMappings": list{idMap(0, 1, 1)}})},
}

var processCases = []validateCase{
	{name: "no cwd", change: oneOf("process.cwd", nil), want: "process.cwd: must not be empty"},
	{name: "relative cwd", change: oneOf("process.cwd", "tmp"), want: `process.cwd: "tmp" is not an absolute path`},
	{name: "cwd with NUL", change: oneOf("process.cwd", "/tmp\x00"), want: "process.cwd: contains a NUL byte"},
	{name: "no args", change: oneOf("process.args", nil), want: "process.args: must not be empty: its first element names the program"},
	{name: "empty args", change: oneOf("process.args", list{}), want: "process.args: must not be empty: its first element names the program"},
	{name: "empty program", change: oneOf("process.args", list{""}), want: "process.args[0]: must not be empty: it names the program"},
	{name: "argument with NUL", change: oneOf("process.args", list{"sh", "a\x00b"}), want: "process.args[1]: contains a NUL byte", runc: runcLater},
	{name: "entry without =", change: oneOf("process.env", list{"A=1", "HOME"}), want: `process.env[1]: "HOME" is not of the form NAME=VALUE`},
	{name: "entry without name", change: oneOf("process.env", list{"=1"}), want: `process.env[0]: "=1" has no name before the =`},
	{name: "entry with NUL", change: oneOf("process.env", list{"A=\x00"}), want: "process.env[0]: contains a NUL byte"},
	{name: "empty value", change: oneOf("process.env", list{"A=", "PATH=/bin"})},
	{name: "the same name twice", change: oneOf("process.env", list{"A=1", "PATH=/bin", "A=2"})},
	{name: "uid -1", change: oneOf("process.user.uid", 4294967295), want: "process.user.uid: 4294967295 is no id: to the kernel it means none"},
	{name: "gid -1", change: oneOf("process.user.gid", 4294967295), want: "process.user.gid: 4294967295 is no id: to the kernel it means none"},
	{name: "group -1", change: oneOf("process.user.additionalGids", list{1, 4294967295}), want: "process.user.additionalGids[1]: 4294967295 is no id: to the kernel it means none"},
	{name: "greatest uid", change: oneOf("process.user.uid", 4294967294), runc: "to runc 1.1 ids are signed"},
	{name: "umask", change: oneOf("process.user.umask", 0o777)},
	{name: "umask of more", change: oneOf("process.user.umask", 0o1000), want: "process.user.umask: 512 is greater than 511 (octal 777)", runc: runcIgnores},
	{name: "console", change: dict{"process.terminal": true, "process.consoleSize": dict{"height": 65536, "width": 1}}, want: "process.consoleSize: larger than 65535, the most that a terminal can have"},
	{name: "console without terminal", change: oneOf("process.consoleSize", dict{"height": 65536, "width": 1})},
	{name: "unknown rlimit", change: oneOf("process.rlimits", list{dict{"type": "RLIMIT_X", "soft": 1, "hard": 1}}), want: `process.rlimits[0].type: unknown limit "RLIMIT_X"`},
	{name: "rlimit without prefix", change: oneOf("process.rlimits", list{dict{"type": "NOFILE", "soft": 1, "hard": 1}}), want: `process.rlimits[0].type: unknown limit "NOFILE"`},
	{name: "rlimit twice", change: oneOf("process.rlimits", list{dict{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}, dict{"type": "RLIMIT_CORE"}, dict{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}}), want: "process.rlimits[2].type: RLIMIT_NOFILE is there twice", runc: runcIgnores},
	{name: "soft limit above hard", change: oneOf("process.rlimits", list{dict{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}}), want: "process.rlimits[0].soft: greater than the hard limit"},
	{name: "unknown capability", change: oneOf("process.capabilities.bounding", list{"CAP_KILL", "CAP_X"}), warning: `process.capabilities.bounding[1]: ignoring unknown capability "CAP_X"`},
	{name: "capability in another case", change: oneOf("process.capabilities.ambient", list{"cap_kill"}), warning: `process.capabilities.ambient[0]: ignoring unknown capability "cap_kill"`},
	{name: "oomScoreAdj", change: oneOf("process.oomScoreAdj", 1000)},
	{name: "oomScoreAdj of more", change: oneOf("process.oomScoreAdj", 1001), want: "process.oomScoreAdj: 1001 is outside -1000 to 1000"},
	{name: "label of two lines", change: oneOf("process.selinuxLabel", "a\nb"), want: `process.selinuxLabel: "a\nb" contains a control character`},
	{name: "profile of two lines", change: oneOf("process.apparmorProfile", "a\nb"), want: `process.apparmorProfile: "a\nb" contains a control character`},
	{name: "scheduler", change: oneOf("process.scheduler", dict{"policy": "SCHED_BATCH", "nice": 19, "flags": list{"SCHED_FLAG_RESET_ON_FORK"}})},
	{name: "scheduler without policy", change: oneOf("process.scheduler", dict{"nice": 1}), want: "process.scheduler.policy: missing", runc: runcNewer},
	{name: "unknown policy", change: oneOf("process.scheduler", dict{"policy": "SCHED_X"}), want: `process.scheduler.policy: unknown policy "SCHED_X"`, runc: runcNewer},
	{name: "nice", change: oneOf("process.scheduler", dict{"policy": "SCHED_OTHER", "nice": 20}), want: "process.scheduler.nice: 20 is outside -20 to 19", runc: runcNewer},
	{name: "priority without real time", change: oneOf("process.scheduler", dict{"policy": "SCHED_OTHER", "priority": 1}), want: "process.scheduler.priority: only for SCHED_FIFO and SCHED_RR", runc: runcNewer},
	{name: "real time without priority", change: oneOf("process.scheduler", dict{"policy": "SCHED_FIFO"}), want: "process.scheduler.priority: 0 is outside 1 to 99", runc: runcNewer},
	{name: "runtime without deadline", change: oneOf("process.scheduler", dict{"policy": "SCHED_OTHER", "runtime": 1}), want: "process.scheduler.runtime: runtime, deadline and period are only for SCHED_DEADLINE", runc: runcNewer},
	{name: "runtime beyond deadline", change: oneOf("process.scheduler", dict{"policy": "SCHED_DEADLINE", "runtime": 2, "deadline": 1}), want: "process.scheduler.runtime: want runtime <= deadline <= period", runc: runcNewer},
	{name: "deadline beyond period", change: oneOf("process.scheduler", dict{"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 3, "period": 2}), want: "process.scheduler.runtime: want runtime <= deadline <= period", runc: runcNewer},
	{name: "unknown scheduler flag", change: oneOf("process.scheduler", dict{"policy": "SCHED_OTHER", "flags": list{"X"}}), want: `process.scheduler.flags[0]: unknown flag "X"`, runc: runcNewer},
	{name: "unknown io class", change: oneOf("process.ioPriority", dict{"class": "IOPRIO_CLASS_X"}), want: `process.ioPriority.class: unknown class "IOPRIO_CLASS_X"`, runc: runcNewer},
	{name: "io priority", change: oneOf("process.ioPriority", dict{"class": "IOPRIO_CLASS_BE", "priority": 8}), want: "process.ioPriority.priority: 8 is outside 0 to 7", runc: runcNewer},
	{name: "affinity", change: oneOf("process.execCPUAffinity", dict{"initial": " 0-1, 1,", "final": "1023"})},
	{name: "affinity of no CPU", change: oneOf("process.execCPUAffinity", dict{"initial": ", "}), want: `process.execCPUAffinity.initial: ", " names no CPU`, runc: runcNewer},
	{name: "affinity backwards", change: oneOf("process.execCPUAffinity", dict{"final": "3-2"}), want: `process.execCPUAffinity.final: "3-2" ends before it begins`, runc: runcNewer},
	{name: "affinity of a word", change: oneOf("process.execCPUAffinity", dict{"final": "0,x"}), want: `process.execCPUAffinity.final: "x" is not a number`, runc: runcNewer},
	{name: "huge affinity", change: oneOf("process.execCPUAffinity", dict{"final": "0-4294967295"}), want: "process.execCPUAffinity.final: 4294967295 is greater than 1023", runc: runcNewer},
	{name: "65537 groups", change: oneOf("process.user.additionalGids", numbers(65537)), want: "process.user.additionalGids: 65537 groups, the kernel takes 65536"},
}

func numbers(n int) (l list) {
	for i := range n {
		l = append(l, json.Number(strconv.Itoa(i)))
	}
	return l
}
