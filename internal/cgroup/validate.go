package cgroup

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxEntries bounds each list of resources.
const maxEntries = 4096

// Validate refuses impossible limits without looking at the host. Its time is bounded by the
// length of the strings. The errors are [*LimitError].
func Validate(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if err := validateLengths(r); err != nil {
		return err
	}
	if err := validateMemory(r.Memory); err != nil {
		return err
	}
	if err := validateCPU(r.CPU); err != nil {
		return err
	}
	if r.BlockIO != nil {
		if err := validateBlockIO(r.BlockIO); err != nil {
			return err
		}
	}
	for i, l := range r.HugepageLimits {
		if !checkPageSize(l.Pagesize) {
			return invalid(fmt.Sprintf("hugepageLimits[%d].pageSize", i), "%q is not of the form 64KB, 2MB or 1GB", l.Pagesize)
		}
	}
	if r.Network != nil {
		for i, p := range r.Network.Priorities {
			if err := checkInterface(p.Name); err != nil {
				return invalid(fmt.Sprintf("network.priorities[%d].name", i), "%q %w", p.Name, err)
			}
		}
	}
	for dev := range r.Rdma {
		if dev == "" || len(dev) > 64 || strings.ContainsAny(dev, " \t\n\r\v\f\x00=") {
			return invalid("rdma", "%q is not a device name", dev)
		}
	}
	for key, v := range r.Unified {
		field := fmt.Sprintf("unified[%q]", key)
		if err := checkUnifiedKey(key); err != nil {
			return invalid(field, "the key %w", err)
		}
		if strings.ContainsRune(v, 0) || len(v) > 64<<10 {
			return invalid(field, "the value has a NUL byte or is longer than 64 KiB")
		}
	}
	_, err := parseRules(r.Devices)
	return err
}

func invalid(field, format string, args ...any) error {
	return &LimitError{Field: field, Err: fmt.Errorf(format, args...)}
}

func validateLengths(r *specs.LinuxResources) error {
	lists := []struct {
		field string
		n     int
	}{{"devices", len(r.Devices)}, {"hugepageLimits", len(r.HugepageLimits)}, {"rdma", len(r.Rdma)}, {"unified", len(r.Unified)}}
	if r.Network != nil {
		lists = append(lists, struct {
			field string
			n     int
		}{"network.priorities", len(r.Network.Priorities)})
	}
	for _, l := range lists {
		if l.n > maxEntries {
			return invalid(l.field, "%d entries are more than %d", l.n, maxEntries)
		}
	}
	return nil
}

func validateMemory(m *specs.LinuxMemory) error {
	if m == nil {
		return nil
	}
	for _, f := range []struct {
		field string
		n     *int64
	}{
		{"memory.limit", m.Limit}, {"memory.reservation", m.Reservation}, {"memory.swap", m.Swap},
		{"memory.kernel", m.Kernel}, {"memory.kernelTCP", m.KernelTCP},
	} {
		if f.n != nil && *f.n < -1 {
			return invalid(f.field, "%d is neither a size nor -1 (no limit)", *f.n)
		}
	}
	// A limit of -1 beside a swap limit means "swap alone" on v2; v1 refuses it itself.
	if limit, swap := val(m.Limit), val(m.Swap); swap > 0 && limit > swap {
		return invalid("memory.swap", "memory+swap limit %d is below the memory limit %d", swap, limit)
	}
	if s := m.Swappiness; s != nil && int64(*s) != -1 && *s > 100 {
		return invalid("memory.swappiness", "%d is not in 0..100", *s)
	}
	return nil
}

// The kernel's bounds, in microseconds (kernel/sched/core.c: min_cfs_quota_period,
// max_cfs_quota_period, max_bw_cfs_runtime).
const (
	minCFS        = 1000
	maxCFSPeriod  = 1000000
	maxCFSRuntime = 1<<44 - 1
)

func validateCPU(c *specs.LinuxCPU) error {
	if c == nil {
		return nil
	}
	if q := val(c.Quota); q > 0 && (q < minCFS || q > maxCFSRuntime) {
		return invalid("cpu.quota", "%d µs is not in %d..%d", q, minCFS, int64(maxCFSRuntime))
	}
	if p := c.Period; isSetU(p) && (*p < minCFS || *p > maxCFSPeriod) {
		return invalid("cpu.period", "%d µs is not in %d..%d", *p, minCFS, maxCFSPeriod)
	}
	if b := c.Burst; b != nil && *b > maxCFSRuntime {
		return invalid("cpu.burst", "%d µs is above %d", *b, int64(maxCFSRuntime))
	}
	if p := c.RealtimePeriod; p != nil && *p > 1<<31-1 {
		return invalid("cpu.realtimePeriod", "%d µs is too long", *p)
	}
	if n := val(c.RealtimeRuntime); n < -1 || n > 1<<31-1 {
		return invalid("cpu.realtimeRuntime", "%d µs is not a time", n)
	}
	if n := c.Idle; n != nil && *n != 0 && *n != 1 {
		return invalid("cpu.idle", "%d is neither 0 nor 1", *n)
	}
	if c.Cpus != "" {
		if err := checkList(c.Cpus); err != nil {
			return invalid("cpu.cpus", "the list %w", err)
		}
	}
	if c.Mems != "" {
		if err := checkList(c.Mems); err != nil {
			return invalid("cpu.mems", "the list %w", err)
		}
	}
	return nil
}

func validateBlockIO(b *specs.LinuxBlockIO) error {
	weight := func(field string, w *uint16) error {
		if isSetW(w) && (*w < 10 || *w > 1000) {
			return invalid(field, "%d is not in 10..1000", *w)
		}
		return nil
	}
	device := func(field string, d specs.LinuxBlockIODevice) error {
		// 12 bits of major, 20 of minor (include/linux/kdev_t.h).
		if d.Major < 0 || d.Major > 1<<12-1 || d.Minor < 0 || d.Minor > 1<<20-1 {
			return invalid(field, "%d:%d is not a device number", d.Major, d.Minor)
		}
		return nil
	}
	if err := errors.Join(weight("blockIO.weight", b.Weight), weight("blockIO.leafWeight", b.LeafWeight)); err != nil {
		return err
	}
	if len(b.WeightDevice) > maxEntries {
		return invalid("blockIO.weightDevice", "%d entries are more than %d", len(b.WeightDevice), maxEntries)
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		for _, err := range []error{device(field, d.LinuxBlockIODevice), weight(field, d.Weight), weight(field, d.LeafWeight)} {
			if err != nil {
				return err
			}
		}
	}
	for _, t := range throttles(b) {
		if len(t.list) > maxEntries {
			return invalid(t.field, "%d entries are more than %d", len(t.list), maxEntries)
		}
		for i, d := range t.list {
			if err := device(fmt.Sprintf("%s[%d]", t.field, i), d.LinuxBlockIODevice); err != nil {
				return err
			}
		}
	}
	return nil
}
