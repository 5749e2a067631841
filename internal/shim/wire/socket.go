package wire

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SendPacket sends one packet with descriptors on a socket, without waiting. A body that is
// too long for a packet goes in a file. The error is unix.EAGAIN when the peer does not read.
func SendPacket(sock int, k Kind, call uint32, body []byte, files ...int) error {
	var inFile int
	if len(body) > MaxPacket-Head {
		fd, err := fileOf(body)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		inFile, body = fd, nil
		files = append([]int{fd}, files...)
	}
	msg := append(AppendHead(make([]byte, 0, Head+len(body)), k, inFile != 0, call), body...)
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for {
		err := unix.Sendmsg(sock, msg, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// fileOf makes a file in memory.
func fileOf(b []byte) (int, error) {
	fd, err := unix.MemfdCreate("packet", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	for off := 0; off < len(b); {
		n, err := unix.Pwrite(fd, b[off:], int64(off))
		if err != nil && err != unix.EINTR {
			unix.Close(fd)
			return -1, os.NewSyscallError("write to a file in memory", err)
		}
		off += max(n, 0)
	}
	return fd, nil
}

// PacketLength is how long the next packet is, 0 at the end of the connection.
func PacketLength(sock int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(sock, nil, unix.MSG_DONTWAIT|unix.MSG_PEEK|unix.MSG_TRUNC)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// ReceivePacket receives one packet into buf, which it must fit into, without waiting. The body is
// part of buf, or of a file that came with it. The descriptors are the caller's. The end of the
// connection is a nil Packet without error; unix.EAGAIN says that there is none yet.
func ReceivePacket(sock int, buf []byte) (*Packet, []int, error) {
	var oob [64]byte // cmsghdr, 8 descriptors, room for another header
	var n, oobn, flags int
	for {
		var err error
		n, oobn, flags, _, err = unix.Recvmsg(sock, buf, oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return nil, nil, err
		}
	}
	files, err := rights(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("a packet that is too long, or with too many descriptors")
	}
	if err == nil && n == 0 {
		closeAll(files)
		return nil, nil, nil
	}
	var p Packet
	if err == nil {
		p, err = Parse(buf[:n])
	}
	if err == nil && p.File {
		if len(files) == 0 {
			err = errors.New("a packet whose file is missing")
		} else {
			p.Body, err = readFile(files[0])
			unix.Close(files[0])
			files = files[1:]
		}
	}
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	return &p, files, nil
}

func closeAll(files []int) {
	for _, fd := range files {
		unix.Close(fd)
	}
}

// rights are the descriptors of a control message.
func rights(oob []byte) (files []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, fds...)
	}
	return files, nil
}

// readFile reads a body's file. It need not be a file: only what can be read at once counts.
func readFile(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("a packet whose file is none")
	}
	if st.Size > MaxFile {
		return nil, fmt.Errorf("a packet with %d bytes", st.Size)
	}
	b := make([]byte, st.Size)
	for off := 0; off < len(b); {
		n, err := unix.Pread(fd, b[off:], int64(off))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, os.NewSyscallError("read a packet's file", err)
		case n == 0:
			return b[:off], nil
		default:
			off += n
		}
	}
	return b, nil
}

// ReceiveFiles receives the descriptors of one message, whatever else is in it, without waiting.
func ReceiveFiles(sock int) ([]int, error) {
	var oob [64]byte
	var b [4096]byte
	for {
		_, n, flags, _, err := unix.Recvmsg(sock, b[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		files, err := rights(oob[:n])
		if err == nil && flags&unix.MSG_CTRUNC != 0 {
			err = errors.New("too many descriptors in a message")
		}
		return files, err
	}
}
