package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// Load reads a container's state. The error is [ErrNotExist] when there is none of that name.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	stateRoot := r.Root
	c := &Container{r: r, dir: filepath.Join(stateRoot, id)}
	b, creating, err := readState(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotExist, id)
	}
	var s *State
	if err == nil {
		s, err = ocispec.DecodeRecord(b)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of container %s: %w", id, err)
	}
	c.State = *s
	if c.ID != id {
		return nil, fmt.Errorf("read the state of container %s: it is that of %q", id, c.ID)
	}
	c.creating = creating
	return c, nil
}

// List loads every container, by name. One that cannot be read is left out with a warning;
// one that is being created or deleted at this moment is left out without.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.Root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []*Container
	for _, e := range entries {
		if !e.IsDir() || e.Name() == filterDir {
			continue
		}
		c, err := r.Load(e.Name())
		switch {
		case err == nil:
			out = append(out, c)
		case !errors.Is(err, ErrNotExist):
			r.warn(err.Error())
		}
	}
	return out, nil
}

// OwnerID is the user who owns the state directory: who made the container.
func (c *Container) OwnerID() (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(c.dir, &st); err != nil {
		return 0, fmt.Errorf("find the owner of container %s: %w", c.ID, err)
	}
	return st.Uid, nil
}

// Forget removes the state directory of a container whose creation was cut off before it had
// a state. It does nothing when there is a state, or no directory.
func (r *Runtime) Forget(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	stateRoot := r.Root
	dir := filepath.Join(stateRoot, id)
	if _, _, err := readState(dir); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the state directory of container %s: %w", id, err)
	}
	return nil
}

// save writes the state so that a reader sees the old one or the new one, never a part.
func (c *Container) save() error {
	tmp := filepath.Join(c.dir, stateFile+".new")
	err := os.WriteFile(tmp, ocispec.AppendRecord(nil, &c.State), 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(c.dir, stateFile))
	}
	if err != nil {
		return fmt.Errorf("write the state of container %s: %w", c.ID, err)
	}
	return nil
}
