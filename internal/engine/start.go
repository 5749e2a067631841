package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// foreignVersion is the version of the specification that other runtimes are given a document of: crun
// 1.8 refuses those after 1.0, though it knows what is in them.
const foreignVersion = "1.0.2"

// ErrNotModified is of an operation that finds what it is to bring about.
var ErrNotModified = errors.New("nothing was to be done")

// Start runs a container that does not run. ErrNotModified: it runs.
func (e *Engine) Start(ctx context.Context, name string) error {
	return e.turn(ctx, name, "starting", func(ctx context.Context, c *Container) error {
		switch v := c.view.Load(); v.State.Phase {
		case Running:
			return ErrNotModified
		case Paused:
			return errdefs.ErrConflict.WithMessage("cannot start a paused container, try unpause instead")
		case Removing:
			return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
		case Dead:
			return errdefs.ErrConflict.WithMessage("container is dead and cannot be started")
		}
		c.policy.started()
		return c.start(ctx, func(v *View) { v.RestartCnt, v.State.Manual = 0, false })
	})
}

// start runs the container, in a turn. reset is applied to its view when it runs. When it could not
// be started its phase is what it was, with the error and Docker's exit code.
func (c *Container) start(ctx context.Context, reset func(v *View)) error {
	err := c.launch(ctx, reset)
	if err == nil {
		return nil
	}
	code := startCode(err)
	c.save(func(v *View) {
		if v.State.Phase == Restarting {
			v.State.Phase = Exited
		}
		v.State.ExitCode, v.State.Error, v.State.Pid = code, err.Error(), 0
	})
	c.publish("die", map[string]string{"exitCode": fmt.Sprint(code), "execDuration": "0"})
	v := c.view.Load()
	c.dropPending()
	c.wake(Exit{Code: code}, WaitNotRunning, WaitNextExit)
	if v.AutoRemove() {
		c.autoRemove()
	}
	return err
}

// startCode is Docker's exit code for a container that could not be started.
func startCode(err error) int {
	text := err.Error()
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("executable file not found") || has("no such file or directory"):
		return 127
	case has("permission denied") || has("not a directory") || has("is a directory"):
		return 126
	}
	return 128
}

// launch is the way of a container from files to a process. What a failing step leaves is undone.
func (c *Container) launch(ctx context.Context, reset func(v *View)) (err error) {
	var undo undo
	defer undo.unless(&err)
	v := c.view.Load()

	in := spec.Input{ID: string(c.id), Config: v.Config, Host: v.Host, Facts: c.e.opts.Facts, Root: "rootfs", IDs: v.IDs, NoSetID: v.NoSetID,
		Init: c.e.opts.Defaults.InitPath, DefaultInit: c.e.opts.Defaults.Init, CgroupParent: c.e.opts.Defaults.CgroupParent, Profile: c.e.opts.Defaults.Profile}
	shared, err := c.joinOthers(&in)
	if err != nil {
		return err
	}
	if in.Files, err = c.writeFiles(shared); err != nil {
		return err
	}

	// The namespace comes first: the root's ids are mapped by it.
	var users *os.File
	if in.IDs != nil {
		if users, err = c.openUsers(ctx, in.IDs, in.Namespaces.User); err != nil {
			return err
		}
		defer users.Close()
	}
	root, err := c.e.opts.Roots.Mount(ctx, c.base, v.Dir, users, v.AutoRemove())
	if err != nil {
		return fmt.Errorf("mounting the root file system of container %s: %w", v.Name, err)
	}
	defer root.Close()
	if in.User, err = lookUser(root, v.Config.User, v.Host.GroupAdd); err != nil {
		return err
	}
	var done []func()
	defer func() {
		for _, f := range done {
			f()
		}
	}()
	if in.Mounts, err = c.openMounts(ctx, users, &done, &undo); err != nil {
		return err
	}
	if in.Devices, err = spec.ResolveDevices(v.Host); err != nil {
		return err
	}
	doc, _, err := spec.Build(in)
	if err != nil {
		return err
	}
	if c.e.runtime(v) != nil {
		doc.Version = foreignVersion
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encoding the configuration of container %s: %w", v.Name, err)
	}

	earlier := c.shim // of the last run, on its way out: Create waits for it
	c.shim = nil
	defer func() {
		if earlier != nil {
			earlier.Close()
		}
	}()
	given := users
	if in.Namespaces.User != "" {
		given = nil // config.json names the namespace, like the others to join
	}
	s, err := c.e.opts.Shims.Create(ctx, shim.Request{
		ID: string(c.id), Config: raw, Root: root, UserNS: given, OpenStdin: v.Config.OpenStdin, StdinOnce: v.Config.StdinOnce,
		Log: v.Log, Runtime: c.e.runtime(v), SystemdCgroup: in.SystemdCgroup,
	})
	if err != nil {
		return taskError("create", err)
	}
	undo.add(func() { c.endShim(s) })
	c.e.at("container.start.shim")
	s.Subscribe(func(ev shim.Event) { c.mail.post("taking note of an event", func() { c.event(s, ev) }) })

	net, err := c.attachNetworks(ctx, s.Pid(), &undo)
	if err != nil {
		return err
	}
	c.e.at("container.start.network")
	c.openPending(ctx, s)
	if err := s.Start(ctx); err != nil {
		return taskError("start", err)
	}
	c.e.at("container.start.started")
	c.shim = s
	c.save(func(v *View) {
		reset(v)
		v.State.Phase, v.State.Pid, v.State.Started = Running, s.Pid(), now()
		v.State.ExitCode, v.State.Error, v.State.OOMKilled, v.State.OOMKills = 0, "", false, 0
		v.Sandbox = fmt.Sprintf("/proc/%d/ns/net", s.Pid())
		if net != nil {
			v.Endpoints, v.Ports, v.NetState = net.Endpoints, net.Ports, net.State
		}
		v.State.Health = c.newHealth()
	})
	c.publish("start", nil)
	c.startHealth()
	return nil
}

// taskError has Docker's words around what the runtime says.
func taskError(what string, err error) error {
	class := errors.New("")
	text := err.Error()
	if code := startCode(err); code == 126 || code == 127 {
		class = errdefs.ErrInvalidArgument
	}
	message := "failed to create task for container: " + text
	if what == "start" {
		message = "failed to start container: " + text
	}
	return &wrapped{message, []error{class, err}}
}

// wrapped is an error with words of its own for a cause and a class.
type wrapped struct {
	message string
	of      []error
}

func (w *wrapped) Error() string   { return w.message }
func (w *wrapped) Unwrap() []error { return w.of }

// endShim ends a shim whose container was not started.
func (c *Container) endShim(s Shim) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	if err := s.Delete(ctx); err != nil {
		c.e.log.Warn("ending the shim of a container that did not start", "container", c.id, "error", err)
	}
	s.Close()
	if err := c.e.opts.Shims.Forget(string(c.id)); err != nil {
		c.e.log.Warn("removing the state of a container that did not start", "container", c.id, "error", err)
	}
}

// openUsers opens the user namespace: another container's, or one of its own.
func (c *Container) openUsers(ctx context.Context, ids *spec.IDRange, path string) (*os.File, error) {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening the user namespace to join: %w", err)
		}
		return f, nil
	}
	if f := c.users; f != nil {
		c.users = nil
		return f, nil
	}
	f, err := c.e.opts.Users.Open(ctx, *ids)
	if err != nil {
		return nil, fmt.Errorf("making a user namespace: %w", err)
	}
	return f, nil
}

// runtime is the command line of the runtime that a container asks for; nil is our own.
func (e *Engine) runtime(v *View) []string {
	name := v.Host.Runtime
	if name == "" {
		name = e.opts.Defaults.Runtime
	}
	return e.opts.Defaults.Runtimes[name]
}

// file is the path of one of the container's own files.
func (v *View) file(name string) string { return filepath.Join(v.Dir, name) }
