package serve

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// conn is one connection of hulld's.
type conn struct {
	s    *server
	fd   int
	gone bool
}

// call is one request, to be answered.
type call struct {
	c  *conn
	id uint32
}

const maxConns = 16

// bind makes the socket for later connections. Its directory is reached by a descriptor: a
// socket's path may be 108 bytes long, and STATE/containers/ID is longer on some hosts.
func (s *server) bind() error {
	dir, err := unix.Open(s.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: s.dir, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	unix.Unlink(s.dir + "/" + socketFile)
	unix.Fchmod(fd, 0o600) // the mode that bind(2) gives the file
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + socketFile}); err == nil {
		err = unix.Listen(fd, maxConns)
	}
	if err == nil {
		err = s.watch(fd, unix.EPOLLIN, func(uint32) { s.accept() })
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("listen on %s/%s: %w", s.dir, socketFile, err)
	}
	s.listener = fd
	return nil
}

func (s *server) accept() {
	fd, _, err := unix.Accept4(s.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || peer.Uid != 0 && peer.Uid != uint32(os.Geteuid()) || len(s.conns) >= maxConns {
		unix.Close(fd)
		return
	}
	s.addConn(fd)
}

func (s *server) addConn(fd int) {
	unix.SetNonblock(fd, true)
	c := &conn{s: s, fd: fd}
	if err := s.watch(fd, unix.EPOLLIN, c.ready); err != nil {
		unix.Close(fd)
		return
	}
	s.conns = append(s.conns, c)
}

// callsAtOnce bounds how many requests of one connection are read before others have their turn.
const callsAtOnce = 16

func (c *conn) ready(uint32) {
	for range callsAtOnce {
		if c.gone {
			return
		}
		p, files, err := wire.ReceivePacket(c.fd, c.s.buf)
		if err == unix.EAGAIN {
			return
		}
		if err != nil || p == nil {
			c.drop()
			return
		}
		c.s.dispatch(&call{c, p.Call}, p, files)
	}
}

func (c *conn) drop() {
	if c.gone {
		return
	}
	c.gone = true
	c.s.conns = slices.DeleteFunc(c.s.conns, func(x *conn) bool { return x == c })
	c.s.close(c.fd)
}

// send sends a packet. A peer that does not read loses its connection; it can come again, and
// learns then what it has missed.
func (c *conn) send(k wire.Kind, call uint32, body []byte, files ...int) {
	if !c.gone && wire.SendPacket(c.fd, k, call, body, files...) != nil {
		c.drop()
	}
}

func (c *call) ok(body []byte, files ...int) { c.c.send(wire.OK, c.id, body, files...) }

// answer is ok without a body, or the error.
func (c *call) answer(err error) {
	if err == nil {
		c.ok(nil)
		return
	}
	body := wire.FailBody{Class: class(err), Text: err.Error()}
	c.c.send(wire.Fail, c.id, body.Append(nil))
}

// event tells every connection.
func (s *server) event(e *wire.EventBody) {
	body := e.Append(nil)
	for _, c := range slices.Clone(s.conns) {
		c.send(wire.Event, 0, body)
	}
}

// classed is an error whose class the peer is told.
type classed struct {
	class wire.Class
	text  string
}

func (e *classed) Error() string { return e.text }

func notFound(format string, args ...any) error {
	return &classed{wire.ClassNotFound, fmt.Sprintf(format, args...)}
}

func wrongState(format string, args ...any) error {
	return &classed{wire.ClassState, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &classed{wire.ClassInvalid, fmt.Sprintf(format, args...)}
}

func class(err error) wire.Class {
	var c *classed
	if errors.As(err, &c) {
		return c.class
	}
	return wire.ClassOther
}
