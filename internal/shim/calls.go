package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// Info asks what there is.
func (s *Shim) Info(ctx context.Context) (Info, error) {
	r, err := s.call(ctx, wire.Hello, nil)
	if err != nil {
		return Info{}, err
	}
	closeFiles(r.files)
	return wire.ParseInfo(r.body)
}

// do makes a request whose reply says nothing.
func (s *Shim) do(ctx context.Context, k wire.Kind, body []byte, files ...int) error {
	r, err := s.call(ctx, k, body, files...)
	closeFiles(r.files)
	return err
}

// Start lets the container's program run and returns when it does. When it cannot be executed
// the error says why, the container has ended, and EventExit follows.
func (s *Shim) Start(ctx context.Context) error { return s.do(ctx, wire.Start, nil) }

// Signal sends a signal to init or to an exec process; with all, to all processes of the
// container.
func (s *Shim) Signal(ctx context.Context, execID string, sig unix.Signal, all bool) error {
	b := wire.SignalBody{ExecID: execID, Signal: uint32(sig), All: all}
	return s.do(ctx, wire.Signal, b.Append(nil))
}

// Pause freezes all processes of the container.
func (s *Shim) Pause(ctx context.Context) error { return s.do(ctx, wire.Pause, nil) }

// Resume thaws them.
func (s *Shim) Resume(ctx context.Context) error { return s.do(ctx, wire.Resume, nil) }

// Update sets new limits: linux.resources of the OCI runtime specification as JSON. What is not
// in it stays as it is.
func (s *Shim) Update(ctx context.Context, resources []byte) error {
	return s.do(ctx, wire.Update, resources)
}

// Stats are the container's counters as JSON: the member "data" of what `keel events --stats`
// prints, which is runc's types.Stats.
func (s *Shim) Stats(ctx context.Context) ([]byte, error) {
	r, err := s.call(ctx, wire.Stats, nil)
	closeFiles(r.files)
	return r.body, err
}

// Processes are the container's processes, by the host's numbers, in ascending order.
func (s *Shim) Processes(ctx context.Context) ([]int, error) {
	r, err := s.call(ctx, wire.Processes, nil)
	closeFiles(r.files)
	return wire.ParseNumbers(r.body), err
}

// Resize sets the size of a terminal in characters.
func (s *Shim) Resize(ctx context.Context, execID string, width, height uint16) error {
	b := wire.ResizeBody{ExecID: execID, Width: uint32(width), Height: uint32(height)}
	return s.do(ctx, wire.Resize, b.Append(nil))
}

// CloseStdin ends the standard input of a process without a terminal.
func (s *Shim) CloseStdin(ctx context.Context, execID string) error {
	b := wire.ResizeBody{ExecID: execID}
	return s.do(ctx, wire.CloseStdin, b.Append(nil))
}

// Exec starts a process in the running container. The stream, nil when none is wanted, is there
// from the beginning, so no output is lost.
func (s *Shim) Exec(ctx context.Context, r ExecRequest) (pid int, t *Stream, err error) {
	b := wire.AttachBody{ExecID: r.ID, Want: wanted(r.Stdin, r.Stdout, r.Stderr), Patience: int64(r.Patience), Process: r.Process}
	s.mu.Lock()
	s.runs[r.ID] = true
	s.mu.Unlock()
	answer, t, err := s.withStream(ctx, wire.Exec, &b)
	if err != nil {
		s.mu.Lock()
		if _, ended := s.exits[r.ID]; !ended && !errors.Is(err, ErrTimeout) {
			delete(s.runs, r.ID)
		}
		s.mu.Unlock()
		return 0, nil, err
	}
	if n := wire.ParseNumbers(answer.body); len(n) == 1 {
		return n[0], t, nil
	}
	return 0, t, nil
}

// OpenStream makes a client of a process that runs: init, or with execID an exec process.
func (s *Shim) OpenStream(ctx context.Context, execID string, stdin, stdout, stderr bool, patience time.Duration) (*Stream, error) {
	b := wire.AttachBody{ExecID: execID, Want: wanted(stdin, stdout, stderr), Patience: int64(patience)}
	if b.Want == 0 {
		return nil, errors.New("attach to a process: no stream is wanted")
	}
	_, t, err := s.withStream(ctx, wire.Attach, &b)
	return t, err
}

func wanted(stdin, stdout, stderr bool) (w uint8) {
	for i, is := range [3]bool{stdin, stdout, stderr} {
		if is {
			w |= 1 << i
		}
	}
	return w
}

// withStream makes a request that comes with the shim's end of a stream socket.
func (s *Shim) withStream(ctx context.Context, k wire.Kind, b *wire.AttachBody) (reply, *Stream, error) {
	if b.Want == 0 {
		r, err := s.call(ctx, k, b.Append(nil))
		closeFiles(r.files)
		return r, nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return reply{}, nil, os.NewSyscallError("socketpair", err)
	}
	t := newStream(pair[0], b.Want)
	r, err := s.call(ctx, k, b.Append(nil), pair[1])
	unix.Close(pair[1])
	closeFiles(r.files)
	if err != nil {
		t.Close()
		return r, nil, err
	}
	return r, t, nil
}

// Attach connects a client to a process that runs until its output ends or ctx is done.
func (s *Shim) Attach(ctx context.Context, r AttachRequest) error {
	t, err := s.OpenStream(ctx, r.ExecID, r.Stdin != nil, r.Stdout != nil, r.Stderr != nil, r.Patience)
	if err != nil {
		return err
	}
	defer t.Close()
	return t.Copy(ctx, r.Stdin, r.Stdout, r.Stderr)
}

// Wait waits for the end of a process, for as long as ctx lets it: of init, or with execID of an
// exec process of this container.
func (s *Shim) Wait(ctx context.Context, execID string) (Exit, error) {
	for {
		s.mu.Lock()
		change := s.change
		var e *Exit
		if execID == "" {
			e = s.exit
		} else if x, ok := s.exits[execID]; ok {
			e = &x
		}
		known := execID == "" || s.runs[execID]
		s.mu.Unlock()
		if e != nil {
			return *e, nil
		}
		if !known {
			return Exit{}, fmt.Errorf("wait for exec process %s of container %s: %w", execID, s.id, ErrNotFound)
		}
		select {
		case <-change:
		case <-s.done:
			s.mu.Lock()
			e := s.exit
			if x, ok := s.exits[execID]; ok {
				e = &x
			}
			s.mu.Unlock()
			if e != nil && execID == "" {
				return *e, nil
			}
			return Exit{}, s.goneError()
		case <-ctx.Done():
			return Exit{}, ctx.Err()
		}
	}
}

// Delete ends the container if it runs, and returns when its cgroup and the runtime's state are
// gone. It is no error when that has happened already.
func (s *Shim) Delete(ctx context.Context) error {
	s.mu.Lock()
	gone := s.gone
	s.mu.Unlock()
	if gone {
		return nil
	}
	err := s.do(ctx, wire.Delete, nil)
	if errors.Is(err, ErrGone) {
		s.mu.Lock()
		gone = s.gone
		s.mu.Unlock()
		if gone {
			return nil
		}
	}
	return err
}
