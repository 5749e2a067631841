package cgroup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Stats is what "runc events --stats" prints, with the field names of runc's types/events.go.
// Times are nanoseconds, sizes bytes.
type Stats struct {
	CPU     CPUStats
	CPUSet  CPUSetStats
	Memory  MemoryStats
	Pids    PidsStats
	Blkio   BlkioStats
	Hugetlb []HugetlbStats // sorted by Size
	Rdma    RdmaStats      // not part of runc's output

	// IntelRdt and NetworkInterfaces are ready-made JSON values that the caller may set; nil
	// is what runc prints when there are none.
	IntelRdt, NetworkInterfaces []byte
}

type CPUStats struct {
	Usage      CPUUsage
	Throttling Throttling
	PSI        *PSI
}

// CPUUsage has the Percpu slices, one number for each possible CPU, on v1 only.
type CPUUsage struct {
	Total, Kernel, User              uint64
	Percpu, PercpuKernel, PercpuUser []uint64
}

type Throttling struct{ Periods, ThrottledPeriods, ThrottledTime uint64 }

// CPUSetStats is filled in on v1 only.
type CPUSetStats struct {
	CPUs, Mems                         []uint16
	CPUExclusive                       uint64
	MemHardwall, MemExclusive          uint64
	MemoryMigrate                      uint64
	MemorySpreadPage, MemorySpreadSlab uint64
	MemoryPressure, SchedLoadBalance   uint64
	SchedRelaxDomainLevel              int64
}

type MemoryStats struct {
	Cache                          uint64
	Usage, Swap, Kernel, KernelTCP MemoryEntry // Swap is memory+swap
	Raw                            []RawStat   // memory.stat, sorted by name
	PSI                            *PSI
}

type MemoryEntry struct{ Limit, Usage, Max, Failcnt uint64 }

type RawStat struct {
	Name  string
	Value uint64
}

// PidsStats: a Limit of 0 is none.
type PidsStats struct{ Current, Limit uint64 }

type BlkioStats struct {
	IoServiceBytesRecursive, IoServicedRecursive, IoQueuedRecursive, IoServiceTimeRecursive []BlkioEntry
	IoWaitTimeRecursive, IoMergedRecursive, IoTimeRecursive, SectorsRecursive               []BlkioEntry
	PSI                                                                                     *PSI
}

type BlkioEntry struct {
	Major, Minor uint64
	Op           string
	Value        uint64
}

type HugetlbStats struct {
	Size                string // "2MB"
	Usage, Max, Failcnt uint64
}

type RdmaStats struct{ Limit, Current []RdmaEntry }

// PSI is a pressure file of v2 (Documentation/accounting/psi.rst): percentages over 10, 60 and
// 300 seconds, and the total in microseconds.
type PSI struct{ Some, Full PSIData }

type PSIData struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// Stats reads the counters of the group. What this kernel or hierarchy does not have stays 0.
func (g *Group) Stats() (*Stats, error) {
	s := new(Stats)
	for i := range g.dirs {
		d := &g.dirs[i]
		if d.v2 {
			if err := g.statV2(d.path, s); err != nil {
				return nil, err
			}
			continue
		}
		for _, c := range d.controllers {
			if err := statV1(d.path, c, s); err != nil && !isAbsent(err) {
				return nil, fmt.Errorf("read the %s statistics: %w", c, err)
			}
		}
	}
	slices.SortFunc(s.Hugetlb, func(a, b HugetlbStats) int { return strings.Compare(a.Size, b.Size) })
	return s, nil
}

func statV1(dir, controller string, s *Stats) error {
	switch controller {
	case "cpu":
		return statCPU(dir, false, &s.CPU)
	case "cpuacct":
		return statCPUAcct(dir, &s.CPU.Usage)
	case "cpuset":
		statCpuset(dir, &s.CPUSet)
	case "memory":
		return statMemoryV1(dir, &s.Memory)
	case "pids":
		return statPids(dir, &s.Pids)
	case "blkio":
		return statBlkioV1(dir, &s.Blkio)
	case "hugetlb":
		return statHugetlb(dir, false, s)
	case "rdma":
		return statRdma(dir, &s.Rdma)
	}
	return nil
}

// statV2 reads what no v1 hierarchy has already given.
func (g *Group) statV2(dir string, s *Stats) error {
	for _, c := range []struct {
		controller string
		read       func() error
	}{
		{"cpuacct", func() error { return statCPU(dir, true, &s.CPU) }},
		{"memory", func() error { return statMemoryV2(dir, &s.Memory) }},
		{"pids", func() error { return statPids(dir, &s.Pids) }},
		{"blkio", func() error { return statIOV2(dir, &s.Blkio) }},
		{"hugetlb", func() error { return statHugetlb(dir, true, s) }},
		{"rdma", func() error { return statRdma(dir, &s.Rdma) }},
	} {
		if g.one(c.controller) != nil {
			continue
		}
		if err := c.read(); err != nil && !isAbsent(err) {
			return fmt.Errorf("read the %s statistics: %w", name2(c.controller), err)
		}
	}
	if g.pure() {
		s.CPU.PSI = readPSI(dir, "cpu.pressure")
		s.Memory.PSI = readPSI(dir, "memory.pressure")
		s.Blkio.PSI = readPSI(dir, "io.pressure")
	}
	return nil
}

// readPSI returns nil where the kernel has no PSI (no file, or EOPNOTSUPP with psi=0).
func readPSI(dir, file string) *PSI {
	text, err := readFile(dir, file)
	if err != nil {
		return nil
	}
	p := new(PSI)
	for line := range strings.Lines(text) { // some avg10=0.00 avg60=0.00 avg300=0.00 total=0
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		to := &p.Some
		if f[0] == "full" {
			to = &p.Full
		} else if f[0] != "some" {
			continue
		}
		for _, item := range f[1:] {
			key, num, _ := strings.Cut(item, "=")
			switch key {
			case "avg10":
				to.Avg10, _ = strconv.ParseFloat(num, 64)
			case "avg60":
				to.Avg60, _ = strconv.ParseFloat(num, 64)
			case "avg300":
				to.Avg300, _ = strconv.ParseFloat(num, 64)
			case "total":
				to.Total, _ = strconv.ParseUint(num, 10, 64)
			}
		}
	}
	return p
}

// OOMKillCount returns how often the kernel has killed a process of the group for memory.
func (g *Group) OOMKillCount() (uint64, error) {
	dir, file := "", "memory.events"
	if d := g.one("memory"); d != nil {
		dir, file = d.path, "memory.oom_control"
	} else if two := g.two(); two != nil {
		dir = two.path
	} else {
		return 0, nil
	}
	text, err := readFile(dir, file)
	if err != nil {
		if isAbsent(err) {
			return 0, nil // rootless, or no controller
		}
		return 0, err
	}
	n, _ := keyOf(text, "oom_kill")
	return n, nil
}
