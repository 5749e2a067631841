package criu

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxReply bounds a message from criu, which are a few hundred bytes.
const maxReply = 64 << 10

// Conn is the client's end of the socket to a criu.
type Conn struct{ fd int }

// NewConn takes over a SOCK_SEQPACKET socket.
func NewConn(fd int) *Conn { return &Conn{fd} }

// Close ends the conversation; criu gives up what it is doing, and ends.
func (c *Conn) Close() { unix.Close(c.fd) }

// Failure is criu's answer that it did not do what it was asked for.
type Failure struct {
	Kind    Kind
	Errno   int
	Message string // of criu's first errors, fit to print; often empty, and less than the log says
}

// Error has the words of runc, which people and programs look for.
func (f *Failure) Error() string {
	return fmt.Sprintf("criu failed: type %s errno %d", f.Kind, f.Errno)
}

// Version asks criu for its version. The criu stays there for one more request.
func (c *Conn) Version() (Release, error) {
	r, err := c.call(Version, nil, Features{}, true, nil)
	if err != nil {
		return Release{}, err
	}
	return r.Version, nil
}

// Check asks which of the features in ask there are. It is the last request of a conversation.
func (c *Conn) Check(ask Features) (Features, error) {
	r, err := c.call(FeatureCheck, nil, ask, false, nil)
	if err != nil {
		return Features{}, err
	}
	return r.Features, nil
}

// Do makes criu dump, pre-dump or restore, and returns when it is done. The error is a
// [*Failure], io.ErrUnexpectedEOF when criu ended without an answer, or what answer returned
// first for a notification: criu then gives up.
func (c *Conn) Do(k Kind, o *Options, answer func(Notice) error) (*Reply, error) {
	return c.call(k, o, Features{}, false, answer)
}

func (c *Conn) call(k Kind, o *Options, ask Features, keepOpen bool, notified func(Notice) error) (*Reply, error) {
	if err := c.send(request(k, o, ask, keepOpen)); err != nil {
		return nil, err
	}
	var refused error
	for {
		r, err := c.receive()
		switch {
		case err != nil:
			return nil, errors.Join(refused, err)
		case r.Kind == notify && r.Notice != nil && r.Success:
			if err := c.notified(r.Notice, notified, &refused); err != nil {
				return nil, errors.Join(refused, err)
			}
		case refused != nil:
			return nil, refused
		case !r.Success:
			return nil, &Failure{Kind: k, Errno: r.Errno, Message: printable([]byte(r.Message))}
		case r.Kind != k:
			return nil, fmt.Errorf("criu answers %s to %s", r.Kind, k)
		default:
			return r, nil
		}
	}
}

func (c *Conn) notified(n *Notice, f func(Notice) error, refused *error) error {
	var err error
	if f != nil {
		err = f(*n)
	}
	if n.FD >= 0 {
		unix.Close(n.FD)
	}
	if err != nil && *refused == nil {
		*refused = err
	}
	return c.send(answer(err == nil))
}

func (c *Conn) send(b []byte) error {
	for {
		err := unix.Send(c.fd, b, unix.MSG_NOSIGNAL)
		switch err {
		case unix.EINTR:
			continue
		case nil:
			return nil
		case unix.EPIPE, unix.ECONNRESET:
			return io.ErrUnexpectedEOF
		}
		return os.NewSyscallError("send a request to criu", err)
	}
}

func (c *Conn) receive() (*Reply, error) {
	buf, oob := make([]byte, maxReply), make([]byte, unix.CmsgSpace(4))
	var n, oobn, flags int
	var err error
	for {
		n, oobn, flags, _, err = unix.Recvmsg(c.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	fd := -1
	if err == nil && oobn > 0 {
		if fd, err = descriptor(oob[:oobn]); err != nil {
			return nil, err
		}
	}
	switch {
	case err == unix.ECONNRESET || err == nil && n == 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, os.NewSyscallError("receive an answer from criu", err)
	}
	var r *Reply
	if flags&unix.MSG_TRUNC != 0 {
		err = errTruncated
	} else {
		r, err = parseReply(buf[:n])
	}
	switch {
	case err == nil && r.Notice != nil:
		r.Notice.FD = fd
	case fd >= 0:
		unix.Close(fd)
	}
	return r, err
}

// descriptor takes the one descriptor out of a control message.
func descriptor(oob []byte) (int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return -1, errTruncated
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, errTruncated
	}
	return fds[0], nil
}
