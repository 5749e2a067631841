package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// ExecConfig is a process to run in a container.
type ExecConfig struct {
	User, WorkingDir      string
	Privileged, TTY       bool
	Stdin, Stdout, Stderr bool
	Env, Cmd              []string
	DetachKeys            string
	Size                  *[2]uint // height, width
}

// Exec is an exec process as it was at one moment.
type Exec struct {
	ID        string
	Container ID
	Config    ExecConfig
	Running   bool
	Started   bool
	ExitCode  *int
	Pid       int
}

// Bounds of what is kept of exec processes.
const (
	keepExec  = 5 * time.Minute // after its end, for who asks for its exit code
	maxExecs  = 4096            // of one container that were not started, or that run
	execStart = 30 * time.Second
)

// execs are the exec processes of all containers.
type execs struct {
	mu  sync.Mutex
	all map[string]*execution
	of  map[ID][]*execution
}

type execution struct {
	c *Container
	Exec
	done chan struct{} // closed at its end
}

func (x *execs) find(id string) (*execution, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex := x.all[id]; ex != nil {
		return ex, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

// ExecCreate notes a process to run in a running container.
func (e *Engine) ExecCreate(_ context.Context, name string, cfg ExecConfig) (string, error) {
	c, err := e.names.find(name)
	if err != nil {
		return "", err
	}
	v := c.view.Load()
	if err := execPossible(v); err != nil {
		return "", err
	}
	if len(cfg.Cmd) == 0 {
		return "", errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
	}
	if n := size(cfg.Cmd) + size(cfg.Env); n > maxWords {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the command and its environment are %d bytes long, at most %d are taken", n, maxWords))
	}
	ex := &execution{c: c, Exec: Exec{ID: string(newID()), Container: c.id, Config: cfg}, done: make(chan struct{})}
	x := &e.execs
	x.mu.Lock()
	if x.all == nil {
		x.all, x.of = make(map[string]*execution), make(map[ID][]*execution)
	}
	if len(x.of[c.id]) >= maxExecs {
		// The oldest that were never started, or ended, make room.
		x.of[c.id] = slices.DeleteFunc(x.of[c.id], func(o *execution) bool {
			if !o.Running {
				delete(x.all, o.ID)
			}
			return !o.Running
		})
	}
	full := len(x.of[c.id]) >= maxExecs
	if !full {
		x.all[ex.ID] = ex
		x.of[c.id] = append(x.of[c.id], ex)
	}
	x.mu.Unlock()
	if full {
		return "", errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("%d exec processes run in container %s", maxExecs, v.Name))
	}
	c.publish("exec_create: "+words(cfg.Cmd), map[string]string{"execID": ex.ID})
	return ex.ID, nil
}

func words(cmd []string) string {
	out := ""
	for i, w := range cmd {
		if i > 0 {
			out += " "
		}
		out += w
	}
	return out[:min(len(out), 4096)]
}

// execPossible says why nothing can be run in a container, in Docker's words.
func execPossible(v *View) error {
	switch v.State.Phase {
	case Running:
		return nil
	case Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused, unpause the container before exec", v.ID))
	case Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting, wait until the container is running", v.ID))
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", v.ID))
}

// ExecFind is the newest of an exec process.
func (e *Engine) ExecFind(id string) (Exec, error) {
	ex, err := e.execs.find(id)
	if err != nil {
		return Exec{}, err
	}
	e.execs.mu.Lock()
	defer e.execs.mu.Unlock()
	return ex.Exec, nil
}

// ExecReady says whether a start of an exec process can be tried, before a connection is taken over.
func (e *Engine) ExecReady(id string) (Exec, error) {
	ex, err := e.ExecFind(id)
	if err != nil {
		return ex, err
	}
	switch {
	case ex.Started && !ex.Running:
		return ex, errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s has already run", id))
	case ex.Started:
		return ex, errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s is already running", id))
	}
	v, err := e.Find(string(ex.Container))
	if err != nil {
		return ex, err
	}
	return ex, execPossible(v)
}

// ExecStart runs the process. The stream has what its configuration wants of input and output, and is
// nil when that is nothing, or it runs detached. The caller closes it.
func (e *Engine) ExecStart(ctx context.Context, id string, detach bool, size *[2]uint) (Stream, error) {
	ex, err := e.execs.find(id)
	if err != nil {
		return nil, err
	}
	var out Stream
	err = ex.c.turn(ctx, "starting an exec process", func(ctx context.Context) (err error) {
		e.execs.mu.Lock()
		again, cfg := ex.Started, ex.Config
		ex.Started, ex.Running = true, true
		e.execs.mu.Unlock()
		if again {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s is already running", id))
		}
		out, err = ex.start(ctx, cfg, detach, size)
		return err
	})
	return out, err
}

// start runs the process, in a turn.
func (x *execution) start(ctx context.Context, cfg ExecConfig, detach bool, size *[2]uint) (_ Stream, err error) {
	c, e := x.c, x.c.e
	defer func() {
		if err != nil {
			code := startCode(err)
			if code == 128 {
				code = 126
			}
			e.execs.end(x, code)
		}
	}()
	v := c.view.Load()
	if err := execPossible(v); err != nil {
		return nil, err
	}
	process, err := c.execProcess(v, cfg, size)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, execStart)
	defer cancel()
	pid, s, err := c.shim.Exec(ctx, shim.ExecRequest{
		ID: x.ID, Process: process, Patience: shim.Patient,
		Stdin: cfg.Stdin && !detach, Stdout: cfg.Stdout && !detach, Stderr: cfg.Stderr && !detach,
	})
	if err != nil {
		if code := startCode(err); code != 128 {
			err = errdefs.ErrInvalidArgument.WithMessage("OCI runtime exec failed: exec failed: unable to start container process: " + err.Error() + ": unknown")
		}
		return nil, err
	}
	e.at("container.exec.started")
	e.execs.mu.Lock()
	x.Pid = pid
	e.execs.mu.Unlock()
	c.change(func(v *View) { v.Execs = append(slices.Clone(v.Execs), x.ID) })
	c.publish("exec_start: "+words(cfg.Cmd), map[string]string{"execID": x.ID})
	return s, nil
}

// execProcess is the OCI process of an exec.
func (c *Container) execProcess(v *View, cfg ExecConfig, size *[2]uint) ([]byte, error) {
	if size == nil {
		size = cfg.Size
	}
	root, err := rootOf(v.State.Pid)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	word := cfg.User
	if word == "" {
		word = v.Config.User
	}
	user, err := lookUser(root, word, v.Host.GroupAdd)
	if err != nil {
		return nil, err
	}
	first, _, err := spec.Build(spec.Input{ID: string(c.id), Config: v.Config, Host: v.Host, Facts: c.e.opts.Facts, Root: "rootfs", IDs: c.e.idsOf(v), User: user,
		NoSetID: v.NoSetID, Profile: c.e.opts.Defaults.Profile, Namespaces: anyNamespaces, Init: "/"})
	if err != nil {
		return nil, err
	}
	o := spec.ExecOptions{Args: cfg.Cmd, Env: cfg.Env, WorkingDir: cfg.WorkingDir, TTY: cfg.TTY, User: &user, Privileged: cfg.Privileged, Available: c.e.opts.Facts.Capabilities}
	if size != nil {
		o.ConsoleSize = *size
	}
	return json.Marshal(spec.Exec(first.Process, o))
}

// anyNamespaces stands for those of others, which do not matter to the process.
var anyNamespaces = spec.Namespaces{Net: "/", PID: "/", IPC: "/"}

// ExecResize sets the size of an exec process's terminal.
func (e *Engine) ExecResize(ctx context.Context, id string, width, height uint16) error {
	ex, err := e.execs.find(id)
	if err != nil {
		return err
	}
	return ex.c.turn(ctx, "resizing a terminal", func(ctx context.Context) error {
		if now, err := e.ExecFind(id); err != nil || !now.Running || ex.c.shim == nil {
			return errors.Join(err, errdefs.ErrConflict.WithMessage("exec process is not running"))
		}
		return ex.c.shim.Resize(ctx, id, width, height)
	})
}

// ExecSignal sends a signal to an exec process.
func (e *Engine) ExecSignal(ctx context.Context, id string, sig unix.Signal) error {
	ex, err := e.execs.find(id)
	if err != nil {
		return err
	}
	return ex.c.turn(ctx, "sending a signal", func(ctx context.Context) error {
		if ex.c.shim == nil {
			return errdefs.ErrConflict.WithMessage("exec process is not running")
		}
		return ex.c.shim.Signal(ctx, id, sig, false)
	})
}

// ExecWait waits for the end of a process that was started.
func (e *Engine) ExecWait(ctx context.Context, id string) (Exec, error) {
	ex, err := e.execs.find(id)
	if err != nil {
		return Exec{}, err
	}
	select {
	case <-ex.done:
		return e.ExecFind(id)
	case <-ctx.Done():
		return Exec{}, ctx.Err()
	}
}

// ended takes note of the end of an exec process, in a turn.
func (x *execs) ended(c *Container, id string, exit shim.Exit) {
	x.mu.Lock()
	ex := x.all[id]
	x.mu.Unlock()
	if ex == nil {
		return
	}
	x.end(ex, exit.Code)
	c.change(func(v *View) {
		v.Execs = slices.DeleteFunc(slices.Clone(v.Execs), func(o string) bool { return o == id })
	})
	c.publish("exec_die", map[string]string{"execID": id, "exitCode": fmt.Sprint(exit.Code)})
}

// end notes the end, and forgets the process after a while.
func (x *execs) end(ex *execution, code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex.ExitCode != nil {
		return
	}
	ex.Running, ex.ExitCode, ex.Pid = false, &code, 0
	close(ex.done)
	time.AfterFunc(keepExec, func() { x.drop(ex) })
}

func (x *execs) drop(ex *execution) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.all, ex.ID)
	x.of[ex.c.id] = slices.DeleteFunc(x.of[ex.c.id], func(o *execution) bool { return o == ex })
	if len(x.of[ex.c.id]) == 0 {
		delete(x.of, ex.c.id)
	}
}

// containerEnded ends what still counts as running: the kernel ended it with init.
func (x *execs) containerEnded(c *Container) {
	x.mu.Lock()
	list := slices.Clone(x.of[c.id])
	x.mu.Unlock()
	for _, ex := range list {
		if ex.Started {
			x.end(ex, 137)
		}
	}
}

// containerGone forgets a removed container's.
func (x *execs) containerGone(c *Container) {
	x.containerEnded(c)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ex := range x.of[c.id] {
		delete(x.all, ex.ID)
	}
	delete(x.of, c.id)
}
