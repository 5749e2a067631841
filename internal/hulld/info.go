package hulld

import (
	"maps"
	"slices"

	types "github.com/moby/moby/api/types/system"

	"github.com/hull-dev/hull/internal/spec"
)

// info is what /info says of the host and the settings, which do not change.
func info(c Config, f *spec.Facts, initPath string) types.Info {
	out := types.Info{
		MemoryLimit: f.Controllers.MemoryLimit, SwapLimit: f.Controllers.SwapLimit, CPUCfsPeriod: f.Controllers.CPUCfs, CPUCfsQuota: f.Controllers.CPUCfs,
		CPUShares: f.Controllers.CPUShares, CPUSet: f.Controllers.Cpuset, PidsLimit: f.Controllers.PidsLimit, OomKillDisable: f.Controllers.OomKillDisable,
		IPv4Forwarding: !f.IPv4ForwardingDisabled, LoggingDriver: c.LogDriver, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		Plugins:        types.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "ipvlan", "macvlan", "null"}, Log: []string{"journald", "json-file", "local", "syslog"}},
		DefaultRuntime: "keel", LiveRestoreEnabled: true, InitBinary: initPath, CDISpecDirs: []string{}, Labels: []string{},
		Runtimes: map[string]types.RuntimeWithStatus{"keel": {Runtime: types.Runtime{Path: "keel"}}},
	}
	if f.Unified {
		out.CgroupVersion = "2"
	}
	if f.SystemdCgroup {
		out.CgroupDriver = "systemd"
	}
	for _, name := range slices.Sorted(maps.Keys(c.Runtimes)) {
		out.Runtimes[name] = types.RuntimeWithStatus{Runtime: types.Runtime{Path: c.Runtimes[name][0], Args: c.Runtimes[name][1:]}}
	}
	for _, s := range []struct {
		is   bool
		name string
	}{{f.AppArmor, "name=apparmor"}, {f.Seccomp, "name=seccomp,profile=builtin"}, {f.SELinux, "name=selinux"}, {f.UserNS, "name=userns"}, {true, "name=cgroupns"}} {
		if s.is {
			out.SecurityOptions = append(out.SecurityOptions, s.name)
		}
	}
	if !f.Controllers.SwapLimit {
		out.Warnings = append(out.Warnings, "WARNING: No swap limit support")
	}
	return out
}
