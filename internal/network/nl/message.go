// Package nl is the part of netlink that rtnetlink and nfnetlink have in common: messages with
// attributes, and a socket that sends many of them in one system call and reads their
// acknowledgements.
//
// # Terms
//
//   - message: nlmsghdr, a header of the family, attributes (netlink(7)).
//   - batch: messages that go out in one datagram. The kernel handles them in order.
//
// # Life cycle
//
//	s, err := nl.Open(unix.NETLINK_ROUTE)
//	var b nl.Batch
//	b.Begin(unix.RTM_NEWLINK, flags, ifinfomsg)
//	b.Str(unix.IFLA_IFNAME, "br0")
//	b.End()
//	err = s.Do(&b)             // the first error of the kernel, as an *Error
//
// A [Socket] is for one goroutine at a time and stays in the network namespace it was opened in.
package nl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// native is the byte order of the host, which netlink headers and most attributes have.
var native = binary.NativeEndian

// Batch is a buffer of messages under construction. Its zero value is ready for use.
//
//	| nlmsghdr | family header | attr attr(attr attr) … | nlmsghdr | …
//
// Everything is padded to four bytes.
type Batch struct {
	buf   []byte
	start int   // of the message under construction
	nests []int // open nested attributes
	seqs  int   // messages begun
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.buf, b.start, b.nests, b.seqs = b.buf[:0], 0, b.nests[:0], 0 }

// Len is the length of the batch in bytes.
func (b *Batch) Len() int { return len(b.buf) }

// Messages is the number of messages.
func (b *Batch) Messages() int { return b.seqs }

// Bytes are the messages as they are sent; sequence numbers count from 1 until a socket sets them.
func (b *Batch) Bytes() []byte { return b.buf }

// Begin begins a message. NLM_F_REQUEST is added to flags.
func (b *Batch) Begin(kind, flags uint16, header ...byte) {
	b.start = len(b.buf)
	b.seqs++
	b.buf = native.AppendUint32(b.buf, 0)
	b.buf = native.AppendUint16(b.buf, kind)
	b.buf = native.AppendUint16(b.buf, flags|unix.NLM_F_REQUEST)
	b.buf = native.AppendUint32(b.buf, uint32(b.seqs))
	b.buf = native.AppendUint32(b.buf, 0)
	b.buf = append(b.buf, header...)
	b.pad()
}

// End ends the message.
func (b *Batch) End() { native.PutUint32(b.buf[b.start:], uint32(len(b.buf)-b.start)) }

func (b *Batch) pad() {
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

func (b *Batch) header(kind uint16, size int) {
	b.buf = native.AppendUint16(b.buf, uint16(4+size))
	b.buf = native.AppendUint16(b.buf, kind)
}

// Attr adds an attribute of raw bytes.
func (b *Batch) Attr(kind uint16, value []byte) {
	b.header(kind, len(value))
	b.buf = append(b.buf, value...)
	b.pad()
}

// Str adds a string with its final zero byte.
func (b *Batch) Str(kind uint16, s string) {
	b.header(kind, len(s)+1)
	b.buf = append(b.buf, s...)
	b.buf = append(b.buf, 0)
	b.pad()
}

// U8 adds a byte.
func (b *Batch) U8(kind uint16, v uint8) { b.Attr(kind, []byte{v}) }

// U16 adds a number in the host's byte order.
func (b *Batch) U16(kind uint16, v uint16) {
	b.header(kind, 2)
	b.buf = native.AppendUint16(b.buf, v)
	b.pad()
}

// U32 adds a number in the host's byte order.
func (b *Batch) U32(kind uint16, v uint32) {
	b.header(kind, 4)
	b.buf = native.AppendUint32(b.buf, v)
}

// U64 adds a number in the host's byte order.
func (b *Batch) U64(kind uint16, v uint64) {
	b.header(kind, 8)
	b.buf = native.AppendUint64(b.buf, v)
}

// BE32 adds a number in network byte order, as nfnetlink has them.
func (b *Batch) BE32(kind uint16, v uint32) {
	b.header(kind, 4)
	b.buf = binary.BigEndian.AppendUint32(b.buf, v)
}

// BE64 adds a number in network byte order.
func (b *Batch) BE64(kind uint16, v uint64) {
	b.header(kind, 8)
	b.buf = binary.BigEndian.AppendUint64(b.buf, v)
}

// Raw adds bytes without a header: a structure inside a nested attribute (struct ifinfomsg in
// VETH_INFO_PEER).
func (b *Batch) Raw(value []byte) {
	b.buf = append(b.buf, value...)
	b.pad()
}

// Nest begins an attribute that holds attributes, and marks it as such; Up ends it.
func (b *Batch) Nest(kind uint16) {
	b.nests = append(b.nests, len(b.buf))
	b.header(kind|unix.NLA_F_NESTED, 0)
}

// NestPlain is Nest without the mark, for the old families that refuse it.
func (b *Batch) NestPlain(kind uint16) {
	b.nests = append(b.nests, len(b.buf))
	b.header(kind, 0)
}

// Up ends the attribute that the last Nest began.
func (b *Batch) Up() {
	at := b.nests[len(b.nests)-1]
	b.nests = b.nests[:len(b.nests)-1]
	native.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
}

// Attrs calls each for the attributes in b, flags of the kind removed, until it returns false. A
// broken attribute ends it.
func Attrs(b []byte, each func(kind uint16, value []byte) bool) {
	for len(b) >= 4 {
		size := int(native.Uint16(b))
		if size < 4 || size > len(b) || !each(native.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:size]) {
			return
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// Messages calls each for the messages of a datagram. A broken one ends it.
func Messages(b []byte, each func(h Header, payload []byte)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(native.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		each(Header{Kind: native.Uint16(b[4:]), Flags: native.Uint16(b[6:]), Seq: native.Uint32(b[8:]), Port: native.Uint32(b[12:])}, b[unix.SizeofNlMsghdr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// Header is a struct nlmsghdr without its length.
type Header struct {
	Kind, Flags uint16
	Seq, Port   uint32
}

// Flag adds flags to a message that has been ended, by its index.
func (b *Batch) Flag(message int, flags uint16) {
	at := 0
	for ; message > 0; message-- {
		at += (int(native.Uint32(b.buf[at:])) + 3) &^ 3
	}
	native.PutUint16(b.buf[at+6:], native.Uint16(b.buf[at+6:])|flags)
}
