package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Container is a container that exists in the state directory.
type Container struct {
	State
	r    *Runtime
	dir  string
	spec *specs.Spec // once read
}

// ErrNotExist says that there is no container of that name.
var ErrNotExist = errors.New("container does not exist")

// checkID refuses names that could leave the state directory.
func checkID(id string) error {
	if id == "" {
		return errors.New("container id cannot be empty")
	}
	ok := len(id) <= 1024 && id != "." && id != ".."
	for _, c := range id {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_+.-", c))
	}
	if !ok {
		return fmt.Errorf("invalid container id %q: want letters, digits, and any of _+.-", id)
	}
	return nil
}

// Load reads a container's state.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	stateRoot := r.Root
	c := &Container{r: r, dir: filepath.Join(stateRoot, id)}
	b, err := readBounded(filepath.Join(c.dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotExist, id)
	}
	if err == nil {
		err = decodeState(b, &c.State)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of container %s: %w", id, err)
	}
	return c, nil
}

// List loads every container, by name. One that cannot be read is left out with a warning.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.Root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []*Container
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := r.Load(e.Name())
		if err != nil {
			r.warn(err.Error())
			continue
		}
		out = append(out, c)
	}
	return out, nil
}

func (c *Container) save() error {
	b, err := encodeState(&c.State)
	if err != nil {
		return err
	}
	tmp := filepath.Join(c.dir, "."+stateFile)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write the state of container %s: %w", c.ID, err)
	}
	return os.Rename(tmp, filepath.Join(c.dir, stateFile))
}

func (c *Container) cgroup() (*cgroup.Group, error) {
	h, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	return cgroup.Load(h, c.Cgroups)
}

// alive tells whether init is the process that we started and not a zombie.
func (c *Container) alive() bool {
	start, err := startTime(c.InitPid)
	if err != nil || start != c.InitStart {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(c.InitPid) + "/stat")
	i := strings.LastIndexByte(string(b), ')')
	return err == nil && i+2 < len(b) && b[i+2] != 'Z' && b[i+2] != 'X'
}

// Status is created, running, paused or stopped.
func (c *Container) Status() string {
	if !c.alive() {
		return "stopped"
	}
	if g, err := c.cgroup(); err == nil {
		if s, err := g.State(); err == nil && s == cgroup.Frozen {
			return "paused"
		}
	}
	if _, err := os.Lstat(filepath.Join(c.dir, startFifo)); err == nil {
		return "created"
	}
	return "running"
}

// Config is the config.json that the container was created with.
func (c *Container) Config() (*specs.Spec, error) {
	if c.spec != nil {
		return c.spec, nil
	}
	s, _, err := ReadConfig(filepath.Join(c.dir, configFile))
	c.spec = s
	return s, err
}

// Start lets the program of a created container run, and returns when execve has succeeded.
func (c *Container) Start() error {
	switch s := c.Status(); s {
	case "created":
	case "stopped":
		return errors.New("cannot start a container that has stopped")
	default:
		return fmt.Errorf("cannot start an already %s container", s)
	}
	spec, err := c.Config()
	if err != nil {
		return err
	}
	if h := spec.Hooks; h != nil {
		if err := c.runHooks("startContainer", h.StartContainer, "created"); err != nil {
			c.end()
			return err
		}
	}
	fifo, status := filepath.Join(c.dir, startFifo), filepath.Join(c.dir, statusFifo)
	r, err := unix.Open(status, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start container %s: %w", c.ID, err)
	}
	defer unix.Close(r)
	w, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(w, []byte{1})
		unix.Close(w)
	}
	if err != nil {
		return fmt.Errorf("start container %s: no init waits for it: %w", c.ID, err)
	}
	os.Remove(fifo)
	rec := make([]byte, 8)
	n, err := 0, error(nil)
	for {
		p := []unix.PollFd{{Fd: int32(r), Events: unix.POLLIN}}
		if _, err = unix.Poll(p, -1); err == unix.EINTR {
			continue
		}
		n, err = unix.Read(r, rec)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	os.Remove(status)
	if n == 8 {
		errno := unix.Errno(uint32(rec[4]) | uint32(rec[5])<<8 | uint32(rec[6])<<16 | uint32(rec[7])<<24)
		return fmt.Errorf("exec: %q: %w", spec.Process.Args[0], errno)
	}
	if h := spec.Hooks; h != nil {
		if err := c.runHooks("poststart", h.Poststart, "running"); err != nil {
			c.r.warn(err.Error())
		}
	}
	return nil
}

// end kills everything in the container.
func (c *Container) end() {
	if g, err := c.cgroup(); err == nil {
		g.Kill(unix.SIGKILL)
	}
	if c.alive() {
		unix.Kill(c.InitPid, unix.SIGKILL)
	}
}

// Kill sends a signal to init, or to every process with all.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if all {
		g, err := c.cgroup()
		if err == nil {
			err = g.Kill(sig)
		}
		if err != nil {
			return fmt.Errorf("kill the processes of container %s: %w", c.ID, err)
		}
		return nil
	}
	if !c.alive() {
		return errors.New("container not running")
	}
	fd, err := unix.PidfdOpen(c.InitPid, 0)
	if err == nil {
		defer unix.Close(fd)
		if start, e := startTime(c.InitPid); e != nil || start != c.InitStart {
			return errors.New("container not running")
		}
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
	if err != nil {
		return fmt.Errorf("send signal %d to container %s: %w", sig, c.ID, err)
	}
	if sig == unix.SIGKILL && c.Namespaces&unix.CLONE_NEWPID == 0 {
		c.end() // without a pid namespace the others do not die with init
	}
	return nil
}

// Delete removes what is left of a stopped container; with force it is killed first.
func (c *Container) Delete(force bool) error {
	if s := c.Status(); s != "stopped" {
		if !force && s != "created" {
			return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, s)
		}
		c.end()
	} else if c.Namespaces&unix.CLONE_NEWPID == 0 {
		c.end()
	}
	g, err := c.cgroup()
	if err == nil {
		err = g.Delete()
	}
	if err != nil {
		return fmt.Errorf("delete the cgroup of container %s: %w", c.ID, err)
	}
	spec, specErr := c.Config()
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("delete the state of container %s: %w", c.ID, err)
	}
	if specErr == nil && spec.Hooks != nil {
		if err := c.runHooks("poststop", spec.Hooks.Poststop, "stopped"); err != nil {
			c.r.warn(err.Error())
		}
	}
	return nil
}

// Group is the container's cgroup.
func (c *Container) Group() (*cgroup.Group, error) { return c.cgroup() }
