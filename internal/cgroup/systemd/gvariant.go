package systemd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

// variantParser reads GVariant text. Its input is an annotation: short, but hostile.
type variantParser struct {
	s     string
	depth int
}

const maxVariantText = 64 << 10

func parseVariant(s string) (dbus.Value, error) {
	if len(s) > maxVariantText {
		return dbus.Value{}, errors.New("it is longer than 64 KiB")
	}
	p := &variantParser{s: s}
	v, err := p.value("")
	if err != nil {
		return v, err
	}
	if p.space(); p.s != "" {
		return v, fmt.Errorf("%.20q follows the value", p.s)
	}
	return v, nil
}

func (p *variantParser) space() { p.s = strings.TrimLeft(p.s, " \t\n\r") }

// word takes letters, digits and what numbers have.
func (p *variantParser) word() string {
	n := 0
	for n < len(p.s) {
		c := p.s[n]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("+-._", c) < 0 {
			break
		}
		n++
	}
	w := p.s[:n]
	p.s = p.s[n:]
	return w
}

// keyword is the signature of a type's name before a value, "" for other words.
func keyword(w string) string {
	switch w {
	case "boolean":
		return "b"
	case "byte":
		return "y"
	case "int16":
		return "n"
	case "uint16":
		return "q"
	case "int32":
		return "i"
	case "uint32":
		return "u"
	case "int64":
		return "x"
	case "uint64":
		return "t"
	case "double":
		return "d"
	case "string":
		return "s"
	case "objectpath":
		return "o"
	case "signature":
		return "g"
	}
	return ""
}

// value reads one value; sig is the type it must have, "" when it is free.
func (p *variantParser) value(sig string) (dbus.Value, error) {
	if p.depth++; p.depth > 16 {
		return dbus.Value{}, errors.New("it is nested too deep")
	}
	defer func() { p.depth-- }()
	p.space()
	if p.s == "" {
		return dbus.Value{}, errors.New("it ends where a value is wanted")
	}
	switch c := p.s[0]; {
	case c == '@':
		end := strings.IndexAny(p.s, " \t")
		if end < 0 {
			return dbus.Value{}, errors.New("a type stands without a value")
		}
		typed := p.s[1:end]
		if !simpleType(typed) || sig != "" && sig != typed {
			return dbus.Value{}, fmt.Errorf("the type %q cannot be used here", typed)
		}
		p.s = p.s[end:]
		return p.value(typed)
	case c == '\'' || c == '"':
		s, err := p.quoted()
		if err != nil {
			return dbus.Value{}, err
		}
		switch sig {
		case "", "s":
			return dbus.String(s), nil
		case "o":
			if !validPath(s) {
				return dbus.Value{}, fmt.Errorf("%q is not an object path", s)
			}
			return dbus.ObjectPath(s), nil
		case "g":
			return dbus.Signature(s), nil
		}
		return dbus.Value{}, fmt.Errorf("a string stands where the type %q is wanted", sig)
	case c == 'b' && len(p.s) > 1 && (p.s[1] == '\'' || p.s[1] == '"'):
		p.s = p.s[1:]
		s, err := p.quoted()
		if err != nil || sig != "" && sig != "ay" {
			return dbus.Value{}, errors.Join(err, errors.New("a byte string cannot be used here"))
		}
		return dbus.Bytes(append([]byte(s), 0)), nil
	case c == '[':
		return p.array(sig)
	case c == '(':
		return p.tuple(sig)
	case c == '<':
		if sig != "" && sig != "v" {
			return dbus.Value{}, fmt.Errorf("a variant stands where the type %q is wanted", sig)
		}
		p.s = p.s[1:]
		v, err := p.value("")
		if err != nil {
			return v, err
		}
		return dbus.Variant(v), p.expect('>')
	}
	w := p.word()
	if k := keyword(w); k != "" {
		if sig != "" && sig != k {
			return dbus.Value{}, fmt.Errorf("%q stands where the type %q is wanted", w, sig)
		}
		return p.value(k)
	}
	return scalar(w, sig)
}

// simpleType accepts basic types and arrays of them: what properties are made of.
func simpleType(sig string) bool {
	for range 4 {
		if sig == "" {
			return false
		}
		if sig[0] != 'a' {
			break
		}
		sig = sig[1:]
	}
	return len(sig) == 1 && strings.Contains("ybnqiuxtdsogv", sig)
}

func validPath(s string) bool {
	if s == "/" {
		return true
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(s, "/"), "/") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_'
		}) {
			return false
		}
	}
	return s != "" && s[0] == '/'
}

// bits is the size of an integer type.
func bits(sig string) int {
	switch sig {
	case "y":
		return 8
	case "n", "q":
		return 16
	case "i", "u":
		return 32
	}
	return 64
}

// scalar reads true, false and numbers.
func scalar(w, sig string) (dbus.Value, error) {
	bad := fmt.Errorf("%.20q is not a value of the type %q", w, sig)
	if w == "true" || w == "false" {
		if sig != "" && sig != "b" {
			return dbus.Value{}, bad
		}
		return dbus.Bool(w == "true"), nil
	}
	if sig == "" {
		sig = "i"
		if strings.ContainsAny(w, ".eE") && !strings.HasPrefix(w, "0x") {
			sig = "d"
		}
		bad = fmt.Errorf("%.20q is neither a number, a string nor a list", w)
	}
	switch sig {
	case "d":
		f, err := strconv.ParseFloat(w, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return dbus.Value{}, bad
		}
		return dbus.Double(f), nil
	case "y", "q", "u", "t":
		n, err := strconv.ParseUint(strings.TrimPrefix(w, "+"), 0, bits(sig))
		if err != nil {
			return dbus.Value{}, bad
		}
		switch sig {
		case "y":
			return dbus.Byte(byte(n)), nil
		case "q":
			return dbus.Uint16(uint16(n)), nil
		case "u":
			return dbus.Uint32(uint32(n)), nil
		}
		return dbus.Uint64(n), nil
	case "n", "i", "x":
		n, err := strconv.ParseInt(w, 0, bits(sig))
		if err != nil {
			return dbus.Value{}, bad
		}
		switch sig {
		case "n":
			return dbus.Int16(int16(n)), nil
		case "i":
			return dbus.Int32(int32(n)), nil
		}
		return dbus.Int64(n), nil
	}
	return dbus.Value{}, bad
}

func (p *variantParser) expect(c byte) error {
	p.space()
	if p.s == "" || p.s[0] != c {
		return fmt.Errorf("%q is missing before %.20q", c, p.s)
	}
	p.s = p.s[1:]
	return nil
}

// more handles the comma or the end after an element.
func (p *variantParser) more(end byte) (bool, error) {
	p.space()
	if p.s != "" && p.s[0] == ',' {
		p.s = p.s[1:]
		return true, nil
	}
	return false, p.expect(end)
}

// array reads "[1, 2]"; the elements have the type of the first.
func (p *variantParser) array(sig string) (dbus.Value, error) {
	elem := ""
	if sig != "" {
		if sig[0] != 'a' {
			return dbus.Value{}, fmt.Errorf("a list stands where the type %q is wanted", sig)
		}
		elem = sig[1:]
	}
	p.s = p.s[1:]
	if p.space(); strings.HasPrefix(p.s, "]") {
		p.s = p.s[1:]
		if elem == "" {
			return dbus.Value{}, errors.New("an empty list needs its type, as in @as []")
		}
		return dbus.Array(elem), nil
	}
	var list []dbus.Value
	for {
		v, err := p.value(elem)
		if err != nil {
			return v, err
		}
		elem = v.Signature()
		if len(list) >= 1024 {
			return v, errors.New("a list has more than 1024 elements")
		}
		list = append(list, v)
		if again, err := p.more(']'); err != nil || !again {
			return dbus.Array(elem, list...), err
		}
	}
}

// tuple reads "('a', 1)".
func (p *variantParser) tuple(sig string) (dbus.Value, error) {
	p.s = p.s[1:]
	var list []dbus.Value
	for {
		if p.space(); len(list) == 1 && strings.HasPrefix(p.s, ")") { // "(1,)"
			p.s = p.s[1:]
			break
		}
		v, err := p.value("")
		if err != nil {
			return v, err
		}
		if len(list) >= 64 {
			return v, errors.New("a tuple has more than 64 elements")
		}
		list = append(list, v)
		again, err := p.more(')')
		if err != nil {
			return v, err
		}
		if !again {
			break
		}
	}
	v := dbus.Struct(list...)
	if sig != "" && sig != v.Signature() {
		return v, fmt.Errorf("a tuple of type %q stands where %q is wanted", v.Signature(), sig)
	}
	return v, nil
}

// quoted reads a string with the escapes of GVariant text.
func (p *variantParser) quoted() (string, error) {
	quote := p.s[0]
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; c {
		case quote:
			p.s = p.s[i+1:]
			return b.String(), nil
		case '\\':
			if i++; i == len(p.s) {
				return "", errors.New("a string does not end")
			}
			switch e := p.s[i]; e {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case 'a':
				b.WriteByte('\a')
			case 'b':
				b.WriteByte('\b')
			case 'f':
				b.WriteByte('\f')
			case 'v':
				b.WriteByte('\v')
			case 'u', 'U':
				n := 4
				if e == 'U' {
					n = 8
				}
				if i+n >= len(p.s) {
					return "", errors.New("a string does not end")
				}
				r, err := strconv.ParseUint(p.s[i+1:i+1+n], 16, 32)
				if err != nil || r == 0 || r > 0x10ffff {
					return "", errors.New("a string has a malformed \\u escape")
				}
				b.WriteRune(rune(r))
				i += n
			default:
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a string does not end")
}
