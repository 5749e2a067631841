package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/engine"
)

// The content types of a process's streams: with a terminal bytes as they come, else frames.
const (
	rawStream   = "application/vnd.docker.raw-stream"
	multiplexed = "application/vnd.docker.multiplexed-stream"
)

// streamType is the content type of a stream for a client of this version.
func (r *request) streamType(tty bool) string {
	if tty || !r.since(42) {
		return rawStream
	}
	return multiplexed
}

// hijacked is a connection taken over from HTTP: the client reads and writes a process's streams.
type hijacked struct {
	net.Conn
	in *bufio.Reader // has what the server read ahead
}

// afterHijack is the context for what is done over a connection that is taken over. The request's own
// ends when the client ends its input, which Docker's does at once when it has none.
func (r *request) afterHijack() context.Context { return context.WithoutCancel(r.Context()) }

// hijack takes the connection over. The client is told in one of two ways: 101, when it asked for an
// upgrade, or 200.
func hijack(w http.ResponseWriter, r *request, contentType string) (*hijacked, error) {
	upgrade := false
	for _, v := range r.Header.Values("Upgrade") {
		upgrade = upgrade || strings.EqualFold(v, "tcp")
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("taking over the connection: %w", err)
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + rawStream + "\r\n\r\n"
	if upgrade {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + contentType + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	}
	if _, err := io.WriteString(conn, head); err != nil {
		conn.Close()
		return nil, nil // the client is gone
	}
	return &hijacked{conn, rw.Reader}, nil
}

// frameHead is the head of a frame: stream, three zeros, length.
func frameHead(stream byte, n int) (head [8]byte) {
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(n))
	return head
}

// copyOut writes a process's output to the client until it ends. tty: without frames.
func copyOut(w io.Writer, s engine.Stream, tty bool) error {
	buf := make([]byte, engine.StreamRoom)
	out := make([]byte, 0, engine.StreamRoom)
	for {
		stream, data, err := s.Next(buf)
		if err != nil {
			return err
		}
		out = out[:0]
		if !tty {
			if stream > 2 {
				stream = 2
			}
			head := frameHead(stream, len(data))
			out = append(out, head[:]...)
		}
		if _, err := w.Write(append(out, data...)); err != nil {
			return err
		}
	}
}

// lingerTime is how long a client that was told everything may take to leave.
const lingerTime = 2 * time.Second

// end tells the client that there is no more, and takes what it still sends: closing a socket with
// unread bytes in it would be an error to the client.
func (h *hijacked) end() {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // it may be gone
	}
	_ = h.SetReadDeadline(time.Now().Add(lingerTime))
}

// refuse ends a connection of which nobody read the input.
func (h *hijacked) refuse() {
	h.end()
	_, _ = io.Copy(io.Discard, h.in)
}

// pump connects a client with a process until the output ends or the client leaves. last, if not nil, is
// called before the client is told of the end.
func (h *hijacked) pump(s engine.Stream, stdin, tty bool, keys []byte, last func()) {
	defer s.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		if stdin {
			err := copyIn(s, h.in, keys)
			if err == errDetach { //nolint:errorlint // ours
				s.Close()
				return
			}
			_ = s.CloseWrite()
		} else {
			_, _ = io.Copy(io.Discard, h.in)
		}
		if h.gone() {
			s.Close()
		}
	}()
	if err := copyOut(h, s, tty); errors.Is(err, io.EOF) && last != nil {
		last()
	}
	s.Close()
	h.end()
	<-read
}

// gone waits until the peer has closed both ways, and says so; a peer that only ended its input (as
// Docker's CLI does when it has none) is still there. It returns false when that cannot be known, or the
// connection was closed on this side.
func (h *hijacked) gone() bool {
	sc, ok := h.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	hup := false
	err = raw.Read(func(fd uintptr) bool {
		hup = hungUp(fd)
		return hup
	})
	return err == nil && hup
}

// goneNow is gone without waiting.
func (h *hijacked) goneNow() (hup bool) {
	if sc, ok := h.Conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { hup = hungUp(fd) })
		}
	}
	return hup
}

func hungUp(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLHUP}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}
