package nl

import (
	"encoding/binary"
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

// Listen joins a multicast group in the network namespace of the calling thread. Notifications that
// a socket's requests cause, by its port, are left in the kernel: who writes a lot would hear a lot.
func Listen(family, group int, but uint32) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, family)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		// All messages of a datagram have the same cause. A filter loads words in network byte order;
		// nlmsghdr has its port at 12, in the host's.
		var port [4]byte
		native.PutUint32(port[:], but)
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: binary.BigEndian.Uint32(port[:])},
			{Code: unix.BPF_RET | unix.BPF_K, K: 0},
			{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
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
