package nl

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Listener reads notifications of a multicast group.
type Listener struct {
	f   *os.File
	buf []byte
}

// ErrLost is returned by Next when the kernel had more to say than there was room for.
var ErrLost = errors.New("notifications were lost")

// Listen joins a multicast group in the network namespace of the calling thread.
func Listen(family, group int) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, family)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("joining a netlink group", err)
	}
	return &Listener{os.NewFile(uintptr(fd), "netlink"), make([]byte, 64<<10)}, nil
}

// Close ends Next too.
func (l *Listener) Close() error { return l.f.Close() }

// Next waits for a datagram and calls each for its messages.
func (l *Listener) Next(each func(h Header, payload []byte)) error {
	n, err := l.f.Read(l.buf)
	if errors.Is(err, unix.ENOBUFS) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	Messages(l.buf[:n], each)
	return nil
}
