package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Create makes the group's directories in every hierarchy. When it fails, the directories
// that it made (parents too) are gone again. A [*NoRightsError] is not a failure.
//
// A directory that exists is taken only when no process is in it or below it and it is not
// frozen; otherwise the error is a [*UseError].
func (g *Group) Create() error {
	err := g.create()
	var refused *NoRightsError
	if err != nil && !errors.As(err, &refused) {
		g.Undo()
		return err
	}
	g.created = true
	return err
}

// CreateUnified makes the directory of the v2 hierarchy alone, if there is one, so that a
// process can be born into it while [Group.Create] makes the others. A lack of rights is left
// for Create to report.
func (g *Group) CreateUnified() error {
	d := g.two()
	if d == nil {
		return nil
	}
	if err := g.createDir(d); err != nil {
		d.undo()
		if g.rootless && isNoRights(err) {
			return nil
		}
		return fmt.Errorf("cannot make cgroup %s: %w", d.path, err)
	}
	d.ready = true
	return nil
}

func (g *Group) create() error {
	if !g.rootless && g.one("devices") == nil && g.two() == nil {
		// Without a device policy root in the container would have every device.
		return errors.New("cannot make a cgroup: this host has neither the v1 devices controller nor cgroup v2")
	}
	var refused *NoRightsError
	kept := make([]groupDir, 0, len(g.dirs))
	for i := range g.dirs {
		d := &g.dirs[i]
		var err error
		if !d.ready {
			err = g.createDir(d)
		}
		switch {
		case err == nil:
			kept = append(kept, *d)
		case g.rootless && isNoRights(err):
			d.undo()
			if refused == nil {
				refused = &NoRightsError{Err: err}
			}
			refused.Hierarchies = append(refused.Hierarchies, d.name())
		default:
			return fmt.Errorf("cannot make cgroup %s: %w", d.path, err)
		}
	}
	g.dirs = kept
	if refused != nil {
		g.noRights = refused.Hierarchies
		return refused
	}
	return nil
}

// Undo removes the directories that Create made, parents too: for a container whose creation
// fails at a later step. No process may be in the group any more.
func (g *Group) Undo() {
	for i := range slices.Backward(g.dirs) {
		g.dirs[i].undo()
	}
}

// undo removes the directories that Create made, the deepest first. A parent that another
// container uses by now stays (EBUSY, ENOTEMPTY). What stays is tried again by the next call:
// a process that was born into the group may still have to be killed.
func (d *groupDir) undo() {
	for n := len(d.made); n > 0; n-- {
		if err := rmdir(d.made[n-1]); err != nil {
			return
		}
		d.made = d.made[:n-1]
	}
}

func (g *Group) createDir(d *groupDir) error {
	existed, err := d.mkdirAll(d.path)
	if err != nil {
		return err
	}
	if existed && !g.config.Adopt {
		if err := checkEmpty(d.path); err != nil {
			return err
		}
	}
	if d.v2 {
		return g.prepareV2(d, existed)
	}
	for _, c := range d.controllers {
		switch c {
		case "cpuset":
			cpu := g.config.Resources
			var cpus, mems string
			if cpu != nil && cpu.CPU != nil {
				cpus, mems = cpu.CPU.Cpus, cpu.CPU.Mems
			}
			if err := initCpuset(d.mount, d.path, cpus == "", mems == "", !existed); err != nil {
				return err
			}
		case "freezer":
			// A frozen parent freezes a new group too: the container would never start.
			state, err := readFile(d.path, "freezer.state")
			if err != nil {
				return err
			}
			if s := strings.TrimSpace(state); s != "THAWED" {
				return &UseError{Dir: d.path, Reason: "it is frozen"}
			}
		}
	}
	return nil
}

// mkdirAll makes path and the parents it needs. It reports whether path was there before.
func (d *groupDir) mkdirAll(path string) (existed bool, err error) {
	for range 8 { // another runtime may remove a parent between two steps
		err = mkdir(path)
		switch {
		case err == nil:
			d.made = append(d.made, path)
			return false, nil
		case errors.Is(err, unix.EEXIST):
			return true, nil
		case !errors.Is(err, unix.ENOENT):
			return false, err
		}
		parent := path[:strings.LastIndexByte(path, '/')]
		if len(parent) <= len(d.mount) {
			return false, err
		}
		if _, err := d.mkdirAll(parent); err != nil {
			return false, err
		}
	}
	return false, err
}

func mkdir(path string) error {
	for {
		err := unix.Mkdir(path, 0o755)
		switch err {
		case unix.EINTR:
			continue
		case nil:
			return nil
		}
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
}

// checkEmpty refuses a directory that has processes in it or below.
func checkEmpty(path string) error {
	pids, err := allPids(path)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return &UseError{Dir: path, Reason: "it is not empty: " + strconv.Itoa(len(pids)) + " process(es) found"}
	}
	return nil
}
