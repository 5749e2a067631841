package engine

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/spec"
)

// Update changes limits and the restart policy, of a running container at once. What is zero stays.
func (e *Engine) Update(ctx context.Context, name string, u container.UpdateConfig) (warnings []string, err error) {
	err = e.turn(ctx, name, "updating", func(ctx context.Context, c *Container) error {
		v := c.view.Load()
		if v.State.Phase == Removing || v.State.Phase == Dead {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: Container is marked for removal and cannot be \"update\".", c.id))
		}
		host := *v.Host
		if err := mergeUpdate(&host, u); err != nil {
			return err
		}
		if host.AutoRemove && !host.RestartPolicy.IsNone() {
			return errdefs.ErrInvalidArgument.WithMessage("Restart policy cannot be updated because AutoRemove is enabled for the container")
		}
		warnings, err = spec.ValidateResources(&host.Resources, e.opts.Facts, true)
		if err != nil {
			return err
		}
		if alive(v.State.Phase) && c.shim != nil {
			devices, err := spec.ResolveDevices(&host)
			if err != nil {
				return err
			}
			res, err := spec.Resources(u.Resources, devices.Numbers)
			if err != nil {
				return err
			}
			raw, err := json.Marshal(res)
			if err != nil {
				return err
			}
			if err := c.shim.Update(ctx, raw); err != nil {
				return fmt.Errorf("Cannot update container %s: %w", c.id, err) //nolint:staticcheck // Docker's words
			}
		}
		next := *v
		next.Host = &host
		if err := writeConfig(v.Dir, &next); err != nil {
			return err
		}
		c.change(func(v *View) { v.Host = &host })
		c.publish("update", nil)
		return nil
	})
	return warnings, err
}

// mergeUpdate takes what an update says into a configuration, with Docker's refusals.
func mergeUpdate(h *container.HostConfig, u container.UpdateConfig) error {
	conflict := func(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
	if u.NanoCPUs > 0 && (u.CPUPeriod > 0 || u.CPUQuota > 0) {
		return conflict("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
	}
	if h.CPUPeriod > 0 && u.NanoCPUs > 0 {
		return conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
	}
	if h.CPUQuota > 0 && u.NanoCPUs > 0 {
		return conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
	}
	if h.NanoCPUs > 0 && (u.CPUPeriod > 0 || u.CPUQuota > 0) {
		return conflict("Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set")
	}
	for _, x := range []struct{ to, from *int64 }{
		{&h.CPUShares, &u.CPUShares}, {&h.NanoCPUs, &u.NanoCPUs}, {&h.CPUPeriod, &u.CPUPeriod}, {&h.CPUQuota, &u.CPUQuota},
		{&h.CPURealtimePeriod, &u.CPURealtimePeriod}, {&h.CPURealtimeRuntime, &u.CPURealtimeRuntime}, {&h.MemoryReservation, &u.MemoryReservation},
	} {
		if *x.from != 0 {
			*x.to = *x.from
		}
	}
	if u.BlkioWeight != 0 {
		h.BlkioWeight = u.BlkioWeight
	}
	if u.CpusetCpus != "" {
		h.CpusetCpus = u.CpusetCpus
	}
	if u.CpusetMems != "" {
		h.CpusetMems = u.CpusetMems
	}
	if u.Memory != 0 {
		// A limit above the one of memory and swap would be refused by the kernel, in words that say nothing.
		if h.MemorySwap > 0 && u.Memory > h.MemorySwap && u.MemorySwap == 0 {
			return conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
		}
		h.Memory = u.Memory
	}
	if u.MemorySwap != 0 {
		h.MemorySwap = u.MemorySwap
	}
	if u.PidsLimit != nil {
		h.PidsLimit = u.PidsLimit
	}
	if u.RestartPolicy.Name != "" {
		if err := container.ValidateRestartPolicy(u.RestartPolicy); err != nil {
			return conflict(err.Error())
		}
		h.RestartPolicy = u.RestartPolicy
	}
	return nil
}
