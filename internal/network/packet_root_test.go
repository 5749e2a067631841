package network

import (
	"bytes"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packetSocket opens a socket for whole frames on eth0 of a namespace.
func packetSocket(b *bench, name string) int {
	b.t.Helper()
	fd := -1
	err := b.inside(name, func() (err error) {
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all); err != nil {
			return err
		}
		l, err := openLink("eth0")
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// sendAndSee sends a frame on one socket and says whether it came out at the other.
func sendAndSee(t *testing.T, from, to int, frame []byte) bool {
	t.Helper()
	frame = append(frame, []byte("mark-of-this-test")...) // behind what the protocols read
	if _, err := unix.Write(from, frame); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for until := time.Now().Add(60 * time.Millisecond); time.Now().Before(until); {
		n, err := unix.Read(to, buf)
		if err == unix.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if err == nil && bytes.Equal(buf[6:n], frame[6:]) {
			return true
		}
	}
	return false
}
