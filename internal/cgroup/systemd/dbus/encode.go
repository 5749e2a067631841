package dbus

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// encoder appends values in little-endian wire form. Alignment counts from the start of b.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// value appends v, which must be of the type sig.
func (e *encoder) value(sig string, v Value, depth int) {
	if v.sig != sig {
		e.fail("a D-Bus value of type %q stands where %q is wanted", v.sig, sig)
		return
	}
	if sig == "" || depth > maxDepth {
		e.fail("a D-Bus value of type %q is empty or nested too deep", sig)
		return
	}
	e.align(alignment(sig[0]))
	switch sig[0] {
	case 'y':
		e.b = append(e.b, byte(v.num))
	case 'n', 'q':
		e.b = binary.LittleEndian.AppendUint16(e.b, uint16(v.num))
	case 'b', 'i', 'u':
		e.b = binary.LittleEndian.AppendUint32(e.b, uint32(v.num))
	case 'x', 't', 'd':
		e.b = binary.LittleEndian.AppendUint64(e.b, v.num)
	case 's', 'o':
		if strings.IndexByte(v.str, 0) >= 0 || !utf8.ValidString(v.str) {
			e.fail("the text %q cannot be sent over D-Bus", v.str)
		}
		e.b = binary.LittleEndian.AppendUint32(e.b, uint32(len(v.str)))
		e.b = append(append(e.b, v.str...), 0)
	case 'g':
		e.signature(v.str)
	case 'v':
		if len(v.list) != 1 {
			e.fail("a D-Bus variant without a value")
			return
		}
		e.signature(v.list[0].sig)
		e.value(v.list[0].sig, v.list[0], depth+1)
	case 'a':
		e.array(sig[1:], v, depth)
	case '(', '{':
		rest := sig[1 : len(sig)-1]
		for _, f := range v.list {
			first, r, err := nextType(rest, depth)
			if err != nil {
				e.fail("a D-Bus struct of type %q: %v", sig, err)
				return
			}
			e.value(first, f, depth+1)
			rest = r
		}
		if rest != "" {
			e.fail("a D-Bus struct of type %q lacks fields", sig)
		}
	default:
		e.fail("%q: %v", sig, errSignature)
	}
}

func (e *encoder) signature(s string) {
	if len(s) > maxSignature {
		e.fail("%q: %v", s, errSignature)
		return
	}
	e.b = append(e.b, byte(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) array(elem string, v Value, depth int) {
	if elem == "" {
		e.fail("%q: %v", v.sig, errSignature)
		return
	}
	at := len(e.b)
	e.b = append(e.b, 0, 0, 0, 0)
	e.align(alignment(elem[0])) // also when empty; not counted in the length
	start := len(e.b)
	for _, x := range v.list {
		e.value(elem, x, depth+1)
	}
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-start))
}
