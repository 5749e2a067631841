package dbus

import (
	"errors"
	"math"
	"strings"
)

// Value is one D-Bus value. The zero Value is none.
type Value struct {
	sig  string
	num  uint64  // y b n q i u x t d, the bits of the number
	str  string  // s o g
	list []Value // elements of a and (), the two halves of {}, the content of v
}

// Signature returns the type of the value.
func (v Value) Signature() string { return v.sig }

// Uint returns a number's bits: sign-extended for n, i and x, IEEE for d.
func (v Value) Uint() uint64 { return v.num }

// Float returns the number of a "d".
func (v Value) Float() float64 { return math.Float64frombits(v.num) }

// Str returns the text of an "s", "o" or "g".
func (v Value) Str() string { return v.str }

// List returns the elements of an array, struct or dictionary entry, or what a variant holds.
func (v Value) List() []Value { return v.list }

func Byte(n byte) Value     { return Value{sig: "y", num: uint64(n)} }
func Int16(n int16) Value   { return Value{sig: "n", num: uint64(int64(n))} }
func Uint16(n uint16) Value { return Value{sig: "q", num: uint64(n)} }
func Int32(n int32) Value   { return Value{sig: "i", num: uint64(int64(n))} }
func Uint32(n uint32) Value { return Value{sig: "u", num: uint64(n)} }
func Int64(n int64) Value   { return Value{sig: "x", num: uint64(n)} }
func Uint64(n uint64) Value { return Value{sig: "t", num: n} }
func Double(f float64) Value {
	return Value{sig: "d", num: math.Float64bits(f)}
}

func Bool(b bool) Value {
	v := Value{sig: "b"}
	if b {
		v.num = 1
	}
	return v
}

func String(s string) Value     { return Value{sig: "s", str: s} }
func ObjectPath(s string) Value { return Value{sig: "o", str: s} }
func Signature(s string) Value  { return Value{sig: "g", str: s} }

// Variant wraps a value with its type.
func Variant(v Value) Value { return Value{sig: "v", list: []Value{v}} }

// Struct makes a "(…)" of its fields.
func Struct(fields ...Value) Value {
	var b strings.Builder
	b.WriteByte('(')
	for _, f := range fields {
		b.WriteString(f.sig)
	}
	b.WriteByte(')')
	return Value{sig: b.String(), list: fields}
}

// Array makes an array whose elements are all of the type elem.
func Array(elem string, list ...Value) Value { return Value{sig: "a" + elem, list: list} }

// Strings makes an "as", Bytes an "ay".
func Strings(list ...string) Value {
	v := Value{sig: "as"}
	for _, s := range list {
		v.list = append(v.list, String(s))
	}
	return v
}

func Bytes(b []byte) Value {
	v := Value{sig: "ay", list: make([]Value, len(b))}
	for i, n := range b {
		v.list[i] = Byte(n)
	}
	return v
}

const (
	maxSignature = 255
	maxDepth     = 32
)

var errSignature = errors.New("malformed D-Bus signature")

// nextType splits the first complete type off a signature.
func nextType(sig string, depth int) (first, rest string, err error) {
	if sig == "" || len(sig) > maxSignature || depth > maxDepth {
		return "", "", errSignature
	}
	switch c := sig[0]; c {
	case 'y', 'b', 'n', 'q', 'i', 'u', 'x', 't', 'd', 's', 'o', 'g', 'v':
		return sig[:1], sig[1:], nil
	case 'a':
		if len(sig) > 1 && sig[1] == '{' {
			return dictType(sig, depth)
		}
		elem, rest, err := nextType(sig[1:], depth+1)
		if err != nil {
			return "", "", err
		}
		return sig[:1+len(elem)], rest, nil
	case '(':
		rest = sig[1:]
		for n := 0; ; n++ {
			if rest != "" && rest[0] == ')' && n > 0 {
				rest = rest[1:]
				return sig[:len(sig)-len(rest)], rest, nil
			}
			if _, rest, err = nextType(rest, depth+1); err != nil {
				return "", "", err
			}
		}
	}
	return "", "", errSignature
}

// dictType splits "a{KV}" off: a dictionary entry occurs as the element of an array only, and
// its key is a basic type.
func dictType(sig string, depth int) (first, rest string, err error) {
	rest = sig[2:]
	if rest == "" || !strings.Contains("ybnqiuxtdsog", rest[:1]) {
		return "", "", errSignature
	}
	if _, rest, err = nextType(rest[1:], depth+2); err != nil {
		return "", "", err
	}
	if rest == "" || rest[0] != '}' {
		return "", "", errSignature
	}
	rest = rest[1:]
	return sig[:len(sig)-len(rest)], rest, nil
}

// alignment of a type's first byte within the message.
func alignment(c byte) int {
	switch c {
	case 'n', 'q':
		return 2
	case 'b', 'i', 'u', 's', 'o', 'a':
		return 4
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 1 // y g v
}
