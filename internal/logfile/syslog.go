package logfile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syslogDriver sends entries to a syslog daemon, formatted as Docker's driver does.
type syslogDriver struct {
	sender
	c   Syslog
	pid int
	buf []byte
}

// maxSyslog is the longest message of a datagram socket over IP, in bytes.
const maxSyslog = 65000

func openSyslog(c Config, fail func(uint64, error)) (driver, error) {
	d := &syslogDriver{c: c.Syslog, pid: os.Getpid()}
	d.fail, d.fd = fail, -1
	d.dial = func() (int, error) { return dialSyslog(d.c.Network, d.c.Address) }
	switch d.c.Format {
	case "", "rfc3164", "rfc5424", "rfc5424micro":
	default:
		return nil, fmt.Errorf("there is no syslog format %q", d.c.Format)
	}
	if err := d.connect(); err != nil {
		return nil, fmt.Errorf("connect to syslog at %s %s: %w", d.c.Network, d.c.Address, err)
	}
	if c.Buffer > 0 {
		return d, nil
	}
	return newBuffer(d, DefaultBuffer, fail), nil
}

func (d *syslogDriver) add(e *Entry) {
	priority := d.c.Priority
	if e.Stream == 2 {
		priority = priority&^7 | 3 // LOG_ERR
	}
	b := append(d.buf[:0], '<')
	b = strconv.AppendInt(b, int64(priority), 10)
	b = append(b, '>')
	pid := strconv.Itoa(d.pid)
	switch d.c.Format {
	case "":
		b = fmt.Appendf(b, "%s %s[%s]: ", e.Time.Format(time.Stamp), d.c.Tag, pid)
	case "rfc3164":
		b = fmt.Appendf(b, "%s %s %s[%s]: ", e.Time.Format(time.Stamp), d.c.Hostname, d.c.Tag, pid)
	case "rfc5424":
		b = fmt.Appendf(b, "1 %s %s %s %s %s - ", e.Time.Format(time.RFC3339), d.c.Hostname, d.c.Tag, pid, d.c.Tag)
	case "rfc5424micro":
		b = fmt.Appendf(b, "1 %s %s %s %s %s - ", e.Time.Format("2006-01-02T15:04:05.000000Z07:00"), d.c.Hostname, d.c.Tag, pid, d.c.Tag)
	}
	b = append(b, e.Line...)
	if d.c.Network != "tcp" && d.c.Network != "unix" && len(b) > maxSyslog {
		b = b[:maxSyslog]
	}
	d.buf = append(b, '\n')
	d.send(d.buf)
}

// sender sends messages over a socket and connects again when that fails, not more often than
// once a second.
type sender struct {
	fd   int
	dial func() (int, error)
	next time.Time // not before, after a failure
	fail func(uint64, error)
}

// sendTimeout bounds how long one message may take.
const sendTimeout = 5 * time.Second

func (s *sender) connect() error {
	fd, err := s.dial()
	if err != nil {
		return err
	}
	t := unix.NsecToTimeval(int64(sendTimeout))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &t)
	s.fd = fd
	return nil
}

// send sends one message. One that a stream socket took a part of is sent again as a whole on
// the next connection: twice is better than not at all.
func (s *sender) send(msg []byte) {
	var err error
	for range 2 {
		if s.fd < 0 {
			if time.Now().Before(s.next) {
				err = errors.New("the log's destination cannot be reached")
				break
			}
			if err = s.connect(); err != nil {
				s.next = time.Now().Add(time.Second)
				break
			}
		}
		if err = sendAll(s.fd, msg); err == nil {
			return
		}
		unix.Close(s.fd)
		s.fd = -1
	}
	s.fail(1, fmt.Errorf("send to the log's destination: %w", err))
}

func sendAll(fd int, msg []byte) error {
	for len(msg) > 0 {
		n, err := unix.SendmsgN(fd, msg, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

func (s *sender) flush() {}

func (s *sender) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
}

// dialSyslog connects to a path or to an IP address with a port. Names are looked up by hulld.
func dialSyslog(network, address string) (fd int, err error) {
	kind, domain := unix.SOCK_STREAM, unix.AF_UNIX
	var to unix.Sockaddr
	switch network {
	case "unixgram", "unix":
		to = &unix.SockaddrUnix{Name: address}
	case "udp", "tcp":
		if domain, to, err = parseAddress(address); err != nil {
			return -1, err
		}
	default:
		return -1, fmt.Errorf("there is no syslog over %q", network)
	}
	if network == "unixgram" || network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	if fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	t := unix.NsecToTimeval(int64(sendTimeout)) // of connect(2), too
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &t)
	if err = unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// parseAddress reads "192.0.2.1:514" or "[2001:db8::1]:514".
func parseAddress(s string) (domain int, to unix.Sockaddr, err error) {
	bad := fmt.Errorf("%q is not an IP address with a port", s)
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return 0, nil, bad
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return 0, nil, bad
	}
	host := s[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, good := parseIPv6(inner)
		if !ok || !good {
			return 0, nil, bad
		}
		return unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: a}, nil
	}
	a, ok := parseIPv4(host)
	if !ok {
		return 0, nil, bad
	}
	return unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: a}, nil
}

func parseIPv4(s string) (a [4]byte, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return a, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || len(p) > 1 && p[0] == '0' || p[0] == '+' {
			return a, false
		}
		a[i] = byte(n)
	}
	return a, true
}

func parseIPv6(s string) (a [16]byte, ok bool) {
	head, tail, gap := strings.Cut(s, "::")
	groups := func(s string) (out []byte, ok bool) {
		if s == "" {
			return nil, true
		}
		for _, g := range strings.Split(s, ":") {
			n, err := strconv.ParseUint(g, 16, 16)
			if err != nil || len(g) > 4 {
				return nil, false
			}
			out = append(out, byte(n>>8), byte(n))
		}
		return out, true
	}
	h, ok1 := groups(head)
	t, ok2 := groups(tail)
	if !ok1 || !ok2 || strings.Contains(tail, "::") || len(h)+len(t) > 16 || !gap && len(h) != 16 || gap && len(h)+len(t) > 14 {
		return a, false
	}
	copy(a[:], h)
	copy(a[16-len(t):], t)
	return a, true
}
