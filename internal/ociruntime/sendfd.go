package ociruntime

import (
	"unsafe"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// maxPassed is SCM_MAX_FD, the kernel's bound on descriptors in one message.
const maxPassed = 253

// message lays out struct msghdr with one byte and room for n descriptors (unix(7)).
func (p *planner) message(n int) (control []byte, msg launch.Arg) {
	data, _ := p.Mem(1)
	iov, _ := p.Mem(int(unsafe.Sizeof(unix.Iovec{})))
	*(*unix.Iovec)(unsafe.Pointer(&iov[0])) = unix.Iovec{Base: &data[0], Len: 1}
	control, _ = p.Mem(unix.CmsgSpace(4 * n))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * n))
	m := &unix.Msghdr{Iov: (*unix.Iovec)(unsafe.Pointer(&iov[0])), Iovlen: 1, Control: &control[0]}
	m.SetControllen(len(control))
	p.Keep(m)
	_, arg := p.Mem(1)
	return control, arg.To(unsafe.Pointer(m))
}

// sendFD plans sendmsg(2) of the descriptor in a slot, with one byte, over a socket.
func (p *planner) sendFD(socket int, s launch.Slot) {
	control, msg := p.message(1)
	p.Store32(control[unix.CmsgLen(0):], s)
	p.Call("sendmsg", unix.SYS_SENDMSG, p.FD(socket, "sync"), msg, launch.Int(0)).Want(1)
}

// sendMem is sendFD of a descriptor that the kernel has written to memory: a pidfd.
func (p *planner) sendMem(socket int, fd []byte) {
	s := p.Slot("fd")
	p.Load32(s, fd)
	p.sendFD(socket, s)
}

// receiveFDs plans recvmsg(2) of one byte and exactly n descriptors, at most [maxPassed], and
// returns the memory where they will be, 4 bytes each.
func (p *planner) receiveFDs(socket, n int) []byte {
	control, msg := p.message(n)
	p.Call("recvmsg", unix.SYS_RECVMSG, p.FD(socket, "sync"), msg, launch.Hex(unix.MSG_CMSG_CLOEXEC)).Want(1)
	p.Assert32(control, ^uint32(0), uint32(unix.CmsgLen(4*n)), uint16(unix.EPROTO)) // cmsg_len, little end
	return control[unix.CmsgLen(0):]
}
