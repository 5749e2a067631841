package criu

import (
	"encoding/binary"
	"errors"
)

// Wire types of protocol buffers (protobuf.dev, Encoding). Groups, 3 and 4, are not used by criu.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

var errTruncated = errors.New("a message from criu is cut short or malformed")

// message is a protocol buffer message being written.
type message []byte

func (m *message) tag(field, wire int) { *m = binary.AppendUvarint(*m, uint64(field)<<3|uint64(wire)) }

// int writes an int32, uint32 or enum; a negative one takes ten bytes, as the encoding demands.
func (m *message) int(field int, v int64) {
	m.tag(field, wireVarint)
	*m = binary.AppendUvarint(*m, uint64(v))
}

// on writes a bool that is true. A false one is left out: it is the default of all of criu's.
func (m *message) on(field int, v bool) {
	if v {
		m.int(field, 1)
	}
}

func (m *message) bytes(field int, b []byte) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(b)))
	*m = append(*m, b...)
}

// text writes a string that is not empty.
func (m *message) text(field int, s string) {
	if s != "" {
		m.bytes(field, []byte(s))
	}
}

// fields calls f for each field of a message: v is the value of a number, b of bytes.
func fields(msg []byte, f func(field int, v uint64, b []byte) error) error {
	for len(msg) > 0 {
		key, n := binary.Uvarint(msg)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
			return errTruncated
		}
		msg = msg[n:]
		var v uint64
		var b []byte
		switch key & 7 {
		case wireVarint:
			if v, n = binary.Uvarint(msg); n <= 0 {
				return errTruncated
			}
		case wireBytes:
			size, k := binary.Uvarint(msg)
			if k <= 0 || size > uint64(len(msg)-k) {
				return errTruncated
			}
			n = k + int(size)
			b = msg[k:n]
		case wire64:
			n = 8
		case wire32:
			n = 4
		default:
			return errTruncated
		}
		if n > len(msg) {
			return errTruncated
		}
		msg = msg[n:]
		if err := f(int(key>>3), v, b); err != nil {
			return err
		}
	}
	return nil
}
