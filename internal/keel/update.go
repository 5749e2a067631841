package keel

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func updateCommand() command {
	return command{
		name: "update", brief: "update container resource constraints", args: containerID, min: 1, max: 1,
		about: "What no option names stays as it is. A resources file is linux.resources of config.json; with one, all other\noptions are ignored.",
		options: []option{
			{name: "resources", short: "r", value: true, usage: "`path` to the file containing the resources to update or '-' to read from the standard input"},
			{name: "blkio-weight", value: true, number: true, usage: "specifies per cgroup weight, range is from 10 to 1000"},
			{name: "cpu-period", value: true, usage: "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"},
			{name: "cpu-quota", value: true, usage: "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"},
			{name: "cpu-burst", value: true, usage: "CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time additionally for burst a given period"},
			{name: "cpu-share", value: true, usage: "CPU shares (relative weight vs. other containers)"},
			{name: "cpu-rt-period", value: true, usage: "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default"},
			{name: "cpu-rt-runtime", value: true, usage: "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period"},
			{name: "cpuset-cpus", value: true, usage: "CPU(s) to use"},
			{name: "cpuset-mems", value: true, usage: "memory node(s) to use"},
			{name: "kernel-memory", value: true, hidden: true},
			{name: "kernel-memory-tcp", value: true, hidden: true},
			{name: "memory", value: true, usage: "memory limit (in bytes, or with a unit: 512m)"},
			{name: "cpu-idle", value: true, usage: "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"},
			{name: "memory-reservation", value: true, usage: "memory reservation or soft limit (in bytes)"},
			{name: "memory-swap", value: true, usage: "total memory usage (memory + swap); set '-1' to enable unlimited swap"},
			{name: "pids-limit", value: true, number: true, usage: "maximum number of pids allowed in the container; '-1' for no limit"},
			{name: "l3-cache-schema", value: true, usage: "the string of Intel RDT/CAT L3 cache schema"},
			{name: "mem-bw-schema", value: true, usage: "the string of Intel RDT/MBA memory bandwidth schema"},
		},
		run: update,
	}
}

func update(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	if o.get("l3-cache-schema") != "" {
		return 0, errors.New("update: Intel RDT/CAT: l3 cache schema is not enabled")
	}
	if o.get("mem-bw-schema") != "" {
		return 0, errors.New("update: Intel RDT/MBA: memory bandwidth schema is not enabled")
	}
	res, err := updateResources(o)
	if err == nil {
		err = c.Update(res)
	}
	return 0, err
}

// updateResources is the resources file, or what the options say.
func updateResources(o options) (*specs.LinuxResources, error) {
	if name := o.get("resources"); name != "" {
		b, err := readInput(name)
		var r *specs.LinuxResources
		if err == nil {
			r, err = ocispec.DecodeResources(b)
		}
		if err != nil {
			return nil, fmt.Errorf("--resources %s: %w", name, err)
		}
		return r, nil
	}
	n := numbers{o: o}
	cpu := &specs.LinuxCPU{
		Shares: n.unsigned("cpu-share"), Quota: n.signed("cpu-quota"), Burst: n.unsigned("cpu-burst"), Period: n.unsigned("cpu-period"),
		RealtimeRuntime: n.signed("cpu-rt-runtime"), RealtimePeriod: n.unsigned("cpu-rt-period"),
		Cpus: o.get("cpuset-cpus"), Mems: o.get("cpuset-mems"), Idle: n.signed("cpu-idle"),
	}
	mem := &specs.LinuxMemory{
		Limit: n.bytes("memory"), Reservation: n.bytes("memory-reservation"), Swap: n.bytes("memory-swap"),
		Kernel: n.bytes("kernel-memory"), KernelTCP: n.bytes("kernel-memory-tcp"), // obsolete: warned of, never set
	}
	r := &specs.LinuxResources{CPU: cpu, Memory: mem}
	if l := n.signed("pids-limit"); l != nil && *l != 0 { // 0 is runc's default: leave it
		r.Pids = &specs.LinuxPids{Limit: l}
	}
	if w := n.unsigned("blkio-weight"); w != nil && *w != 0 {
		if *w > math.MaxUint16 {
			return nil, fmt.Errorf("invalid value for blkio-weight: %d is greater than 1000", *w)
		}
		weight := uint16(*w)
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	return r, n.err
}

// numbers reads options as numbers, nil when they were not given, and keeps the first error.
type numbers struct {
	o   options
	err error
}

func (n *numbers) fail(name string, err error) {
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("invalid value for %s: %w", name, err)
	}
}

func (n *numbers) signed(name string) *int64 {
	v := n.o.get(name)
	if v == "" {
		return nil
	}
	i, err := strconv.ParseInt(v, 10, 64)
	n.fail(name, err)
	return &i
}

func (n *numbers) unsigned(name string) *uint64 {
	v := n.o.get(name)
	if v == "" {
		return nil
	}
	u, err := strconv.ParseUint(v, 10, 64)
	n.fail(name, err)
	return &u
}

func (n *numbers) bytes(name string) *int64 {
	v := n.o.get(name)
	if v == "" {
		return nil
	}
	i, err := parseBytes(v)
	n.fail(name, err)
	return &i
}

// parseBytes reads a size as docker and runc do: "1073741824", "512m", "1.5 GiB" (all powers
// of 1024), or -1 for no limit.
func parseBytes(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	bad := fmt.Errorf("invalid size: %q", s)
	end := strings.LastIndexAny(s, "0123456789.") + 1
	number, unit := s[:end], strings.ToLower(strings.TrimPrefix(s[end:], " "))
	if number == "" || number[0] < '0' || number[0] > '9' || strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	shift := 0
	if unit != "" && unit != "b" {
		i := strings.IndexByte("kmgtp", unit[0])
		if i < 0 || unit[1:] != "" && unit[1:] != "b" && unit[1:] != "ib" {
			return 0, bad
		}
		shift = 10 * (i + 1)
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		if whole > math.MaxInt64>>shift {
			return 0, bad
		}
		return whole << shift, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if f *= float64(int64(1) << shift); err != nil || f >= math.MaxInt64 {
		return 0, bad
	}
	return int64(f), nil
}
