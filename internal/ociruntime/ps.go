package ociruntime

import (
	"fmt"
	"slices"
)

// Processes are the host's numbers of the container's processes, in ascending order.
func (c *Container) Processes() ([]int, error) {
	var pids []int
	var err error
	if c.byNamespace() {
		pids, err = c.members()
	} else if g, e := c.cgroup(); e != nil {
		err = e
	} else {
		pids, err = g.Pids()
	}
	if err != nil {
		return nil, fmt.Errorf("list the processes of container %s: %w", c.ID, err)
	}
	slices.Sort(pids)
	return pids, nil
}
