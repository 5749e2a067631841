package ociruntime

import (
	"fmt"
	"os"

	"github.com/hull-dev/hull/internal/cgroup/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Delete removes a stopped or created container: its cgroup, its state directory; then the
// poststop hooks run. With force a running one is killed first. When the cgroup cannot be
// removed the state stays, so that delete can be tried again.
func (c *Container) Delete(force bool) error {
	if c.creating {
		return c.deleteHalf(force)
	}
	switch s := c.Status(); {
	case s == StatusStopped:
		if _, exiting := c.initStat(); exiting {
			if err := c.end(); err != nil {
				return err
			}
		} else if c.Namespaces&unix.CLONE_NEWPID == 0 { // others can outlive init
			if err := c.killLeft(); err != nil {
				return err
			}
		}
	case force || s == StatusCreated:
		if err := c.end(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, s)
	}
	if err := c.removeGroup(); err != nil {
		return err
	}
	if err := c.deleteClass(); err != nil {
		return err
	}
	spec, specErr := c.Config() // before it goes with the directory
	if err := removeState(c.dir); err != nil {
		return fmt.Errorf("delete the state of container %s: %w", c.ID, err)
	}
	c.r.debug("container %s: its cgroups and its state are deleted", c.ID)
	if specErr != nil {
		c.r.warn("the poststop hooks of container " + c.ID + " do not run: " + specErr.Error())
	} else if spec.Hooks != nil {
		c.poststop(spec.Hooks.Poststop)
	}
	return nil
}

// removeState removes a state directory. What the runtime puts there is known, so no listing
// is needed; what else is in it is removed the long way.
func removeState(dir string) error {
	for _, name := range [...]string{stateFile, configFile, startFifo, statusFifo} {
		unix.Unlink(dir + "/" + name)
	}
	if err := unix.Rmdir(dir); err == nil || err == unix.ENOENT {
		return nil
	}
	return os.RemoveAll(dir)
}

// removeGroup removes the container's cgroup, and the unit that it belongs to.
func (c *Container) removeGroup() error {
	g, err := c.cgroup()
	switch {
	case err != nil:
	case c.SystemdUnit != "":
		err = c.withUnit(func(d *systemd.Driver, u systemd.Unit) error { return d.Delete(g, u) })
	default:
		err = g.Delete()
	}
	if err != nil {
		return fmt.Errorf("delete the cgroup of container %s: %w", c.ID, err)
	}
	return nil
}

// killLeft kills what is in the cgroup of a container whose init has ended.
func (c *Container) killLeft() error {
	if len(c.Cgroups) == 0 {
		return nil // a user without rights in any hierarchy
	}
	return c.killGroup(unix.SIGKILL)
}

// poststop runs every hook, whatever the others did (runtime.md, Lifecycle, step 13).
func (c *Container) poststop(hooks []specs.Hook) {
	for i, h := range hooks {
		c.r.debug("container %s: run hooks.poststop[%d] %s", c.ID, i, h.Path)
		if err := c.runHook("poststop", h, hookState(&c.State, StatusStopped, 0)); err != nil {
			c.r.warn(fmt.Sprintf("run hooks.poststop[%d] %s: %v", i, h.Path, err))
		}
	}
}
