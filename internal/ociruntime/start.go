package ociruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start lets the program of a created container run, and returns when execve has succeeded
// and the poststart hooks have run. When a hook fails, or the program cannot be executed, the
// container is stopped (runtime.md, Lifecycle, steps 7 to 9).
//
//	keel start                          init
//	startContainer hooks
//	  open exec.status for reading
//	  write 1 byte into exec.fifo  ───► read returns
//	  poll exec.status             ◄─── a step fails: 8-byte record; execve succeeds: hang-up
//	poststart hooks
//
// When notifySocket is not empty and the container was created with one, Start returns when the
// container has said that it is ready, and that has been passed on to this socket (sd_notify(3)).
func (c *Container) Start(notifySocket string) error {
	switch s := c.Status(); s {
	case StatusCreated:
	case StatusStopped:
		return errors.New("cannot start a container that has stopped")
	case StatusRunning:
		return errors.New("cannot start an already running container")
	default:
		return fmt.Errorf("cannot start a container in the %s state", s)
	}
	spec, err := c.Config()
	if err != nil {
		return err
	}
	hooks := spec.Hooks
	if hooks == nil {
		hooks = &specs.Hooks{}
	}
	startHooks := func() error {
		err := c.runHooks("startContainer", hooks.StartContainer, StatusCreated)
		if err != nil {
			err = errors.Join(err, c.end())
		}
		return err
	}
	if !hooksInside(&spec.Spec) {
		if err := startHooks(); err != nil {
			return err
		}
		startHooks = nil
	}
	notify, err := c.bindNotify(notifySocket)
	if err != nil {
		return err
	}
	if err := c.release(spec.Process.Args[0], startHooks); err != nil {
		notify.close()
		return err
	}
	if err := c.runHooks("poststart", hooks.Poststart, StatusRunning); err != nil {
		notify.close()
		return errors.Join(err, c.end())
	}
	c.passNotify(notify)
	return nil
}

// release gives init the byte that it waits for, and waits for the outcome. With hooks init
// opens itself for them first, and waits for another byte.
func (c *Container) release(program string, hooks func() error) error {
	fifo, status := filepath.Join(c.dir, startFifo), filepath.Join(c.dir, statusFifo)
	r, err := unix.Open(status, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start container %s: open its status pipe: %w", c.ID, err)
	}
	defer unix.Close(r)
	w, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(w)
		_, err = unix.Write(w, []byte{1})
	}
	if err != nil { // ENXIO: init has died; ENOENT: another start was first
		return fmt.Errorf("start container %s: no init waits for it: %w", c.ID, err)
	}
	var record []byte
	if hooks != nil {
		if record, err = readRecord(r); err == nil && record == nil {
			return fmt.Errorf("start container %s: init has ended", c.ID)
		}
		if err == nil && binary.NativeEndian.Uint32(record) == noticeHooks {
			if err := hooks(); err != nil {
				return err
			}
			_, err = unix.Write(w, []byte{1})
			hooks = nil
		}
	}
	c.r.debug("container %s: init, process %d, goes on to its program", c.ID, c.InitPid)
	os.Remove(fifo) // from here on the container is running, not created
	if hooks == nil && err == nil {
		record, err = readRecord(r)
	}
	os.Remove(status)
	if err != nil {
		return fmt.Errorf("start container %s: read its status pipe: %w", c.ID, err)
	}
	if record != nil {
		return fmt.Errorf("exec: %q: %w", program, unix.Errno(binary.NativeEndian.Uint32(record[4:])))
	}
	return nil
}

// readRecord waits on a non-blocking pipe for a record of 8 bytes; nil when all writers
// have closed it without one.
func readRecord(fd int) ([]byte, error) {
	b := make([]byte, 8)
	for got := 0; ; {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return nil, err
		}
		n, err := unix.Read(fd, b[got:])
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil:
			return nil, err
		case n == 0:
			return nil, nil
		default:
			if got += n; got == len(b) {
				return b, nil
			}
		}
	}
}
