package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind of a message.
type Kind uint8

const (
	MethodCall Kind = 1 + iota
	MethodReturn
	ErrorReply
	Signal
)

// Message is one D-Bus message. Empty strings are absent header fields.
type Message struct {
	Kind   Kind
	Flags  uint8
	Serial uint32

	ReplySerial uint32 // of a reply: the call's Serial
	Path        string
	Interface   string
	Member      string
	ErrorName   string
	Destination string
	Sender      string

	Body []Value
}

// Header field codes.
const (
	fieldPath = 1 + iota
	fieldInterface
	fieldMember
	fieldErrorName
	fieldReplySerial
	fieldDestination
	fieldSender
	fieldSignature
)

const (
	maxMessage  = 1 << 20
	fixedHeader = 16 // up to and including the length of the header field array
)

// Encode returns the wire form of a message.
func (m *Message) Encode() ([]byte, error) {
	body := encoder{}
	sig := ""
	for _, v := range m.Body {
		body.value(v.sig, v, 0)
		sig += v.sig
	}
	if body.err != nil {
		return nil, body.err
	}
	h := encoder{b: make([]byte, 0, 256+len(body.b))}
	h.b = append(h.b, 'l', byte(m.Kind), m.Flags, 1)
	h.b = binary.LittleEndian.AppendUint32(h.b, uint32(len(body.b)))
	h.b = binary.LittleEndian.AppendUint32(h.b, m.Serial)
	fields := Array("(yv)")
	add := func(code byte, v Value) {
		fields.list = append(fields.list, Struct(Byte(code), Variant(v)))
	}
	text := func(code byte, s string, make func(string) Value) {
		if s != "" {
			add(code, make(s))
		}
	}
	text(fieldPath, m.Path, ObjectPath)
	text(fieldInterface, m.Interface, String)
	text(fieldMember, m.Member, String)
	text(fieldErrorName, m.ErrorName, String)
	if m.ReplySerial != 0 {
		add(fieldReplySerial, Uint32(m.ReplySerial))
	}
	text(fieldDestination, m.Destination, String)
	text(fieldSender, m.Sender, String)
	text(fieldSignature, sig, Signature)
	h.value(fields.sig, fields, 0)
	if h.err != nil {
		return nil, h.err
	}
	h.align(8)
	if len(h.b)+len(body.b) > maxMessage {
		return nil, fmt.Errorf("a D-Bus message of %d bytes is larger than %d", len(h.b)+len(body.b), maxMessage)
	}
	return append(h.b, body.b...), nil
}

// messageSize returns how long the message is that begins with the fixed header b.
func messageSize(b []byte) (int, error) {
	order, err := byteOrder(b)
	if err != nil {
		return 0, err
	}
	body, fields := uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[12:]))
	n := fixedHeader + (fields+7)&^7 + body
	if n > maxMessage {
		return 0, fmt.Errorf("a D-Bus message of %d bytes is larger than %d", n, maxMessage)
	}
	return int(n), nil
}

func byteOrder(b []byte) (binary.ByteOrder, error) {
	if len(b) < fixedHeader {
		return nil, errShort
	}
	if b[3] != 1 {
		return nil, fmt.Errorf("D-Bus protocol version %d is unknown", b[3])
	}
	switch b[0] {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	}
	return nil, fmt.Errorf("D-Bus byte order %q is unknown", b[0])
}

// Decode reads one whole message.
func Decode(b []byte) (*Message, error) {
	m, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("malformed D-Bus message: %w", err)
	}
	return m, nil
}

func decode(b []byte) (*Message, error) {
	order, err := byteOrder(b)
	if err != nil {
		return nil, err
	}
	if n, err := messageSize(b); err != nil {
		return nil, err
	} else if n != len(b) {
		return nil, errShort
	}
	m := &Message{Kind: Kind(b[1]), Flags: b[2], Serial: order.Uint32(b[8:])}
	if m.Kind == 0 || m.Serial == 0 {
		return nil, errors.New("its kind or serial is 0")
	}
	d := &decoder{b: b, pos: 12, order: order, left: maxValues}
	fields, err := d.value("a(yv)", 0)
	if err != nil {
		return nil, err
	}
	if err := d.align(8); err != nil {
		return nil, err
	}
	sig := ""
	for _, f := range fields.list {
		code, v := f.list[0].num, f.list[1].list[0]
		var to *string
		want := "s"
		switch code {
		case fieldPath:
			to, want = &m.Path, "o"
		case fieldInterface:
			to = &m.Interface
		case fieldMember:
			to = &m.Member
		case fieldErrorName:
			to = &m.ErrorName
		case fieldReplySerial:
			if v.sig != "u" {
				return nil, errors.New("its reply serial is not a number")
			}
			m.ReplySerial = uint32(v.num)
			continue
		case fieldDestination:
			to = &m.Destination
		case fieldSender:
			to = &m.Sender
		case fieldSignature:
			to, want = &sig, "g"
		default:
			continue // to be ignored, says the specification
		}
		if v.sig != want {
			return nil, fmt.Errorf("header field %d is of type %q", code, v.sig)
		}
		*to = v.str
	}
	for sig != "" {
		first, rest, err := nextType(sig, 0)
		if err != nil {
			return nil, err
		}
		v, err := d.value(first, 0)
		if err != nil {
			return nil, err
		}
		m.Body = append(m.Body, v)
		sig = rest
	}
	if d.pos != len(b) {
		return nil, errors.New("its body is longer than its signature")
	}
	return m, nil
}

// Error is an error reply.
type Error struct {
	Name string // "org.freedesktop.systemd1.NoSuchUnit"
	Text string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Name
	}
	return e.Text + " (" + e.Name + ")"
}
