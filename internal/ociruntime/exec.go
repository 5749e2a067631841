package ociruntime

import (
	"errors"
	"fmt"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions say what to execute in a running container.
type ExecOptions struct {
	Process       *specs.Process // complete
	ConsoleSocket string
	PidFile       string
	PidfdSocket   string
	Detach        bool
	IgnorePaused  bool // of a paused container: the process waits, frozen like the others
	PreserveFDs   int
	Cgroup        map[string]string // as cgroup.Group.ExecFiles
	Stdio         *Stdio            // of a caller that stays; nil: its own descriptors 0, 1 and 2
}

// Exec starts a further process in the container's namespaces and cgroup. The way in is in
// enter.go.
func (c *Container) Exec(o ExecOptions) (*Process, error) {
	warnings, err := ocispec.ValidateProcess(o.Process)
	if err != nil {
		return nil, fmt.Errorf("process.%w", err)
	}
	for _, w := range warnings {
		c.r.warn("process." + w)
	}
	std := ownStandard
	if o.Stdio == nil {
		err = checkConsole(o.Process.Terminal, o.Detach, o.ConsoleSocket)
	} else if !o.Process.Terminal {
		std, err = o.Stdio.numbers()
	}
	if err != nil {
		return nil, err
	}
	switch s := c.Status(); {
	case s == StatusStopped || s == StatusCreating:
		return nil, fmt.Errorf("cannot exec in a %s container", s)
	case s == StatusPaused && !o.IgnorePaused:
		return nil, errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	var undo undoList
	ok := false
	defer func() {
		if !ok {
			undo.run()
		}
	}()
	in, err := c.entry(o.Cgroup, o.Process, &undo)
	if err != nil {
		return nil, err
	}
	o.Process.Env = c.r.withHome(in.root, o.Process)
	sync, err := socketPair(&undo)
	if err != nil {
		return nil, err
	}
	e, err := in.ending(o.Process, sync)
	if err != nil {
		return nil, err
	}
	e.preserve = o.PreserveFDs
	if in.maps != nil {
		in.maps.ownPipes(&o.Process.User, std)
	}
	p := newPlanner()
	p.takeStandard(std)
	in.begin(p, sync, &e)
	if o.Process.Terminal {
		p.terminal(sync[1], o.Process.ConsoleSize, false)
	}
	p.finish(e)
	child, err := in.start(p, sync, o.Process)
	if err != nil {
		return nil, err
	}
	undo.add(func() { child.Kill() })
	c.r.debug("container %s: process %d executes %s", c.ID, child.Pid, o.Process.Args[0])
	proc := &Process{child: child, c: c, detach: o.Detach, exec: true, master: -1}
	if err := proc.followExec(o.Process, sync[0], o.ConsoleSocket); err != nil {
		return nil, err
	}
	if err := publish(child, o.PidFile, o.PidfdSocket); err != nil {
		return nil, err
	}
	ok = true
	undo.closeFDs()
	return proc, nil
}
