package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the first byte of every packet.
const Version = 1

// Limits of what comes from the other side.
const (
	MaxPacket = 64 << 10 // bytes
	MaxFiles  = 8        // descriptors with one packet
	MaxFile   = 16 << 20 // bytes of a body in a file; config.json may be that long (package ocispec)
	Head      = 8
	MaxList   = 4096 // elements of a list
)

// FlagFile: the body is in a file, the first descriptor of the packet.
const FlagFile = 1

// Kind says what a packet is.
type Kind uint8

// Requests.
const (
	Hello Kind = iota + 1
	Create
	Start
	Signal
	Pause
	Resume
	Update
	Stats
	Processes
	Resize
	CloseStdin
	Exec
	Attach
	Delete
	lastRequest
)

// Replies and events.
const (
	OK Kind = iota + 64
	Fail
	Event
	lastReply
)

// Packet is one packet, its body not looked at yet.
type Packet struct {
	Kind Kind
	File bool
	Call uint32
	Body []byte
}

// Parse takes a packet apart. The body is part of b.
func Parse(b []byte) (p Packet, err error) {
	if len(b) < Head || len(b) > MaxPacket {
		return p, fmt.Errorf("a packet of %d bytes", len(b))
	}
	if b[0] != Version {
		return p, fmt.Errorf("a packet of version %d; this program speaks %d", b[0], Version)
	}
	flags := binary.LittleEndian.Uint16(b[2:])
	if flags&^FlagFile != 0 {
		return p, fmt.Errorf("a packet with the flags %#x", flags)
	}
	p = Packet{Kind: Kind(b[1]), File: flags&FlagFile != 0, Call: binary.LittleEndian.Uint32(b[4:]), Body: b[Head:]}
	if p.Kind == 0 || p.Kind >= lastRequest && p.Kind < OK || p.Kind >= lastReply {
		return p, fmt.Errorf("a packet of the unknown kind %d", p.Kind)
	}
	return p, nil
}

// AppendHead appends the head of a packet.
func AppendHead(b []byte, k Kind, file bool, call uint32) []byte {
	flags := uint16(0)
	if file {
		flags = FlagFile
	}
	b = append(b, Version, byte(k))
	b = binary.LittleEndian.AppendUint16(b, flags)
	return binary.LittleEndian.AppendUint32(b, call)
}

// ErrBody says that a body is not as the protocol has it.
var ErrBody = errors.New("the packet's body is not as the protocol has it")

// Fields reads a body. After an error all further fields are zero.
type Fields struct {
	b   []byte
	bad bool
}

// Read begins to read a body.
func Read(body []byte) *Fields { return &Fields{b: body} }

// Err is nil, or [ErrBody].
func (f *Fields) Err() error {
	if f.bad {
		return ErrBody
	}
	return nil
}

func (f *Fields) take(n int) []byte {
	if f.bad || len(f.b) == 0 {
		return nil // the sender knows no such field
	}
	if n > len(f.b) {
		f.bad, f.b = true, nil
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

// U8 reads a byte.
func (f *Fields) U8() uint8 {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads a byte that is 0 or 1.
func (f *Fields) Bool() bool {
	v := f.U8()
	f.bad = f.bad || v > 1
	return v == 1
}

// U32 reads four bytes.
func (f *Fields) U32() uint32 {
	if b := f.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (f *Fields) U64() uint64 {
	if b := f.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// I64 reads eight bytes as a number with a sign.
func (f *Fields) I64() int64 { return int64(f.U64()) }

// Bytes reads a string; it is part of the body.
func (f *Fields) Bytes() []byte { return f.take(int(f.U32())) }

// String reads a string.
func (f *Fields) String() string { return string(f.Bytes()) }

// Len reads the length of a list.
func (f *Fields) Len() int {
	n := f.U32()
	if n > MaxList {
		f.bad, f.b = true, nil
		return 0
	}
	return int(n)
}

// Strings reads a list of strings.
func (f *Fields) Strings() []string {
	var list []string
	for n := f.Len(); n > 0 && !f.bad; n-- {
		list = append(list, f.String())
	}
	return list
}

// Body is a body that is being written.
type Body []byte

// U8 appends a byte.
func (b *Body) U8(v uint8) { *b = append(*b, v) }

// Bool appends a byte, 0 or 1.
func (b *Body) Bool(v bool) {
	if v {
		b.U8(1)
	} else {
		b.U8(0)
	}
}

// U32 appends four bytes.
func (b *Body) U32(v uint32) { *b = binary.LittleEndian.AppendUint32(*b, v) }

// U64 appends eight bytes.
func (b *Body) U64(v uint64) { *b = binary.LittleEndian.AppendUint64(*b, v) }

// I64 appends eight bytes.
func (b *Body) I64(v int64) { b.U64(uint64(v)) }

// Bytes appends a string.
func (b *Body) Bytes(v []byte) {
	b.U32(uint32(len(v)))
	*b = append(*b, v...)
}

// String appends a string.
func (b *Body) String(v string) {
	b.U32(uint32(len(v)))
	*b = append(*b, v...)
}

// Strings appends a list of strings.
func (b *Body) Strings(list []string) {
	b.U32(uint32(len(list)))
	for _, s := range list {
		b.String(s)
	}
}
