package spec

import (
	"fmt"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Resources are the limits of a container's cgroup, also of one that is being updated; device rules
// are in Build's alone. numbers are those of the block devices that r names.
func Resources(r container.Resources, numbers map[string]DeviceNumber) (*specs.LinuxResources, error) {
	cpu, err := cpuResources(r)
	if err != nil {
		return nil, err
	}
	blkio, err := blkioResources(r, numbers)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxResources{Memory: memoryResources(r), CPU: cpu, BlockIO: blkio, Pids: pidsResources(r)}, nil
}

func memoryResources(r container.Resources) *specs.LinuxMemory {
	var m specs.LinuxMemory
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	if r.MemorySwap > 0 {
		m.Swap = &r.MemorySwap
	}
	if r.MemorySwappiness != nil {
		v := uint64(*r.MemorySwappiness)
		m.Swappiness = &v
	}
	m.DisableOOMKiller = r.OomKillDisable
	if m == (specs.LinuxMemory{}) {
		return nil
	}
	return &m
}

// cpuPeriod is what NanoCPUs are counted in, in microseconds.
const cpuPeriod = 100_000

func cpuResources(r container.Resources) (*specs.LinuxCPU, error) {
	c := specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares < 0 {
		return nil, invalid(fmt.Sprintf("invalid CPU shares (%d): value must be a positive integer", r.CPUShares))
	}
	if r.CPUShares > 0 {
		v := uint64(r.CPUShares)
		c.Shares = &v
	}
	if r.NanoCPUs > 0 {
		period := uint64(cpuPeriod)
		// NanoCPUs are at most the host's CPUs × 10⁹: no overflow after Validate, and none here.
		quota := r.NanoCPUs/1e9*cpuPeriod + r.NanoCPUs%1e9*cpuPeriod/1e9
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUPeriod != 0 {
		v := uint64(r.CPUPeriod)
		c.Period = &v
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if r.CPURealtimePeriod != 0 {
		v := uint64(r.CPURealtimePeriod)
		c.RealtimePeriod = &v
	}
	if r.CPURealtimeRuntime != 0 {
		c.RealtimeRuntime = &r.CPURealtimeRuntime
	}
	if c == (specs.LinuxCPU{}) {
		return nil, nil
	}
	return &c, nil
}

func pidsResources(r container.Resources) *specs.LinuxPids {
	if r.PidsLimit == nil {
		return nil
	}
	limit := *r.PidsLimit
	if limit <= 0 {
		limit = -1
	}
	return &specs.LinuxPids{Limit: &limit}
}

func blkioResources(r container.Resources, numbers map[string]DeviceNumber) (*specs.LinuxBlockIO, error) {
	b := &specs.LinuxBlockIO{}
	if r.BlkioWeight != 0 {
		b.Weight = &r.BlkioWeight
	}
	for _, d := range r.BlkioWeightDevice {
		n, err := blockDevice(numbers, d.Path)
		if err != nil {
			return nil, err
		}
		w := specs.LinuxWeightDevice{Weight: &d.Weight}
		w.Major, w.Minor = n.Major, n.Minor
		b.WeightDevice = append(b.WeightDevice, w)
	}
	for _, l := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &b.ThrottleReadBpsDevice},
		{r.BlkioDeviceWriteBps, &b.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &b.ThrottleReadIOPSDevice},
		{r.BlkioDeviceWriteIOps, &b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range l.from {
			n, err := blockDevice(numbers, d.Path)
			if err != nil {
				return nil, err
			}
			t := specs.LinuxThrottleDevice{Rate: d.Rate}
			t.Major, t.Minor = n.Major, n.Minor
			*l.to = append(*l.to, t)
		}
	}
	return b, nil
}

func blockDevice(numbers map[string]DeviceNumber, path string) (DeviceNumber, error) {
	n, ok := numbers[path]
	if !ok {
		return n, invalid(fmt.Sprintf("the number of the block device %s is not known", path))
	}
	return n, nil
}
