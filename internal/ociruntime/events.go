package ociruntime

import (
	"fmt"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
)

// Event is one thing to tell about a container: its counters, or, when Stats is nil, that it
// has run out of memory.
type Event struct{ Stats *cgroup.Stats }

// Stats reads the container's counters once.
func (c *Container) Stats() (*cgroup.Stats, error) {
	if c.Status() == StatusStopped {
		return nil, fmt.Errorf("container with id %s is not running", c.ID)
	}
	g, err := c.cgroup()
	var s *cgroup.Stats
	if err == nil {
		s, err = g.Stats()
	}
	if err != nil {
		return nil, fmt.Errorf("read the statistics of container %s: %w", c.ID, err)
	}
	return s, nil
}

// Events calls tell with the counters at every interval and at once with each shortage of
// memory, until the cgroup is removed (on v2: until the last process has ended), or tell
// returns an error, which is then Events' own.
func (c *Container) Events(interval time.Duration, tell func(Event) error) error {
	if c.Status() == StatusStopped {
		return fmt.Errorf("container with id %s is not running", c.ID)
	}
	g, err := c.cgroup()
	if err != nil {
		return fmt.Errorf("watch container %s: %w", c.ID, err)
	}
	done := make(chan struct{})
	defer close(done)
	oom, err := g.OOM(done)
	if err != nil {
		return fmt.Errorf("watch the memory of container %s: %w", c.ID, err)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case _, ok := <-oom:
			if !ok {
				return nil
			}
			if err := tell(Event{}); err != nil {
				return err
			}
		case <-tick.C:
			s, err := g.Stats()
			if err != nil { // it may be going away; the channel will say so
				c.r.warn("read the statistics of container " + c.ID + ": " + err.Error())
				continue
			}
			if err := tell(Event{Stats: s}); err != nil {
				return err
			}
		}
	}
}
