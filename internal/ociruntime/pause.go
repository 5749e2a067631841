package ociruntime

import (
	"fmt"
	"time"
)

// freezeTimeout is how long the processes may take to come to rest; one in an
// uninterruptible system call keeps the v1 freezer waiting.
const freezeTimeout = 10 * time.Second

// Pause stops every process of a created or running container.
func (c *Container) Pause() error {
	if s := c.Status(); s != StatusRunning && s != StatusCreated {
		return fmt.Errorf("%w: it is %s", ErrNotRunning, s)
	}
	g, err := c.cgroup()
	if err == nil {
		err = g.Freeze(freezeTimeout)
	}
	if err != nil {
		return fmt.Errorf("pause container %s: %w", c.ID, err)
	}
	return nil
}

// Resume lets the processes of a paused container go on.
func (c *Container) Resume() error {
	if s := c.Status(); s != StatusPaused {
		return fmt.Errorf("%w: it is %s", ErrNotPaused, s)
	}
	g, err := c.cgroup()
	if err == nil {
		err = g.Thaw()
	}
	if err != nil {
		return fmt.Errorf("resume container %s: %w", c.ID, err)
	}
	return nil
}
