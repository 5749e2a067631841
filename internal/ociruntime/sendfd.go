package ociruntime

import (
	"unsafe"

	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// sendFD plans sendmsg(2) of the descriptor in a slot, with one byte, over a socket.
func (p *planner) sendFD(socket int, s launch.Slot) {
	data, _ := p.Mem(1)
	iov, _ := p.Mem(int(unsafe.Sizeof(unix.Iovec{})))
	*(*unix.Iovec)(unsafe.Pointer(&iov[0])) = unix.Iovec{Base: &data[0], Len: 1}
	control, _ := p.Mem(unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4))
	p.Store32(control[unix.CmsgLen(0):], s)
	msg := &unix.Msghdr{Iov: (*unix.Iovec)(unsafe.Pointer(&iov[0])), Iovlen: 1, Control: &control[0]}
	msg.SetControllen(len(control))
	p.Keep(msg)
	_, arg := p.Mem(1)
	p.Call("sendmsg", unix.SYS_SENDMSG, launch.Int(socket), arg.To(unsafe.Pointer(msg)), launch.Int(0)).Want(1)
}
