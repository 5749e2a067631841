package nl

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Error is what the kernel answered to one message of a batch.
type Error struct {
	Index int        // of the message in its batch, from 0
	Errno unix.Errno // its cause
	Text  string     // the kernel's own words, where it has some (NETLINK_EXT_ACK)
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Errno.Error() + " (" + e.Text + ")"
	}
	return e.Errno.Error()
}

func (e *Error) Unwrap() error { return e.Errno }

// Socket is a netlink socket.
type Socket struct {
	fd   int
	seq  uint32
	port uint32
	buf  []byte
}

// answerSeconds bounds the wait for the kernel's answer, which comes at once or never.
const answerSeconds = 10

// Open opens a socket of a netlink family in the network namespace of the calling thread.
func Open(family int) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	s := &Socket{fd: fd}
	// Both options are kinder errors only: kernels before 4.12 lack them.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerSeconds})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	if sa, err := unix.Getsockname(fd); err == nil {
		s.port = sa.(*unix.SockaddrNetlink).Pid
	}
	return s, nil
}

// Close closes the socket.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// FD is the socket's descriptor.
func (s *Socket) FD() int { return s.fd }

// Port is the socket's address, which the kernel puts into the notifications that its requests cause.
func (s *Socket) Port() uint32 { return s.port }

// Grow makes room for n bytes in the socket's queues, beyond the limit of the host.
func (s *Socket) Grow(n int) error {
	return errors.Join(unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n))
}

// number gives the messages of a batch fresh sequence numbers and returns the first.
func (s *Socket) number(b *Batch) uint32 {
	first := s.seq + 1
	for at := 0; at+unix.SizeofNlMsghdr <= len(b.buf); at += (int(native.Uint32(b.buf[at:])) + 3) &^ 3 {
		s.seq++
		native.PutUint32(b.buf[at+8:], s.seq)
	}
	return first
}

// Do sends a batch whose messages all have NLM_F_ACK, waits for every answer and returns the first
// error.
func (s *Socket) Do(b *Batch) error {
	if b.seqs == 0 {
		return nil
	}
	return s.Ask(b, nil)
}

// Commit sends a batch of which only message `last` (an index) has NLM_F_ACK, as nfnetlink's
// transactions are: the kernel answers for each failed message, and for that one.
func (s *Socket) Commit(b *Batch, last int) error {
	first := s.number(b)
	return s.exchange(b, func(h Header) bool { return h.Seq == first+uint32(last) }, first, nil)
}

// Ask is Do for requests that are answered by messages, for which it calls each.
func (s *Socket) Ask(b *Batch, each func(h Header, payload []byte)) error {
	first := s.number(b)
	last := first + uint32(b.seqs) - 1
	return s.exchange(b, func(h Header) bool { return h.Seq == last }, first, each)
}

// Dump sends one message with NLM_F_DUMP and calls each for the messages of the answer.
func (s *Socket) Dump(b *Batch, each func(h Header, payload []byte)) error {
	first := s.number(b)
	return s.exchange(b, func(h Header) bool { return true }, first, each)
}

func (s *Socket) exchange(b *Batch, last func(Header) bool, first uint32, each func(Header, []byte)) error {
	if err := s.send(b.buf); err != nil {
		return err
	}
	var worst *Error
	for done := false; !done; {
		n, err := s.receive()
		if err != nil {
			if worst != nil {
				return worst
			}
			return err
		}
		Messages(s.buf[:n], func(h Header, p []byte) {
			if h.Seq-first >= uint32(b.seqs) { // an answer to an earlier batch that failed half-way
				return
			}
			switch h.Kind {
			case unix.NLMSG_ERROR:
				if e := answer(h, p); e != nil && (worst == nil || h.Seq-first < uint32(worst.Index)) {
					e.Index = int(h.Seq - first)
					worst = e
				}
				done = done || last(h)
				// An error about the first message of a transaction is about the whole of it.
				done = done || worst != nil && worst.Index == 0
			case unix.NLMSG_DONE:
				done = true
			default:
				if each != nil {
					each(h, p)
				}
			}
		})
	}
	if worst != nil {
		return worst
	}
	return nil
}

func (s *Socket) send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return os.NewSyscallError("sendto(netlink)", err)
		}
	}
}

// receive reads one datagram into s.buf.
func (s *Socket) receive() (int, error) {
	if s.buf == nil {
		s.buf = make([]byte, 64<<10) // more than the kernel puts into one datagram (NLMSG_GOODSIZE, 32 KiB in dumps)
	}
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("recvfrom(netlink)", err)
		}
	}
}

// answer reads an NLMSG_ERROR: errno, the request's header (or all of it), attributes.
func answer(h Header, p []byte) *Error {
	if len(p) < 4+unix.SizeofNlMsghdr {
		return &Error{Errno: unix.EBADMSG}
	}
	errno := int32(native.Uint32(p))
	if errno == 0 {
		return nil
	}
	e := &Error{Errno: unix.Errno(-errno)}
	if h.Flags&unix.NLM_F_ACK_TLVS != 0 {
		rest := p[4+unix.SizeofNlMsghdr:]
		if h.Flags&unix.NLM_F_CAPPED == 0 {
			rest = p[min(len(p), 4+int((native.Uint32(p[4:])+3)&^3)):]
		}
		Attrs(rest, func(kind uint16, v []byte) bool {
			if kind == unix.NLMSGERR_ATTR_MSG && len(v) > 0 {
				e.Text = unix.ByteSliceToString(v)
			}
			return true
		})
	}
	return e
}
