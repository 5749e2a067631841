package ociruntime

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a container that has not stopped. Absent fields stay as they
// are; device rules are never touched, as in runc.
func (c *Container) Update(res *specs.LinuxResources) error {
	if s := c.Status(); s == StatusStopped {
		return ErrNotRunning
	}
	g, err := c.cgroup()
	if err != nil {
		return fmt.Errorf("update container %s: %w", c.ID, err)
	}
	if err := g.Apply(res); err != nil {
		return fmt.Errorf("update container %s: %w", c.ID, err)
	}
	for _, w := range g.Warnings() {
		c.r.warn(w)
	}
	return nil
}
