package ocispec

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of what a document may hold (SECURITY.md R10). The deepest place in a specs.Spec is level 6.
const (
	maxDepth  = 64
	maxMemory = 32 << 20 // bytes that array elements and map entries may take, strings themselves aside
)

// Error says what is wrong with a document, in one sentence.
type Error struct {
	Field  string // path of the member, as "linux.devices[3].type"; empty for a syntax error
	Line   int    // from 1; where the offending token begins
	Column int    // from 1, in bytes
	Reason string
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Reason
	}
	return "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column) + ": " + e.Reason
}

// reader reads one JSON document. The first error sticks: every later call does nothing and says that there is no
// more, so decoders need not look at errors.
type reader struct {
	src    string
	pos    int
	err    *Error
	memory int // bytes spent of maxMemory

	depth int            // of open objects and arrays
	path  [maxDepth]step // of each open object and array, where we are in it

	nul     string // path of the first string of a known member that contains a NUL byte
	seccomp span   // linux.seccomp
	head    SeccompHead
	others  []string
}

// step is a place in an open object or array.
type step struct {
	key   string // name of the current member
	n     int    // members or elements begun
	array bool
}

// syntax reports text that is not JSON, at the current place.
func (r *reader) syntax(reason string) { r.report("", reason) }

// refuse reports a value that is JSON but not wanted, with the path of its member.
func (r *reader) refuse(reason string) {
	field := r.field()
	if field == "" {
		field = "the document"
	}
	r.report(field, reason)
}

func (r *reader) report(field, reason string) {
	if r.err == nil {
		before := r.src[:min(r.pos, len(r.src))]
		r.err = &Error{
			Field:  field,
			Line:   1 + strings.Count(before, "\n"),
			Column: len(before) - strings.LastIndexByte(before, '\n'),
			Reason: reason,
		}
	}
	r.pos = len(r.src)
}

// field is the path of the current value: `process.env[3]`, `annotations["a.b"]`.
func (r *reader) field() string {
	b := make([]byte, 0, 64)
	for i := range r.depth {
		s := &r.path[i]
		switch {
		case s.n == 0: // no member begun: we are at the object itself
		case s.array:
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(s.n-1), 10)
			b = append(b, ']')
		case !plainName(s.key):
			b = append(b, '[')
			b = strconv.AppendQuote(b, shorten(s.key))
			b = append(b, ']')
		default:
			if len(b) > 0 {
				b = append(b, '.')
			}
			b = append(b, s.key...)
		}
	}
	return string(b)
}

func plainName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// shorten cuts a text for an error message.
func shorten(s string) string {
	const most = 48
	if len(s) <= most {
		return s
	}
	for i := most; i > most-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i] + "..."
		}
	}
	return s[:most] + "..."
}

// peek skips white space and returns the next byte, 0 at the end. A NUL byte is never valid there, so 0 is no token.
func (r *reader) peek() byte {
	for r.pos < len(r.src) {
		switch c := r.src[r.pos]; c {
		case ' ', '\n', '\t', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// open enters an object or array whose bracket is the next byte.
func (r *reader) open(array bool) bool {
	if r.depth == maxDepth {
		r.refuse("nested more than " + strconv.Itoa(maxDepth) + " levels deep")
		return false
	}
	r.pos++
	r.path[r.depth] = step{array: array}
	r.depth++
	return true
}

// object enters an object. false: it is null, which leaves the target as it is, or not an object.
func (r *reader) object() bool {
	switch r.peek() {
	case '{':
		return r.open(false)
	case 'n':
		r.literal("null")
		return false
	}
	r.wrongType("an object")
	return false
}

// key begins the next member of the innermost object and returns its name. false: there is none, the object is closed.
func (r *reader) key() (string, bool) {
	c := r.peek()
	s := &r.path[r.depth-1]
	if c == '}' {
		r.pos++
		r.depth--
		return "", false
	}
	if s.n > 0 {
		if c != ',' {
			r.syntax("want a comma or } after a member")
			return "", false
		}
		r.pos++
		c = r.peek()
	}
	if c != '"' {
		r.syntax("want the name of a member in double quotes")
		return "", false
	}
	k, ok := r.text()
	if !ok {
		return "", false
	}
	if r.peek() != ':' {
		r.syntax("want a colon after the name of a member")
		return "", false
	}
	r.pos++
	s.key, s.n = k, s.n+1
	return k, true
}

// array enters an array. false: it is null or not an array.
func (r *reader) array(want string) bool {
	switch r.peek() {
	case '[':
		return r.open(true)
	case 'n':
		r.literal("null")
		return false
	}
	r.wrongType(want)
	return false
}

// element begins the next element of the innermost array. false: there is none, the array is closed.
func (r *reader) element() bool {
	c := r.peek()
	s := &r.path[r.depth-1]
	if c == ']' {
		r.pos++
		r.depth--
		return false
	}
	if s.n > 0 {
		if c != ',' {
			r.syntax("want a comma or ] after an element")
			return false
		}
		r.pos++
		if r.peek() == ']' {
			r.syntax("want an element after the comma")
			return false
		}
	} else if c == 0 {
		r.syntax("want an element or ]")
		return false
	}
	s.n++
	return r.err == nil
}

// spend takes bytes from the document's memory budget.
func (r *reader) spend(bytes int) {
	r.memory += bytes
	if r.memory > maxMemory {
		r.refuse("the document holds too many elements")
	}
}

// literal reads true, false or null, whose first letter is the next byte.
func (r *reader) literal(word string) bool {
	if !strings.HasPrefix(r.src[r.pos:], word) {
		r.syntax("want a value")
		return false
	}
	r.pos += len(word)
	return true
}

// null reads null, if that is the next value.
func (r *reader) null() bool { return r.peek() == 'n' && r.literal("null") }

// end checks that nothing follows the document.
func (r *reader) end() {
	if r.err == nil && (r.peek() != 0 || r.pos < len(r.src)) {
		r.syntax("text after the end of the document")
	}
}

// wrongType reports the next value as one of another type than wanted; where it is no value at all, as a syntax error.
func (r *reader) wrongType(want string) {
	start := r.pos
	found := ""
	switch c := r.peek(); {
	case c == '{':
		found = "an object"
	case c == '[':
		found = "an array"
	case c == '"':
		if s, ok := r.text(); ok {
			found = "string " + strconv.Quote(shorten(s))
		}
	case c == 't' && r.literal("true"), c == 'f' && r.literal("false"), c == 'n' && r.literal("null"):
		found = r.src[start:r.pos]
	case c == '-' || '0' <= c && c <= '9':
		if s, ok := r.number(); ok {
			found = "number " + shorten(s)
		}
	case c == 0 && r.pos >= len(r.src):
		r.syntax("the document ends where a value should be")
	default:
		r.syntax("want a value")
	}
	if r.err == nil {
		r.pos = start
		r.refuse("want " + want + ", found " + found)
	}
}
