package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Update sets limits as [Group.Apply] does, for a group with processes in it. When one cannot
// be set, those that were set before it get back the values that they had; the error says so
// when that fails too.
func (g *Group) Update(r *specs.LinuxResources) error {
	before := g.snapshot(r)
	err := g.Apply(r)
	if err == nil {
		return nil
	}
	if left := before.restore(); left != nil {
		return fmt.Errorf("%w; the limits that were set before it stay, because they cannot be set back: %w", err, left)
	}
	return err
}

// limitFiles are the files that limits are written to, on v1 and v2, but for those whose names
// are in the configuration (hugetlb, unified).
func limitFiles() []string {
	return []string{
		"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.oom_control", "memory.swappiness",
		"memory.max", "memory.swap.max", "memory.low",
		"cpu.idle", "cpu.shares", "cpu.weight", "cpu.rt_period_us", "cpu.rt_runtime_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.cfs_quota_us", "cpu.max.burst", "cpu.max",
		"cpuset.cpus", "cpuset.mems",
		"pids.max",
		"blkio.weight", "blkio.bfq.weight", "blkio.leaf_weight", "blkio.weight_device", "blkio.bfq.weight_device", "blkio.leaf_weight_device",
		"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device",
		"io.bfq.weight", "io.weight", "io.max",
		"net_cls.classid", "net_prio.ifpriomap", "rdma.max",
	}
}

// saved is the content of one limit file.
type saved struct{ dir, file, text string }

// snapshot is what the limit files of a group hold.
type snapshot []saved

func (g *Group) snapshot(r *specs.LinuxResources) snapshot {
	files := limitFiles()
	if r != nil {
		for _, l := range r.HugepageLimits {
			for _, suffix := range []string{".limit_in_bytes", ".rsvd.limit_in_bytes", ".max", ".rsvd.max"} {
				files = append(files, "hugetlb."+l.Pagesize+suffix)
			}
		}
		for key := range r.Unified {
			if checkUnifiedKey(key) == nil && !slices.Contains(files, key) {
				files = append(files, key)
			}
		}
	}
	var s snapshot
	for i := range g.dirs {
		d := &g.dirs[i]
		for _, f := range files {
			controller, _, _ := strings.Cut(f, ".")
			if !d.v2 && !slices.Contains(d.controllers, controller) {
				continue
			}
			if text, err := readFile(d.path, f); err == nil {
				s = append(s, saved{d.path, f, text})
			}
		}
	}
	return s
}

// restorePasses is how often all files are gone through. Some limits bound others (memory ≤
// memsw, burst ≤ quota, runtime ≤ period), so that one can have to wait for another; the
// longest such chain has three.
const restorePasses = 3

// restore writes back what has changed.
func (s snapshot) restore() error {
	var errs []error
	for range restorePasses {
		errs = nil
		for _, f := range s {
			now, err := readFile(f.dir, f.file)
			if err == nil && now != f.text {
				err = f.restore(now)
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		if errs == nil {
			break
		}
	}
	return errors.Join(errs...)
}

// restore brings one file from the content now back to the old one.
func (f saved) restore(now string) error {
	switch f.file {
	case "memory.oom_control":
		v, _ := keyOf(f.text, "oom_kill_disable")
		return writeFile(f.dir, f.file, fmt.Sprint(v))
	case "cpu.weight":
		if strings.TrimSpace(f.text) == "0" { // cpu.idle, which comes first, says it
			return nil
		}
	}
	var first error
	write := func(line string) {
		if err := writeFile(f.dir, f.file, line); err != nil && first == nil {
			first = err
		}
	}
	// Lists of devices: those that were not there before go back to no limit.
	for line := range strings.Lines(now) {
		key, _, _ := strings.Cut(line, " ")
		if !strings.Contains(key, ":") || strings.HasPrefix(f.text, key+" ") || strings.Contains(f.text, "\n"+key+" ") {
			continue
		}
		switch {
		case f.file == "io.max":
			write(key + " rbps=max wbps=max riops=max wiops=max")
		case strings.HasPrefix(f.file, "io."):
			write(key + " default")
		default:
			write(key + " 0")
		}
	}
	if strings.TrimSpace(f.text) == "" {
		if !strings.Contains(now, ":") {
			write("\n") // cpuset of v2: nothing is a value
		}
		return first
	}
	for line := range strings.Lines(f.text) {
		write(strings.TrimSuffix(line, "\n"))
	}
	return first
}
