package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/cgroup/systemd"
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// updatesFile is linux.resources as far as updates have changed it, beside the copy of
// config.json.
const updatesFile = "resources.json"

// Update changes the limits of a container that has not stopped. Absent fields stay as they
// are; device rules are never touched, as in runc. When a limit cannot be set, none is changed.
// The new limits are part of [Container.Config] from then on.
func (c *Container) Update(res *specs.LinuxResources) error {
	if s := c.Status(); s == StatusStopped {
		return ErrNotRunning
	}
	err := c.setLimits(res)
	if err == nil {
		err = c.keepUpdates(res)
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", c.ID, err)
	}
	return nil
}

func (c *Container) setLimits(res *specs.LinuxResources) error {
	g, err := c.cgroup()
	if err != nil {
		return err
	}
	old, err := c.Config()
	if err != nil {
		return err
	}
	res = leavingIdle(res, old.Linux.Resources)
	if c.SystemdUnit == "" {
		err = g.Update(res)
	} else {
		err = c.withUnit(func(d *systemd.Driver, u systemd.Unit) error { return d.Update(g, u, res, old.Linux.Resources) })
	}
	if err != nil {
		return err
	}
	c.r.debug("container %s: limits set in the cgroups %v", c.ID, c.Cgroups)
	for _, w := range g.Warnings() {
		c.r.warn(w)
	}
	return nil
}

// leavingIdle gives a group that stops being idle the shares that it had: the kernel has
// forgotten them (sched_group_set_idle).
func leavingIdle(res, old *specs.LinuxResources) *specs.LinuxResources {
	if res.CPU == nil || res.CPU.Idle == nil || *res.CPU.Idle != 0 || res.CPU.Shares != nil || old.CPU == nil {
		return res
	}
	r, cpu := *res, *res.CPU
	cpu.Shares = old.CPU.Shares
	r.CPU = &cpu
	return &r
}

// keepUpdates remembers new limits, with those of earlier updates.
func (c *Container) keepUpdates(res *specs.LinuxResources) error {
	all, err := c.updates()
	if err != nil {
		return err
	}
	mergeResources(all, res)
	name := filepath.Join(c.dir, updatesFile)
	err = os.WriteFile(name+".new", ocispec.AppendResources(nil, all), 0o600)
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("keep the new limits, which are set: %w", err)
	}
	c.spec = nil // to be read anew
	return nil
}

// updates are the limits that updates have set.
func (c *Container) updates() (*specs.LinuxResources, error) {
	b, err := ocispec.ReadFile(unix.AT_FDCWD, filepath.Join(c.dir, updatesFile))
	if errors.Is(err, os.ErrNotExist) {
		return &specs.LinuxResources{}, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := ocispec.DecodeResources(b)
	if err != nil {
		return nil, fmt.Errorf("read %s of container %s: %w", updatesFile, c.ID, err)
	}
	return r, nil
}
