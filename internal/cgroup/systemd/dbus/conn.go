package dbus

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxSignals bounds the signals kept until someone waits for one; the oldest go first.
const maxSignals = 1024

// Conn is a connection to a bus, or to one peer. It is for one goroutine.
type Conn struct {
	fd      int
	serial  uint32
	name    string // ours on the bus
	buf     []byte // read, not yet decoded
	signals []*Message
	calls   []*Message
}

// Dial connects to the first address of a list ("unix:path=/run/dbus/system_bus_socket;…")
// that answers, and registers with the bus there.
func Dial(addresses string, deadline time.Time) (*Conn, error) {
	c, err := DialPeer(addresses, deadline)
	if err != nil {
		return nil, err
	}
	reply, err := c.Call(Message{Destination: busName, Path: "/org/freedesktop/DBus", Interface: busName, Member: "Hello"}, deadline)
	if err == nil && (len(reply.Body) != 1 || reply.Body[0].sig != "s") {
		err = errors.New("the reply to Hello has no name")
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("register with the D-Bus at %s: %w", addresses, err)
	}
	c.name = reply.Body[0].str
	return c, nil
}

const busName = "org.freedesktop.DBus"

// DialPeer connects to a service that listens itself, without a bus between: systemd at
// /run/systemd/private.
func DialPeer(addresses string, deadline time.Time) (*Conn, error) {
	var first error
	for a := range strings.SplitSeq(addresses, ";") {
		if a == "" {
			continue
		}
		c, err := dial(a, deadline)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = fmt.Errorf("connect to D-Bus %s: %w", a, err)
		}
	}
	if first == nil {
		first = fmt.Errorf("the D-Bus address %q is empty", addresses)
	}
	return nil, first
}

func dial(address string, deadline time.Time) (*Conn, error) {
	sa, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := &Conn{fd: fd}
	for {
		err = unix.Connect(fd, sa)
		if err == unix.EINTR {
			continue
		}
		if err != unix.EAGAIN { // the listener's queue is full
			break
		}
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err == nil {
		err = c.authenticate(deadline)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// parseAddress takes "unix:path=…" and "unix:abstract=…", with %XX escapes.
func parseAddress(a string) (*unix.SockaddrUnix, error) {
	rest, ok := strings.CutPrefix(a, "unix:")
	if !ok {
		return nil, errors.New("only unix: addresses can be used")
	}
	for kv := range strings.SplitSeq(rest, ",") {
		key, val, _ := strings.Cut(kv, "=")
		path, err := unescape(val)
		if err != nil {
			return nil, err
		}
		switch key {
		case "path":
			if !strings.HasPrefix(path, "/") || strings.IndexByte(path, 0) >= 0 || len(path) > 107 {
				return nil, fmt.Errorf("%q is not the path of a socket", path)
			}
			return &unix.SockaddrUnix{Name: path}, nil
		case "abstract":
			if path == "" || len(path) > 106 {
				return nil, fmt.Errorf("%q is not the name of a socket", path)
			}
			return &unix.SockaddrUnix{Name: "@" + path}, nil
		}
	}
	return nil, errors.New("the address names no socket")
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q ends in an incomplete escape", s)
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%q has a malformed escape", s)
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// authenticate says EXTERNAL with no identity: the server takes that of the socket. Naming a
// number would fail inside a user namespace, where ours is another than the server sees.
func (c *Conn) authenticate(deadline time.Time) error {
	for _, step := range []struct{ say, want string }{
		{"\x00AUTH EXTERNAL\r\n", "DATA"},
		{"DATA\r\n", "OK "},
	} {
		if err := c.write([]byte(step.say), deadline); err != nil {
			return err
		}
		line, err := c.line(deadline)
		if err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
		if !strings.HasPrefix(line, step.want) {
			return fmt.Errorf("authenticate: the server says %q", line)
		}
	}
	return c.write([]byte("BEGIN\r\n"), deadline)
}

func (c *Conn) line(deadline time.Time) (string, error) {
	for {
		if i := strings.Index(string(c.buf), "\r\n"); i >= 0 {
			l := string(c.buf[:i])
			c.buf = c.buf[i+2:]
			return l, nil
		}
		if len(c.buf) > 4096 {
			return "", errors.New("the server's line is too long")
		}
		if err := c.fill(deadline); err != nil {
			return "", err
		}
	}
}

// wait waits until the socket is ready.
func (c *Conn) wait(events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: events}}, int(min(left, time.Minute)/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// fill reads what is there, at least one byte.
func (c *Conn) fill(deadline time.Time) error {
	var b [4096]byte
	for {
		n, err := unix.Read(c.fd, b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if err := c.wait(unix.POLLIN, deadline); err != nil {
				return err
			}
			continue
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return errors.New("the D-Bus peer has closed the connection")
		}
		c.buf = append(c.buf, b[:n]...)
		return nil
	}
}

func (c *Conn) write(b []byte, deadline time.Time) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if err := c.wait(unix.POLLOUT, deadline); err != nil {
				return err
			}
		default:
			return os.NewSyscallError("sendmsg", err)
		}
	}
	return nil
}

// Close ends the connection.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Name is the unique name that the bus gave us, "" without a bus.
func (c *Conn) Name() string { return c.name }

// Send sends a message with a fresh serial, which it returns.
func (c *Conn) Send(m Message, deadline time.Time) (uint32, error) {
	if c.serial++; c.serial == 0 {
		c.serial = 1
	}
	m.Serial = c.serial
	b, err := m.Encode()
	if err != nil {
		return 0, err
	}
	return m.Serial, c.write(b, deadline)
}

// receive reads the next message of any kind.
func (c *Conn) receive(deadline time.Time) (*Message, error) {
	for {
		if len(c.buf) >= fixedHeader {
			n, err := messageSize(c.buf)
			if err != nil {
				return nil, err
			}
			if len(c.buf) >= n {
				m, err := Decode(c.buf[:n:n])
				c.buf = append([]byte(nil), c.buf[n:]...)
				return m, err
			}
		}
		if err := c.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// Call sends a method call and returns its reply; an error reply is an [*Error]. Signals that
// come meanwhile are kept for WaitSignal.
func (c *Conn) Call(m Message, deadline time.Time) (*Message, error) {
	m.Kind = MethodCall
	serial, err := c.Send(m, deadline)
	if err != nil {
		return nil, fmt.Errorf("call %s over D-Bus: %w", m.Member, err)
	}
	for {
		r, err := c.receive(deadline)
		if err != nil {
			return nil, fmt.Errorf("wait for the reply to %s over D-Bus: %w", m.Member, err)
		}
		switch {
		case r.ReplySerial == serial && r.Kind == MethodReturn:
			return r, nil
		case r.ReplySerial == serial && r.Kind == ErrorReply:
			e := &Error{Name: r.ErrorName}
			if len(r.Body) > 0 && r.Body[0].sig == "s" {
				e.Text = r.Body[0].str
			}
			return nil, e
		default:
			c.keep(r)
		}
	}
}

func (c *Conn) keep(m *Message) {
	to := &c.signals
	switch m.Kind {
	case Signal:
	case MethodCall:
		to = &c.calls
	default:
		return // a reply that nobody waits for
	}
	if len(*to) == maxSignals {
		*to = (*to)[1:]
	}
	*to = append(*to, m)
}

// WaitSignal returns the first signal that match accepts, among those kept and those to come.
// The others before it are dropped.
func (c *Conn) WaitSignal(match func(*Message) bool, deadline time.Time) (*Message, error) {
	for {
		for i, m := range c.signals {
			if match(m) {
				c.signals = c.signals[i+1:]
				return m, nil
			}
		}
		c.signals = c.signals[:0]
		m, err := c.receive(deadline)
		if err != nil {
			return nil, fmt.Errorf("wait for a D-Bus signal: %w", err)
		}
		c.keep(m)
	}
}

// NextCall returns the next method call that is made to us: for services.
func (c *Conn) NextCall(deadline time.Time) (*Message, error) {
	for {
		if len(c.calls) > 0 {
			m := c.calls[0]
			c.calls = c.calls[1:]
			return m, nil
		}
		m, err := c.receive(deadline)
		if err != nil {
			return nil, err
		}
		c.keep(m)
	}
}
