package cgroup

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Apply sets the limits of r; nil is none. Fields that are absent (or 0, where config.json
// takes that for absent) are left as they are.
//
// For a group that Create made in this process, the device rules are set too, even when r has
// none: see the package comment. For a group that Load returned they are never touched.
//
// The error of a limit that cannot be set is a [*LimitError].
func (g *Group) Apply(r *specs.LinuxResources) error {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := Validate(r); err != nil {
		return err
	}
	if g.created {
		if err := g.setDevices(r.Devices); err != nil {
			return err
		}
	}
	return g.applyLimits(r)
}

func (g *Group) applyLimits(r *specs.LinuxResources) error {
	if m := r.Memory; m != nil {
		if m.Kernel != nil || m.KernelTCP != nil {
			g.warnings = append(g.warnings, "linux.resources.memory.kernel and kernelTCP are ignored: obsolete since Linux 5.4")
		}
		if field, ok := memoryFields(m); ok {
			d, err := g.locate("memory", field)
			if err != nil {
				return err
			}
			if d.v2 {
				err = setMemoryV2(d.path, m)
			} else {
				err = setMemoryV1(d.path, m, !g.created)
			}
			if err != nil {
				return err
			}
		}
	}
	if field, ok := cpuFields(r.CPU); ok {
		d, err := g.locate("cpu", field)
		if err != nil {
			return err
		}
		if d.v2 {
			err = setCPUV2(d.path, r.CPU)
		} else {
			err = setCPUV1(d.path, r.CPU)
		}
		if err != nil {
			return err
		}
	}
	if c := r.CPU; c != nil && (c.Cpus != "" || c.Mems != "") {
		field := "cpu.cpus"
		if c.Cpus == "" {
			field = "cpu.mems"
		}
		d, err := g.locate("cpuset", field)
		if err != nil {
			return err
		}
		if err := setCpuset(d.path, c); err != nil {
			return err
		}
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		if d, err := g.locate("pids", "pids.limit"); err == nil {
			if err := setPids(d.path, r.Pids); err != nil {
				return err
			}
		} else if *r.Pids.Limit > 0 { // "no limit" holds without the controller
			return err
		}
	}
	if field, ok := blkioFields(r.BlockIO); ok {
		d, err := g.locate("blkio", field)
		if err != nil {
			return err
		}
		if d.v2 {
			err = setIOV2(d.path, r.BlockIO)
		} else {
			err = setBlkioV1(d.path, r.BlockIO)
		}
		if err != nil {
			return err
		}
	}
	for _, l := range r.HugepageLimits {
		d, err := g.locate("hugetlb", "hugepageLimits")
		if err != nil {
			return err
		}
		if err := setHugetlb(d.path, d.v2, l); err != nil {
			return err
		}
	}
	if r.Network != nil {
		if err := g.setNetwork(r.Network); err != nil {
			return err
		}
	}
	if len(r.Rdma) > 0 {
		d, err := g.locate("rdma", "rdma")
		if err != nil {
			return err
		}
		if err := setRdma(d.path, r.Rdma); err != nil {
			return err
		}
	}
	if len(r.Unified) > 0 {
		if !g.pure() {
			return &LimitError{Field: "unified", Err: errors.New("it needs a cgroup v2 host")}
		}
		return setUnified(g.dirs[0].path, r.Unified)
	}
	return nil
}

// needsDomain tells whether a limit of a controller is set that is not thread-aware
// (cgroups(7), "Thread mode": cpu, cpuset, perf_event and pids are).
func needsDomain(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	_, memory := memoryFields(r.Memory)
	_, io := blkioFields(r.BlockIO)
	return memory || io || len(r.HugepageLimits) > 0
}
