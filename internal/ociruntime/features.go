package ociruntime

import (
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// AppendFeatures appends what this runtime recognises in config.json, in the form of the
// runtime-spec's features.md and features-linux.md. What [validate] refuses as not supported
// is false here, because the same function is asked.
func AppendFeatures(b []byte, version string) []byte {
	w := &ocispec.Writer{B: b, Indent: "    "}
	w.Open('{')
	w.Name("ociVersionMin")
	w.String("1.0.0")
	w.Name("ociVersionMax")
	w.String(specs.Version)
	w.Name("hooks")
	w.Strings([]string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})
	w.Name("mountOptions")
	w.Strings(ocispec.KnownMountOptions())
	w.Name("linux")
	linuxFeatures(w)
	w.Name("annotations")
	w.StringMap(map[string]string{"org.hull-dev.keel.version": version, "org.opencontainers.runc.checkpoint.enabled": "true"})
	w.Close('}')
	return w.B
}

func linuxFeatures(w *ocispec.Writer) {
	w.Open('{')
	w.Name("namespaces")
	w.Strings([]string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"})
	w.Name("capabilities")
	w.Strings(ocispec.KnownCapabilities())
	w.Name("cgroup")
	flagObject(w, []flag{{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", true}, {"rdma", true}})
	w.Name("seccomp")
	w.Open('{')
	w.Name("enabled")
	w.Bool(true)
	for _, l := range []struct {
		name string
		list func() []string
	}{
		{"actions", seccomp.KnownActions},
		{"operators", seccomp.KnownOperators},
		{"archs", seccomp.KnownArches},
		{"knownFlags", seccomp.KnownFlags},
		{"supportedFlags", seccomp.SupportedFlags},
	} {
		w.Name(l.name)
		w.Strings(l.list())
	}
	w.Close('}')
	// Of what the runtime can do; whether the host has the module or the file system is another matter.
	w.Name("apparmor")
	flagObject(w, []flag{{"enabled", true}})
	w.Name("selinux")
	flagObject(w, []flag{{"enabled", true}})
	w.Name("intelRdt")
	flagObject(w, []flag{{"enabled", true}, {"schemata", true}, {"monitoring", true}})
	w.Name("memoryPolicy")
	w.Open('{')
	w.Name("modes")
	w.Strings([]string{"MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"})
	w.Name("flags")
	w.Strings([]string{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"})
	w.Close('}')
	w.Name("mountExtensions")
	w.Open('{')
	w.Name("idmap")
	flagObject(w, []flag{{"enabled", implemented(func(s *specs.Spec) {
		id := []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
		s.Mounts = []specs.Mount{{Options: []string{"idmap"}, UIDMappings: id, GIDMappings: id}}
	})}})
	w.Close('}')
	w.Name("netDevices")
	flagObject(w, []flag{{"enabled", true}})
	w.Close('}')
}

// implemented asks the check of config.json about a property.
func implemented(set func(*specs.Spec)) bool {
	s := &ocispec.Config{Spec: specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}}
	set(&s.Spec)
	return validateUnsupported(s) == nil
}

type flag struct {
	name string
	on   bool
}

func flagObject(w *ocispec.Writer, list []flag) {
	w.Open('{')
	for _, f := range list {
		w.Name(f.name)
		w.Bool(f.on)
	}
	w.Close('}')
}
