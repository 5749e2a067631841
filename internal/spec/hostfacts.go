package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadFacts looks at the host and at this process. What it cannot find out it takes for missing, so
// that a limit is refused with a warning and not forgotten. Runtimes, DefaultRuntime, UserNS and SystemdCgroup are
// settings: the caller fills them in.
func ReadFacts() (*Facts, error) { return readFacts("/") }

// readFacts reads /proc and /sys below root.
func readFacts(root string) (*Facts, error) {
	h := hostFiles(root)
	f := &Facts{Arch: runtime.GOARCH, NCPU: runtime.NumCPU(), Seccomp: h.has("proc/sys/kernel/seccomp")}
	if _, err := fmt.Sscanf(h.text("proc/sys/kernel/osrelease"), "%d.%d", &f.KernelMajor, &f.KernelMinor); err != nil {
		return nil, fmt.Errorf("reading the kernel's version: %w", err)
	}
	f.Unified = h.has("sys/fs/cgroup/cgroup.controllers")
	f.Controllers = h.controllers(f.Unified)
	f.CPUs, f.Mems = h.text("sys/devices/system/cpu/online"), h.text("sys/devices/system/node/online")
	if f.Mems == "" {
		f.Mems = "0" // a kernel without NUMA
	}
	f.AppArmor = strings.HasPrefix(h.text("sys/module/apparmor/parameters/enabled"), "Y")
	f.SELinux = h.has("sys/fs/selinux/enforce")
	f.PingGroupRange = h.has("proc/sys/net/ipv4/ping_group_range")
	f.UnprivilegedPortStart = h.has("proc/sys/net/ipv4/ip_unprivileged_port_start")
	f.IPv4ForwardingDisabled = h.text("proc/sys/net/ipv4/ip_forward") == "0"
	f.OOMScoreAdj, _ = strconv.Atoi(h.text("proc/self/oom_score_adj"))
	newer := func(major, minor int) bool {
		return f.KernelMajor > major || f.KernelMajor == major && f.KernelMinor >= minor
	}
	f.RecursiveReadOnly, f.IDMapMounts = newer(5, 12), newer(5, 19)
	f.Throttles = h.throttles()
	var err error
	if f.Capabilities, err = capabilityNames(h.text("proc/self/status")); err != nil {
		return nil, err
	}
	f.Limits, err = parseLimits(h.text("proc/self/limits"))
	return f, err
}

// hostFiles reads small files below a directory.
type hostFiles string

// text is the content of a file without blanks around it, "" if there is none.
func (h hostFiles) text(name string) string {
	b, err := os.ReadFile(filepath.Join(string(h), name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (h hostFiles) has(name string) bool {
	_, err := os.Stat(filepath.Join(string(h), name))
	return err == nil
}

func (h hostFiles) controllers(unified bool) Controllers {
	if unified {
		return h.controllersV2()
	}
	v1 := func(name string) bool { return h.has("sys/fs/cgroup/" + name) }
	throttle := v1("blkio/blkio.throttle.read_bps_device")
	return Controllers{
		MemoryLimit:       v1("memory/memory.limit_in_bytes"),
		SwapLimit:         v1("memory/memory.memsw.limit_in_bytes"),
		MemoryReservation: v1("memory/memory.soft_limit_in_bytes"),
		MemorySwappiness:  v1("memory/memory.swappiness"),
		OomKillDisable:    v1("memory/memory.oom_control"),
		CPUShares:         v1("cpu/cpu.shares"),
		CPUCfs:            v1("cpu/cpu.cfs_quota_us"),
		CPURealtime:       v1("cpu/cpu.rt_period_us"),
		Cpuset:            v1("cpuset/cpuset.cpus"),
		PidsLimit:         v1("pids/cgroup.procs"),
		BlkioWeight:       v1("blkio/blkio.weight") || v1("blkio/blkio.bfq.weight"),
		BlkioWeightDevice: v1("blkio/blkio.weight_device") || v1("blkio/blkio.bfq.weight_device"),
		BlkioThrottle:     throttle,
		Devices:           v1("devices/devices.allow"),
	}
}

// controllersV2: the root group has none of the limits' files, so the list of controllers decides.
func (h hostFiles) controllersV2() Controllers {
	have := strings.Fields(h.text("sys/fs/cgroup/cgroup.controllers"))
	memory, cpu, io := slices.Contains(have, "memory"), slices.Contains(have, "cpu"), slices.Contains(have, "io")
	return Controllers{
		MemoryLimit: memory, SwapLimit: memory && h.has("proc/swaps"), MemoryReservation: memory,
		CPUShares: cpu, CPUCfs: cpu,
		Cpuset: slices.Contains(have, "cpuset"), PidsLimit: slices.Contains(have, "pids"),
		BlkioWeight: io, BlkioWeightDevice: io, BlkioThrottle: io,
		Devices: true, // by BPF
	}
}

func (h hostFiles) throttles() []int {
	dirs, err := filepath.Glob(filepath.Join(string(h), "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))
	if err != nil {
		return nil
	}
	var cpus []int
	for _, d := range dirs {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(d)), "cpu")); err == nil {
			cpus = append(cpus, n)
		}
	}
	slices.Sort(cpus)
	return cpus
}

// capabilityNames are the names of the bounding set in /proc/PID/status that are permitted too: what
// a process can give to its children.
func capabilityNames(status string) ([]string, error) {
	sets := make(map[string]uint64)
	for _, line := range strings.Split(status, "\n") {
		key, value, _ := strings.Cut(line, ":")
		if key == "CapBnd" || key == "CapPrm" {
			v, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil {
				return nil, fmt.Errorf("reading the capabilities in /proc/self/status: %w", err)
			}
			sets[key] = v
		}
	}
	var out []string
	for i, name := range allCaps() {
		if sets["CapBnd"]&sets["CapPrm"]&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out, nil
}

// parseLimits reads /proc/PID/limits.
func parseLimits(text string) (map[string]Limit, error) {
	names := map[string]string{
		"Max cpu time": "cpu", "Max file size": "fsize", "Max data size": "data", "Max stack size": "stack",
		"Max core file size": "core", "Max resident set": "rss", "Max processes": "nproc", "Max open files": "nofile",
		"Max locked memory": "memlock", "Max address space": "as", "Max file locks": "locks",
		"Max pending signals": "sigpending", "Max msgqueue size": "msgqueue", "Max nice priority": "nice",
		"Max realtime priority": "rtprio", "Max realtime timeout": "rttime",
	}
	out := make(map[string]Limit)
	for _, line := range strings.Split(text, "\n") {
		if len(line) < 26 {
			continue
		}
		name, ok := names[strings.TrimSpace(line[:26])]
		fields := strings.Fields(line[26:])
		if !ok || len(fields) < 2 {
			continue
		}
		soft, err := parseLimit(fields[0])
		if err != nil {
			return nil, fmt.Errorf("reading /proc/self/limits: %w", err)
		}
		hard, err := parseLimit(fields[1])
		if err != nil {
			return nil, fmt.Errorf("reading /proc/self/limits: %w", err)
		}
		out[name] = Limit{soft, hard}
	}
	return out, nil
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" {
		return unix.RLIM_INFINITY, nil
	}
	return strconv.ParseUint(s, 10, 64)
}
