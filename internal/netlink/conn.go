// Package netlink moves network devices between network namespaces, over rtnetlink(7).
//
// # Terms
//
//   - device: a network interface. It has a name and an index, both of which are unique within its
//     network namespace only.
//   - request: one message to the kernel, acknowledged; or, for a dump, answered by many messages.
//
// # Life cycle
//
//	host, err := netlink.Open()               // in the network namespace of the calling thread
//	d, err := host.Device("eth1")
//	inside, err := netlink.OpenIn(netns)      // in the one that a descriptor names
//	moved, err := netlink.Move(host, inside, d, netns, "eth0")
//
// A [Conn] stays in the namespace that it was opened in. It is for one goroutine at a time.
//
// Errors name the request and the device; they wrap the errno that the kernel answered.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Conn is a socket to the kernel's routing tables of one network namespace.
type Conn struct {
	fd  int
	seq uint32
}

// Open opens a socket in the network namespace of the calling thread.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("open a netlink socket", err)
	}
	// Without it a dump leaves filters out of account.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &Conn{fd: fd}, nil
}

// OpenIn opens a socket in the network namespace that a descriptor names.
func OpenIn(netns int) (c *Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			err = os.NewSyscallError("join a network namespace", err)
			return
		}
		c, err = Open()
	}()
	<-done
	return c, err
}

// FD is the socket's descriptor, for who closes it among others.
func (c *Conn) FD() int { return c.fd }

// Close closes the socket.
func (c *Conn) Close() { unix.Close(c.fd) }

// request is a message under construction:
//
//	nlmsghdr | family header (ifinfomsg, ifaddrmsg) | attributes: length, type, value, padding to 4
type request []byte

func newRequest(kind, flags uint16, header []byte) request {
	r := make(request, unix.NLMSG_HDRLEN, 128)
	binary.NativeEndian.PutUint16(r[4:], kind)
	binary.NativeEndian.PutUint16(r[6:], flags|unix.NLM_F_REQUEST)
	return append(r, header...)
}

func (r request) attr(kind uint16, value []byte) request {
	r = binary.NativeEndian.AppendUint16(r, uint16(4+len(value)))
	r = binary.NativeEndian.AppendUint16(r, kind)
	r = append(r, value...)
	for len(r)%4 != 0 {
		r = append(r, 0)
	}
	return r
}

func (r request) attr32(kind uint16, value uint32) request {
	return r.attr(kind, binary.NativeEndian.AppendUint32(nil, value))
}

// maxReply is more than the kernel ever puts into one datagram (NLMSG_GOODSIZE grows to 32 KiB
// for dumps).
const maxReply = 64 << 10

// do sends a request and calls each for the payload of each answer but the last, which says how
// it went. It returns the kernel's errno.
func (c *Conn) do(r request, each func(payload []byte)) error {
	c.seq++
	binary.NativeEndian.PutUint32(r, uint32(len(r)))
	binary.NativeEndian.PutUint32(r[8:], c.seq)
	if err := unix.Sendto(c.fd, r, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, maxReply)
	for {
		n, from, err := unix.Recvfrom(c.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if s, ok := from.(*unix.SockaddrNetlink); !ok || s.Pid != 0 {
			continue // not from the kernel
		}
		done, err := c.answers(buf[:n], each)
		if done || err != nil {
			return err
		}
	}
}

var errShort = errors.New("the kernel's answer is cut short")

// answers goes through the messages of one datagram.
func (c *Conn) answers(b []byte, each func(payload []byte)) (done bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, errShort
		}
		kind, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
		payload := b[unix.NLMSG_HDRLEN:size]
		b = b[min((size+3)&^3, len(b)):]
		switch {
		case seq != c.seq:
		case kind == unix.NLMSG_ERROR || kind == unix.NLMSG_DONE:
			if len(payload) < 4 {
				return true, errShort
			}
			if errno := -int32(binary.NativeEndian.Uint32(payload)); errno != 0 {
				return true, unix.Errno(errno)
			}
			return true, nil
		case each != nil:
			each(payload)
		}
	}
	return false, nil
}

// attributes calls each for the attributes of a message behind its family header.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED, b[4:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

func failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s network device %s: %w", what, name, err)
}
