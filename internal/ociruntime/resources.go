package ociruntime

import (
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mergeResources lays what is set in r over old, which it changes. Devices are left alone.
func mergeResources(old, r *specs.LinuxResources) {
	if r.Memory != nil {
		m, n := part(&old.Memory), r.Memory
		over(&m.Limit, n.Limit)
		over(&m.Reservation, n.Reservation)
		over(&m.Swap, n.Swap)
		over(&m.Swappiness, n.Swappiness)
		over(&m.DisableOOMKiller, n.DisableOOMKiller)
		over(&m.UseHierarchy, n.UseHierarchy)
		over(&m.CheckBeforeUpdate, n.CheckBeforeUpdate)
	}
	if r.CPU != nil {
		m, n := part(&old.CPU), r.CPU
		over(&m.Shares, n.Shares)
		over(&m.Quota, n.Quota)
		over(&m.Burst, n.Burst)
		over(&m.Period, n.Period)
		over(&m.RealtimeRuntime, n.RealtimeRuntime)
		over(&m.RealtimePeriod, n.RealtimePeriod)
		over(&m.Idle, n.Idle)
		if n.Cpus != "" {
			m.Cpus = n.Cpus
		}
		if n.Mems != "" {
			m.Mems = n.Mems
		}
	}
	if r.Pids != nil {
		over(&part(&old.Pids).Limit, r.Pids.Limit)
	}
	if r.BlockIO != nil {
		mergeBlockIO(part(&old.BlockIO), r.BlockIO)
	}
	old.HugepageLimits = overList(old.HugepageLimits, r.HugepageLimits, func(l specs.LinuxHugepageLimit) string { return l.Pagesize })
	if r.Network != nil {
		m := part(&old.Network)
		over(&m.ClassID, r.Network.ClassID)
		m.Priorities = overList(m.Priorities, r.Network.Priorities, func(p specs.LinuxInterfacePriority) string { return p.Name })
	}
	old.Rdma = overMap(old.Rdma, r.Rdma)
	old.Unified = overMap(old.Unified, r.Unified)
}

func mergeBlockIO(m, n *specs.LinuxBlockIO) {
	over(&m.Weight, n.Weight)
	over(&m.LeafWeight, n.LeafWeight)
	m.WeightDevice = overList(m.WeightDevice, n.WeightDevice, func(d specs.LinuxWeightDevice) specs.LinuxBlockIODevice { return d.LinuxBlockIODevice })
	device := func(d specs.LinuxThrottleDevice) specs.LinuxBlockIODevice { return d.LinuxBlockIODevice }
	m.ThrottleReadBpsDevice = overList(m.ThrottleReadBpsDevice, n.ThrottleReadBpsDevice, device)
	m.ThrottleWriteBpsDevice = overList(m.ThrottleWriteBpsDevice, n.ThrottleWriteBpsDevice, device)
	m.ThrottleReadIOPSDevice = overList(m.ThrottleReadIOPSDevice, n.ThrottleReadIOPSDevice, device)
	m.ThrottleWriteIOPSDevice = overList(m.ThrottleWriteIOPSDevice, n.ThrottleWriteIOPSDevice, device)
}

// part is a part of the configuration, made when it is missing.
func part[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

func over[T any](old **T, v *T) {
	if v != nil {
		*old = v
	}
}

// overList replaces the elements of old whose key is in list, and adds the others.
func overList[T any, K comparable](old, list []T, key func(T) K) []T {
	kept := slices.DeleteFunc(slices.Clone(old), func(o T) bool {
		return slices.ContainsFunc(list, func(n T) bool { return key(n) == key(o) })
	})
	return append(kept, list...)
}

func overMap[T any](old, m map[string]T) map[string]T {
	if len(m) == 0 {
		return old
	}
	out := maps.Clone(old)
	if out == nil {
		out = make(map[string]T, len(m))
	}
	maps.Copy(out, m)
	return out
}
