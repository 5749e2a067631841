package serve

import (
	"errors"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/shim/wire"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// driver is a runtime: our own, in this program, or another one's command line. Its methods,
// but for create, may be called at the same time.
type driver interface {
	// create makes the container. terminal is the master of its terminal, or -1.
	create(c *wire.CreateBody, config *ocispec.Config, root, userns int, std ociruntime.Stdio) (pid, terminal int, err error)
	start() error
	// exec starts a process. terminal is the master of its terminal, or -1.
	exec(id string, raw []byte, process *specs.Process, std ociruntime.Stdio) (pid, terminal int, err error)
	kill(sig unix.Signal, all bool) error
	pause() error
	resume() error
	update(resources []byte) error
	// delete ends what runs, and takes away the cgroup and the runtime's state.
	delete() error
	group() (*cgroup.Group, error)
	processes() ([]int, error)
}

// own is the runtime in this program.
type own struct {
	r *ociruntime.Runtime
	c *ociruntime.Container
}

func (o *own) create(b *wire.CreateBody, config *ocispec.Config, root, userns int, std ociruntime.Stdio) (pid, terminal int, err error) {
	p, err := o.r.Create(b.ID, ociruntime.CreateOptions{Bundle: b.Dir, NoPivot: b.NoPivot, Detach: true,
		Handles: &ociruntime.Handles{Config: b.Config, Decoded: config, Root: root, UserNS: userns, Stdio: std}})
	if err != nil {
		return 0, -1, err
	}
	o.c = p.Container()
	return released(p)
}

// released is a process that is the loop's to watch.
func released(p *ociruntime.Process) (pid, terminal int, err error) {
	pid = p.Pid()
	pidfd, terminal, err := p.Release()
	if err == nil {
		unix.Close(pidfd)
	}
	return pid, terminal, err
}

func (o *own) start() error { return o.c.Start("") }

func (o *own) exec(id string, raw []byte, process *specs.Process, std ociruntime.Stdio) (pid, terminal int, err error) {
	p, err := o.c.Exec(ociruntime.ExecOptions{Process: process, Detach: true, Stdio: &std})
	if err != nil {
		return 0, -1, err
	}
	return released(p)
}

func (o *own) kill(sig unix.Signal, all bool) error { return o.c.Kill(sig, all) }
func (o *own) pause() error                         { return o.c.Pause() }
func (o *own) resume() error                        { return o.c.Resume() }

func (o *own) update(resources []byte) error {
	r, err := ocispec.DecodeResources(resources)
	if err != nil {
		return invalid("linux.resources: %v", err)
	}
	c, err := o.r.Load(o.c.ID) // with the limits of earlier updates
	if err != nil {
		return err
	}
	return c.Update(r)
}

func (o *own) delete() error {
	c, err := o.r.Load(o.c.ID)
	if errors.Is(err, ociruntime.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Delete(true)
}

func (o *own) group() (*cgroup.Group, error) { return o.c.Group() }
func (o *own) processes() ([]int, error)     { return o.c.Processes() }
