package spec

import (
	"fmt"
	"slices"
)

// MaskedPaths are those of /proc and /sys that a container must not read: the union of what Docker,
// Podman, containerd and CRI-O hide (SECURITY.md R21). throttles are the CPUs with a
// thermal_throttle directory.
func MaskedPaths(throttles []int) []string {
	paths := slices.Concat(dockerMaskedPaths(), []string{"/sys/dev/block", "/sys/fs/selinux"})
	return append(paths, throttlePaths(throttles)...)
}

func dockerMaskedPaths() []string {
	return []string{
		"/proc/asound", "/proc/acpi",
		"/proc/interrupts", // moby GHSA-6fw5-f8r9-fgfm
		"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap", // moby GHSA-jq35-85cj-fj4p, CVE-2020-8694
	}
}

func throttlePaths(cpus []int) []string {
	var paths []string
	for _, cpu := range cpus {
		paths = append(paths, fmt.Sprintf("/sys/devices/system/cpu/cpu%d/thermal_throttle", cpu))
	}
	return paths
}

// ReadonlyPaths are those that it must not write.
func ReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// DefaultPaths are the masked and read-only paths of a profile, for inspect.
func DefaultPaths(profileName string, f *Facts) (masked, readonly []string, err error) {
	p, err := profileOf(profileName)
	if err != nil {
		return nil, nil, err
	}
	if p.dockerPaths {
		return append(dockerMaskedPaths(), throttlePaths(f.Throttles)...), ReadonlyPaths(), nil
	}
	return MaskedPaths(f.Throttles), ReadonlyPaths(), nil
}

// paths sets what is hidden. An empty list of the user's hides nothing, none takes the defaults.
func (b *builder) paths() {
	l := b.spec.Linux
	if b.Host.Privileged || !b.security.SystemPaths {
		return
	}
	l.MaskedPaths, l.ReadonlyPaths = MaskedPaths(b.Facts.Throttles), ReadonlyPaths()
	if b.profile.dockerPaths {
		l.MaskedPaths = append(dockerMaskedPaths(), throttlePaths(b.Facts.Throttles)...)
	}
	if b.Host.MaskedPaths != nil {
		l.MaskedPaths = b.Host.MaskedPaths
	}
	if b.Host.ReadonlyPaths != nil {
		l.ReadonlyPaths = b.Host.ReadonlyPaths
	}
}
