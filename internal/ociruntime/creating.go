package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hull-dev/hull/internal/ocispec"
	"golang.org/x/sys/unix"
)

// A container that is being made, and may stay as it is for ever when its creator is killed,
// has its state under another name:
//
//	.state.json   locked by the creator (F_OFD_SETLK, fcntl(2)) before anything is in it; the
//	              kernel unlocks it when the creator dies.
//	              First without an init: the names of all that can be left behind. Then, before
//	              init is let go, with init, in the same place.
//	state.json    the same file in the end, by rename
//
// An init that was never let go ends by itself: the socket that it reads from closes with its
// creator, of whose descriptors it keeps none but those of its plan (launch.Plan.FD).

// giveUpTimeout is how long the creator of a container that is deleted under its hands may
// take to notice.
const giveUpTimeout = 10 * time.Second

// makeDir makes the state directory with a state that says what may be left behind, and,
// unless the container starts at once, its FIFOs.
func (c *Container) makeDir(config []byte, run bool, undo *undoList, e *ending) (half *halfState, err error) {
	if err := os.MkdirAll(c.r.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("container with given ID already exists: %s", c.ID)
		}
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	if h := c.spec.Hooks; h != nil { // whatever fails from here on (runtime.md, Lifecycle, steps 4 to 6)
		undo.add(func() { c.poststop(h.Poststop) })
	}
	undo.add(func() { os.RemoveAll(c.dir) })
	if err := writeNew(filepath.Join(c.dir, configFile), config); err != nil {
		return nil, fmt.Errorf("keep a copy of config.json: %w", err)
	}
	if half, err = c.beginState(); err != nil {
		return nil, fmt.Errorf("write the state of container %s: %w", c.ID, err)
	}
	undo.fd(half.fd)
	if run {
		return half, nil
	}
	for _, f := range []struct {
		name string
		fd   *int
	}{{startFifo, &e.startFD}, {statusFifo, &e.statusFD}} {
		name := filepath.Join(c.dir, f.name)
		err := unix.Mkfifo(name, 0o600)
		if err == nil {
			*f.fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("make the FIFO %s: %w", name, err)
		}
		undo.fd(*f.fd)
	}
	return half, nil
}

// writeNew writes a new file. Package os would ask its poller for each.
func writeNew(name string, b []byte) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return &os.PathError{Op: "write", Path: name, Err: err}
		}
		b = b[max(n, 0):]
	}
	return nil
}

// halfState is the state file in its creator's hands. The descriptor is the lock.
type halfState struct {
	fd   int
	size int    // of what is in it
	buf  []byte // for the next record
}

// beginState makes the file.
func (c *Container) beginState() (*halfState, error) {
	fd, err := unix.Open(filepath.Join(c.dir, halfStateFile), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	h := &halfState{fd: fd}
	err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		err = h.write(&c.State)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return h, nil
}

// write puts a record into the file, over the one before. Blanks at its end fill up what that
// has been longer.
func (h *halfState) write(s *State) error {
	if h.buf == nil {
		h.buf = make([]byte, 0, 2048)
	}
	b := ocispec.AppendRecord(h.buf[:0], s)
	for len(b) < h.size {
		b = append(b, ' ')
	}
	for {
		n, err := unix.Pwrite(h.fd, b, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n < len(b):
			err = io.ErrShortWrite
		}
		h.size = len(b)
		return err
	}
}

// commitState makes the file the valid state.
func (c *Container) commitState() error {
	if err := os.Rename(filepath.Join(c.dir, halfStateFile), filepath.Join(c.dir, stateFile)); err != nil {
		return fmt.Errorf("write the state of container %s: %w", c.ID, err)
	}
	return nil
}

// creatorLives tells whether somebody is at work on a container that is not finished.
func (c *Container) creatorLives() bool {
	fd, err := unix.Open(filepath.Join(c.dir, halfStateFile), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// readState reads the state of a container, or of one that is being made.
func readState(dir string) (b []byte, creating bool, err error) {
	for range 2 { // it can be renamed between the two looks
		b, err = ocispec.ReadFile(unix.AT_FDCWD, filepath.Join(dir, stateFile))
		if !errors.Is(err, os.ErrNotExist) {
			return b, false, err
		}
		b, err = ocispec.ReadFile(unix.AT_FDCWD, filepath.Join(dir, halfStateFile))
		if err == nil && len(b) == 0 { // just being made, or for ever: nothing else exists yet
			err = os.ErrNotExist
		}
		if err == nil {
			return b, true, nil
		}
	}
	return nil, false, err
}

// deleteHalf deletes a container whose making was cut off, or, with force, is under way.
func (c *Container) deleteHalf(force bool) error {
	if c.creatorLives() {
		if !force {
			return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.ID, StatusCreating)
		}
		if err := c.end(); err != nil {
			return err
		}
		// The creator sees its container die and takes everything back. Doing it here as well
		// could hit the next container of this name.
		for end := time.Now().Add(giveUpTimeout); c.creatorLives(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("cannot delete container %s: its creator is still at work on it after %v", c.ID, giveUpTimeout)
			}
		}
		now, err := c.r.Load(c.ID)
		switch {
		case errors.Is(err, ErrNotExist):
			return c.r.Forget(c.ID)
		case err != nil:
			return err
		case !now.creating:
			return now.Delete(force)
		}
		*c = *now
	}
	if err := c.end(); err != nil {
		return err
	}
	if err := c.removeGroup(); err != nil {
		if c.InitPid != 0 {
			return err
		}
		// Without an init nothing shows that the cgroup was ours: the creator may have been
		// cut off before it found another container there.
		c.r.warn(err.Error())
	}
	spec, specErr := c.Config()
	if err := c.deleteClass(); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("delete the state of container %s: %w", c.ID, err)
	}
	if specErr == nil && spec.Hooks != nil { // those that ran may have left something for these
		c.poststop(spec.Hooks.Poststop)
	}
	return nil
}
