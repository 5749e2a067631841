package keel

import (
	"encoding/json"
	"os"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// showFeatures prints what this version really does, in the form of runtime-spec's
// features-linux.md: what it refuses is false here.
func showFeatures(*ociruntime.Runtime, flags, []string) (int, error) {
	yes, no := new(bool), new(bool)
	*yes = true
	f := features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: "1.3.0",
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  ociruntime.MountOptionNames(),
		Linux: &features.Linux{
			Namespaces:   []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Capabilities: ociruntime.CapabilityNames(),
			Cgroup:       &features.Cgroup{V1: yes, V2: yes, Systemd: no, SystemdUser: no, Rdma: yes},
			Seccomp: &features.Seccomp{Enabled: yes, Actions: seccomp.KnownActions(), Operators: seccomp.KnownOperators(), Archs: seccomp.KnownArches(),
				KnownFlags: seccomp.KnownFlags(), SupportedFlags: seccomp.SupportedFlags()},
			Apparmor:        &features.Apparmor{Enabled: no},
			Selinux:         &features.Selinux{Enabled: no},
			IntelRdt:        &features.IntelRdt{Enabled: no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: no}},
			NetDevices:      &features.NetDevices{Enabled: no},
		},
	}
	return 0, json.NewEncoder(os.Stdout).Encode(f)
}
