package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// decoder reads values in wire form. Alignment counts from the start of b, whose length
// bounds everything: no size in the message is trusted further than that.
type decoder struct {
	b     []byte
	pos   int
	order binary.ByteOrder
	left  int // values that may still be made
}

// maxValues bounds what a message expands to: an array of empty structs cannot exist, so that
// each value takes a byte, but a Value takes a hundred.
const maxValues = 1 << 16

var errShort = errors.New("the message ends too early")

func (d *decoder) align(n int) error {
	for d.pos%n != 0 {
		if d.pos >= len(d.b) {
			return errShort
		}
		if d.b[d.pos] != 0 {
			return errors.New("padding is not zero")
		}
		d.pos++
	}
	return nil
}

func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.b)-d.pos {
		return nil, errShort
	}
	b := d.b[d.pos : d.pos+n]
	d.pos += n
	return b, nil
}

func (d *decoder) uint32() (uint32, error) {
	if err := d.align(4); err != nil {
		return 0, err
	}
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	return d.order.Uint32(b), nil
}

// value reads one value of the complete type sig.
func (d *decoder) value(sig string, depth int) (Value, error) {
	if sig == "" || depth > 2*maxDepth {
		return Value{}, errSignature
	}
	if d.left--; d.left < 0 {
		return Value{}, fmt.Errorf("the message has more than %d values", maxValues)
	}
	v := Value{sig: sig}
	if err := d.align(alignment(sig[0])); err != nil {
		return v, err
	}
	switch sig[0] {
	case 'y':
		b, err := d.take(1)
		if err != nil {
			return v, err
		}
		v.num = uint64(b[0])
	case 'n', 'q':
		b, err := d.take(2)
		if err != nil {
			return v, err
		}
		v.num = uint64(d.order.Uint16(b))
		if sig[0] == 'n' {
			v.num = uint64(int64(int16(v.num)))
		}
	case 'b', 'i', 'u':
		n, err := d.uint32()
		if err != nil {
			return v, err
		}
		v.num = uint64(n)
		if sig[0] == 'i' {
			v.num = uint64(int64(int32(n)))
		}
		if sig[0] == 'b' && n > 1 {
			return v, fmt.Errorf("a boolean is %d", n)
		}
	case 'x', 't', 'd':
		b, err := d.take(8)
		if err != nil {
			return v, err
		}
		v.num = d.order.Uint64(b)
	case 's', 'o':
		n, err := d.uint32()
		if err != nil {
			return v, err
		}
		v.str, err = d.text(int(n))
		return v, err
	case 'g':
		var err error
		v.str, err = d.signature()
		return v, err
	case 'v':
		inner, err := d.signature()
		if err != nil {
			return v, err
		}
		first, rest, err := nextType(inner, 0)
		if err != nil || rest != "" {
			return v, errSignature
		}
		x, err := d.value(first, depth+1)
		v.list = []Value{x}
		return v, err
	case 'a':
		return d.array(sig, depth)
	case '(', '{':
		rest := sig[1 : len(sig)-1]
		for rest != "" {
			first, r, err := nextType(rest, 0)
			if err != nil {
				return v, err
			}
			x, err := d.value(first, depth+1)
			if err != nil {
				return v, err
			}
			v.list = append(v.list, x)
			rest = r
		}
	default:
		return v, errSignature
	}
	return v, nil
}

func (d *decoder) array(sig string, depth int) (Value, error) {
	v := Value{sig: sig}
	n, err := d.uint32()
	if err != nil {
		return v, err
	}
	if err := d.align(alignment(sig[1])); err != nil {
		return v, err
	}
	if uint64(n) > uint64(len(d.b)-d.pos) {
		return v, errShort
	}
	end := d.pos + int(n)
	for d.pos < end {
		x, err := d.value(sig[1:], depth+1)
		if err != nil {
			return v, err
		}
		v.list = append(v.list, x)
	}
	if d.pos != end {
		return v, errors.New("an array's elements do not fit its length")
	}
	return v, nil
}

// text reads n bytes and the NUL behind them.
func (d *decoder) text(n int) (string, error) {
	b, err := d.take(n)
	if err != nil {
		return "", err
	}
	nul, err := d.take(1)
	if err != nil {
		return "", err
	}
	s := string(b)
	if nul[0] != 0 || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return "", errors.New("a text is not UTF-8 without NUL")
	}
	return s, nil
}

func (d *decoder) signature() (string, error) {
	b, err := d.take(1)
	if err != nil {
		return "", err
	}
	return d.text(int(b[0]))
}
