package ociruntime

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// Container is a container that exists in the state directory. It is a snapshot: what the
// kernel knows better (does init live, is the group frozen) is asked for by [Container.Status]
// each time.
//
//	       Create: creating      Start            program ends          Delete
//	(none) ─────────► created ───────► running ──────────────► stopped ─────────► (none)
//	                     │                │  ▲                    ▲
//	                     │          Pause ▼  │ Resume             │
//	                     └─────────────► paused ──────────────────┘
//	                                        killed
type Container struct {
	State
	r        *Runtime
	dir      string
	spec     *ocispec.Config // once read
	creating bool            // it was not finished when it was loaded
}

// Errors that a caller tells apart; the texts are runc's, which engines look for.
var (
	ErrNotExist   = errors.New("container does not exist")
	ErrNotRunning = errors.New("container not running")
	ErrNotPaused  = errors.New("container not paused")
)

// maxID bounds the name of a container; a file name's own limit is lower.
const maxID = 1024

// checkID refuses names that could leave the state directory: runc's grammar, [\w+.-]+.
func checkID(id string) error {
	if id == "" {
		return errors.New("container id cannot be empty")
	}
	ok := len(id) <= maxID && id != "." && id != ".."
	for i := 0; i < len(id) && ok; i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_+.-", c) >= 0
	}
	if !ok {
		if len(id) > 64 {
			id = id[:64] + "…"
		}
		return fmt.Errorf("invalid container ID format: %q: want letters, digits, and any of _+.-", id)
	}
	return nil
}

// Config is the config.json that the container was created with, with the limits that updates
// have set since. It belongs to the container: who changes it makes a copy.
func (c *Container) Config() (*ocispec.Config, error) {
	if c.spec != nil {
		return c.spec, nil
	}
	name := filepath.Join(c.dir, configFile)
	b, err := ocispec.ReadFile(unix.AT_FDCWD, name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of container %s: %w", c.ID, err)
	}
	s, err := ocispec.Decode(b) // checked when the container was created
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	up, err := c.updates()
	if err != nil {
		return nil, err
	}
	mergeResources(part(&s.Linux.Resources), up)
	c.spec = s
	return s, nil
}

// Group is the container's cgroup.
func (c *Container) Group() (*cgroup.Group, error) { return c.cgroup() }

func (c *Container) cgroup() (*cgroup.Group, error) {
	return cgroup.Load(c.r.cgroupHost, c.Cgroups)
}
