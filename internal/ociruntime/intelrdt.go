package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hull-dev/hull/internal/resctrl"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// joinClass gives the files that a process of the container writes 0 to, as to those of its
// cgroups, to be in the class of linux.intelRdt. With create the class is made first, and noted
// in the state directory for delete.
func (c *Container) joinClass(rdt *specs.LinuxIntelRdt, create bool, undo *undoList) ([]string, error) {
	if rdt == nil {
		return nil, nil
	}
	root := c.r.Resctrl
	if root == "" {
		var err error
		if root, err = resctrl.Root(); err != nil {
			return nil, err
		}
	}
	g := resctrl.New(root, c.ID, rdt)
	if !create {
		return g.Tasks(), nil
	}
	made, err := g.Create()
	if err != nil {
		return nil, err
	}
	undo.add(func() { resctrl.Remove(made) })
	if err := os.WriteFile(filepath.Join(c.dir, classFile), []byte(strings.Join(made, "\n")), 0o600); err != nil {
		return nil, fmt.Errorf("note the resctrl groups of container %s: %w", c.ID, err)
	}
	return g.Tasks(), nil
}

// deleteClass removes what joinClass has made.
func (c *Container) deleteClass() error {
	b, err := os.ReadFile(filepath.Join(c.dir, classFile))
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) == 0 {
		return nil
	}
	if err == nil {
		err = resctrl.Remove(strings.Split(string(b), "\n"))
	}
	if err != nil {
		return fmt.Errorf("delete the resctrl groups of container %s: %w", c.ID, err)
	}
	return nil
}
