package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// Shim is a connection to a container's shim. Its methods may be called at the same time.
type Shim struct {
	l       *Launcher
	id, dir string
	proc    *os.Process // when it is this process's child
	shimPid int
	pid     int
	pidfd   *os.File
	first   Info

	free chan struct{} // closed when the id can be used again
	done chan struct{} // closed when the process has ended

	mu     sync.Mutex
	sock   *os.File
	calls  map[uint32]chan reply
	next   uint32
	closed bool
	gone   bool
	tell   func(Event)
	early  []Event         // before there was a tell
	exits  map[string]Exit // of execs
	exit   *Exit           // of init
	change chan struct{}   // closed when one of the last two changes
	runs   map[string]bool // execs that this hulld has started, or found
}

type reply struct {
	kind  wire.Kind
	body  []byte
	files []int
}

// FailError is the shim's own "no".
type FailError struct {
	class wire.Class
	Text  string
}

func (e *FailError) Error() string { return e.Text }

// Is makes it an [ErrNotFound] or an [ErrState].
func (e *FailError) Is(target error) bool {
	return target == ErrNotFound && e.class == wire.ClassNotFound || target == ErrState && e.class == wire.ClassState
}

func newShim(l *Launcher, id, dir string, sock int) *Shim {
	unix.SetNonblock(sock, true)
	return &Shim{l: l, id: id, dir: dir, sock: os.NewFile(uintptr(sock), "shim of "+id), calls: map[uint32]chan reply{}, exits: map[string]Exit{}, runs: map[string]bool{},
		free: make(chan struct{}), done: make(chan struct{}), change: make(chan struct{})}
}

// ID is the container's.
func (s *Shim) ID() string { return s.id }

// Pid is init's number in the host's pid namespace.
func (s *Shim) Pid() int { return s.pid }

// PidFD is a pidfd of init, which belongs to the Shim; nil when init had ended before Connect.
func (s *Shim) PidFD() *os.File { return s.pidfd }

// Done is closed when the shim process has ended.
func (s *Shim) Done() <-chan struct{} { return s.done }

// Subscribe sets who is told of events, first of those that came before. f is called by one
// goroutine at a time, must not block and must not call the Shim.
func (s *Shim) Subscribe(f func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell = f
	for _, e := range s.early {
		f(e)
	}
	s.early = nil
}

// emit tells of an event.
func (s *Shim) emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case EventExit:
		if s.exit != nil {
			return
		}
		s.exit = &e.Exit
	case EventExecExit:
		if _, known := s.exits[e.ExecID]; known {
			return
		}
		s.exits[e.ExecID] = e.Exit
		if len(s.exits) > maxExits {
			s.forgetExits()
		}
	case EventGone:
		if s.gone {
			return
		}
		s.gone = true
		s.l.forgetShim(s)
		close(s.free)
	}
	close(s.change)
	s.change = make(chan struct{})
	if s.tell == nil {
		s.early = append(s.early, e)
		return
	}
	s.tell(e)
}

// maxExits bounds the ends of exec processes that nobody has asked for.
const maxExits = 4096

func (s *Shim) forgetExits() {
	for id := range s.exits {
		delete(s.exits, id)
		if len(s.exits) <= maxExits/2 {
			return
		}
	}
}

// bounded gives a context a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// timeout is the error of a context that is done.
func timeout(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
	return ctx.Err()
}

// call makes a request and waits for the reply. The files go along.
func (s *Shim) call(ctx context.Context, k wire.Kind, body []byte, files ...int) (reply, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	answer := make(chan reply, 1)
	s.mu.Lock()
	if s.closed || s.sock == nil {
		s.mu.Unlock()
		return reply{}, s.goneError()
	}
	s.next++
	id := s.next
	s.calls[id] = answer
	var err error
	if raw, e := s.sock.SyscallConn(); e != nil {
		err = e
	} else if e := raw.Control(func(fd uintptr) { err = wire.SendPacket(int(fd), k, id, body, files...) }); e != nil {
		err = e
	}
	if err != nil {
		delete(s.calls, id)
	}
	s.mu.Unlock()
	switch {
	case err == unix.EAGAIN:
		return reply{}, ErrTimeout
	case err == unix.EPIPE || err == unix.ECONNRESET:
		return reply{}, s.goneError()
	case err != nil:
		return reply{}, fmt.Errorf("ask the shim of container %s: %w", s.id, err)
	}
	select {
	case r, ok := <-answer:
		if !ok {
			return reply{}, s.goneError()
		}
		if r.kind == wire.Fail {
			closeFiles(r.files)
			f, err := wire.ParseFail(r.body)
			if err != nil {
				return reply{}, err
			}
			return reply{}, &FailError{f.Class, f.Text}
		}
		return r, nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
		select {
		case r, ok := <-answer: // it came after all
			if ok {
				closeFiles(r.files)
			}
		default:
		}
		return reply{}, timeout(ctx)
	}
}

func (s *Shim) goneError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.exit
	if e == nil {
		e = readExit(s.dir)
	}
	return &GoneError{ID: s.id, Exit: e}
}

func closeFiles(files []int) {
	for _, fd := range files {
		unix.Close(fd)
	}
}

// take reads the reply to the first call of a connection.
func (s *Shim) take(r reply) error {
	info, err := wire.ParseInfo(r.body)
	if err != nil {
		closeFiles(r.files)
		return err
	}
	s.first, s.pid, s.shimPid = info, info.Pid, info.ShimPid
	if len(r.files) > 0 && s.pidfd == nil {
		s.pidfd = os.NewFile(uintptr(r.files[0]), "init of "+s.id)
		closeFiles(r.files[1:])
	} else {
		closeFiles(r.files)
	}
	s.catchUp(&info)
	return nil
}

// catchUp tells what has happened while there was no connection.
func (s *Shim) catchUp(info *Info) {
	for _, e := range info.Execs {
		s.mu.Lock()
		s.runs[e.ID] = true
		s.mu.Unlock()
		if e.Exit != nil {
			s.emit(Event{Kind: EventExecExit, ExecID: e.ID, Exit: *e.Exit})
		}
	}
	if info.Exit != nil {
		s.emit(Event{Kind: EventExit, Exit: *info.Exit})
	}
}

// receive takes what the shim sends, until it has ended.
func (s *Shim) receive() {
	for {
		s.mu.Lock()
		sock := s.sock
		s.mu.Unlock()
		if sock != nil {
			s.receiveFrom(sock)
		}
		s.mu.Lock()
		for id, c := range s.calls {
			close(c)
			delete(s.calls, id)
		}
		closed, gone := s.closed, s.gone
		s.mu.Unlock()
		if closed {
			return
		}
		if gone || !s.again() {
			break
		}
	}
	s.finish()
}

// receiveFrom takes packets until the connection ends.
func (s *Shim) receiveFrom(sock *os.File) {
	defer sock.Close()
	raw, err := sock.SyscallConn()
	if err != nil {
		return
	}
	for {
		var p *wire.Packet
		var files []int
		e := raw.Read(func(fd uintptr) bool {
			// A buffer for each packet: one that stays would be memory for each container.
			var n int
			if n, err = wire.PacketLength(int(fd)); err == nil {
				p, files, err = wire.ReceivePacket(int(fd), make([]byte, max(1, min(n, wire.MaxPacket))))
			}
			return err != unix.EAGAIN
		})
		if e != nil || err != nil || p == nil {
			return
		}
		switch p.Kind {
		case wire.OK, wire.Fail:
			s.mu.Lock()
			c := s.calls[p.Call]
			delete(s.calls, p.Call)
			s.mu.Unlock()
			if c == nil {
				closeFiles(files)
				continue
			}
			c <- reply{p.Kind, p.Body, files}
		case wire.Event:
			closeFiles(files)
			if e, err := wire.ParseEvent(p.Body); err == nil {
				s.emit(e)
			}
		default:
			closeFiles(files)
		}
	}
}

// again connects again to a shim that lives but has cut the connection: this process did not
// read what it had to tell.
func (s *Shim) again() bool {
	if !s.lives() {
		return false
	}
	sock, err := dialShim(s.dir)
	if err != nil {
		return false
	}
	unix.SetNonblock(sock, true)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		unix.Close(sock)
		return false
	}
	s.sock = os.NewFile(uintptr(sock), "shim of "+s.id)
	s.mu.Unlock()
	go func() {
		if r, err := s.call(context.Background(), wire.Hello, nil); err == nil {
			_ = s.take(r)
		}
	}()
	return true
}

// endTime is how long a process may take to end after it has closed its sockets.
const endTime = 2 * time.Second

// lives tells whether the shim process goes on; it waits a little for one that is ending.
func (s *Shim) lives() bool {
	if s.shimPid == 0 {
		return false
	}
	fd, err := unix.PidfdOpen(s.shimPid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for pause, end := 100*time.Microsecond, time.Now().Add(endTime/20); ; pause = min(2*pause, 20*time.Millisecond) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err == nil && n > 0 {
			return false
		}
		if time.Now().After(end) {
			return true
		}
		time.Sleep(pause)
	}
}

// finish is the end of a shim.
func (s *Shim) finish() {
	if s.proc != nil {
		_, _ = s.proc.Wait()
	} else {
		for end := time.Now().Add(endTime); s.lives() && time.Now().Before(end); {
		}
	}
	s.mu.Lock()
	gone := s.gone
	s.sock = nil
	s.mu.Unlock()
	if !gone {
		if e := readExit(s.dir); e != nil {
			s.emit(Event{Kind: EventExit, Exit: *e})
		}
		s.emit(Event{Kind: EventLost})
		s.l.forgetShim(s)
		s.mu.Lock()
		if !s.gone {
			close(s.free)
		}
		s.mu.Unlock()
	}
	close(s.done)
}

// Close ends the connection. The shim goes on, and nothing more is told.
func (s *Shim) Close() error {
	s.mu.Lock()
	s.closed = true
	sock := s.sock
	s.sock = nil
	s.mu.Unlock()
	s.l.forgetShim(s)
	if s.pidfd != nil {
		s.pidfd.Close()
	}
	if sock != nil {
		return sock.Close()
	}
	return nil
}
