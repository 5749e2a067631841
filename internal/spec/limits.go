package spec

import (
	"fmt"
	"runtime"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/moby/moby/api/types/container"
)

// minMemory is the least memory limit in bytes.
const minMemory = 6 << 20

// ValidateResources checks limits, of a new container or an update of one, and takes those away, with a
// warning, that the kernel cannot hold.
func ValidateResources(r *container.Resources, f *Facts, update bool) (warnings []string, err error) {
	v := &limits{r: r, has: f.Controllers, update: update}
	for _, step := range []func() error{v.realtime, v.memory, v.oomAndPids, func() error { return v.cpu(f.NCPU) }, func() error { return v.cpuset(f) }, v.blkio} {
		if err := step(); err != nil {
			if errdefs.IsInvalidArgument(err) {
				return v.warnings, err
			}
			return v.warnings, invalid(err.Error())
		}
	}
	return v.warnings, nil
}

type limits struct {
	r        *container.Resources
	has      Controllers
	update   bool
	warnings []string
}

func (v *limits) warn(text string) { v.warnings = append(v.warnings, text) }

func (v *limits) realtime() error {
	r := v.r
	switch {
	case (r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0) && !v.has.CPURealtime:
		return invalid("kernel does not support CPU real-time scheduler")
	case r.CPURealtimePeriod != 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod:
		return invalid("cpu real-time runtime cannot be higher than cpu real-time period")
	case r.CPURealtimePeriod < 0 || r.CPUPeriod < 0:
		return invalid("a CPU period cannot be negative")
	case r.CPUShares < 0:
		return invalid(fmt.Sprintf("invalid CPU shares (%d): value must be a positive integer", r.CPUShares))
	}
	return nil
}

func (v *limits) memory() error {
	r := v.r
	if r.MemorySwappiness != nil && *r.MemorySwappiness == -1 { // what old clients send for "as it is"
		r.MemorySwappiness = nil
	}
	if r.Memory != 0 && r.Memory < minMemory {
		return invalid("Minimum memory limit allowed is 6MB")
	}
	if r.Memory > 0 && !v.has.MemoryLimit {
		v.warn("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.")
		r.Memory, r.MemorySwap = 0, -1
	}
	if r.Memory > 0 && r.MemorySwap != -1 && !v.has.SwapLimit {
		v.warn("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.")
		r.MemorySwap = -1
	}
	if r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory {
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	}
	if r.Memory == 0 && r.MemorySwap > 0 && !v.update {
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	}
	if r.MemorySwappiness != nil && !v.has.MemorySwappiness {
		v.warn("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.")
		r.MemorySwappiness = nil
	}
	if s := r.MemorySwappiness; s != nil && (*s < 0 || *s > 100) {
		return invalid(fmt.Sprintf("Invalid value: %v, valid memory swappiness range is 0-100", *s))
	}
	if r.MemoryReservation > 0 && !v.has.MemoryReservation {
		v.warn("Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.")
		r.MemoryReservation = 0
	}
	if r.MemoryReservation > 0 && r.MemoryReservation < minMemory {
		return invalid("Minimum memory reservation allowed is 6MB")
	}
	if r.Memory > 0 && r.MemoryReservation > 0 && r.Memory < r.MemoryReservation {
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func (v *limits) oomAndPids() error {
	r := v.r
	if r.OomKillDisable != nil && !v.has.OomKillDisable {
		if *r.OomKillDisable {
			v.warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
		}
		r.OomKillDisable = nil
	}
	if r.OomKillDisable != nil && *r.OomKillDisable && r.Memory == 0 {
		v.warn("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	}
	if r.PidsLimit != nil && !v.has.PidsLimit {
		if *r.PidsLimit > 0 {
			v.warn("Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.")
		}
		r.PidsLimit = nil
	}
	return nil
}

func (v *limits) cpu(cpus int) error {
	r := v.r
	switch {
	case r.NanoCPUs > 0 && r.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.NanoCPUs > 0 && r.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
	case r.NanoCPUs > 0 && !v.has.CPUCfs:
		return invalid("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted")
	case r.NanoCPUs < 0 || r.NanoCPUs > int64(cpus)*1e9:
		return invalid(fmt.Sprintf("range of CPUs is from 0.01 to %[1]d.00, as there are only %[1]d CPUs available", cpus))
	}
	if r.CPUShares > 0 && !v.has.CPUShares {
		v.warn("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.")
		r.CPUShares = 0
	}
	if (r.CPUPeriod != 0 || r.CPUQuota != 0) && !v.has.CPUCfs {
		v.warn("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.")
		r.CPUPeriod, r.CPUQuota = 0, 0
	}
	if r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000) {
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	}
	if r.CPUQuota > 0 && r.CPUQuota < 1000 {
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	if r.CPUPercent > 0 {
		v.warn(runtime.GOOS + " does not support CPU percent. Percent discarded.")
		r.CPUPercent = 0
	}
	return nil
}

func (v *limits) cpuset(f *Facts) error {
	r := v.r
	if (r.CpusetCpus != "" || r.CpusetMems != "") && !v.has.Cpuset {
		v.warn("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.")
		r.CpusetCpus, r.CpusetMems = "", ""
	}
	for _, set := range []struct{ value, available, what, name string }{
		{r.CpusetCpus, f.CPUs, "CPUs", "cpus"},
		{r.CpusetMems, f.Mems, "memory nodes", "mems"},
	} {
		if set.value == "" {
			continue
		}
		want, err := ocispec.ParseList(set.value) // bounded (CVE-2018-20699)
		if err != nil {
			return invalid(fmt.Sprintf("Invalid value %s for cpuset %s: %v", set.value, set.name, err))
		}
		have, err := ocispec.ParseList(set.available)
		if err != nil {
			return fmt.Errorf("reading the host's list of %s: %w", set.what, err)
		}
		for i := range want {
			if want[i]&^have[i] != 0 {
				return invalid(fmt.Sprintf("Requested %s are not available - requested %s, available: %s", set.what, set.value, set.available))
			}
		}
	}
	return nil
}

func (v *limits) blkio() error {
	r := v.r
	if r.BlkioWeight > 0 && !v.has.BlkioWeight {
		v.warn("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.")
		r.BlkioWeight = 0
	}
	if r.BlkioWeight > 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	if r.IOMaximumBandwidth != 0 || r.IOMaximumIOps != 0 {
		return invalid(fmt.Sprintf("Invalid QoS settings: %s does not support Maximum IO Bandwidth or Maximum IO IOps", runtime.GOOS))
	}
	if len(r.BlkioWeightDevice) > 0 && !v.has.BlkioWeightDevice {
		v.warn("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.")
		r.BlkioWeightDevice = nil
	}
	for _, d := range r.BlkioWeightDevice {
		if d == nil || d.Weight < 10 || d.Weight > 1000 {
			return invalid("Range of blkio weight is from 10 to 1000")
		}
	}
	return v.throttle()
}
