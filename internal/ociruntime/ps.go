package ociruntime

import (
	"fmt"
	"slices"
)

// Processes are the host's numbers of the container's processes, in ascending order.
func (c *Container) Processes() ([]int, error) {
	g, err := c.cgroup()
	var pids []int
	if err == nil {
		pids, err = g.Pids()
	}
	if err != nil {
		return nil, fmt.Errorf("list the processes of container %s: %w", c.ID, err)
	}
	slices.Sort(pids)
	return pids, nil
}
