package ocispec

import (
	"math"
	"strings"
	"unsafe"
)

// The functions below read one value into a member of a specs-go type. null leaves the zero value, as in encoding/json:
// every target is fresh, and no member is read twice.

func (r *reader) string(v *string) {
	switch r.peek() {
	case '"':
		s, _ := r.text()
		*v = s
		// Only an escape makes a NUL byte, and it leaves a string that is not part of the document.
		if r.nul == "" && strings.IndexByte(s, 0) >= 0 {
			r.nul = r.field()
		}
	case 'n':
		r.literal("null")
	default:
		r.wrongType("a string")
	}
}

func (r *reader) bool(v *bool) {
	switch r.peek() {
	case 't':
		*v = r.literal("true")
	case 'f':
		r.literal("false")
	case 'n':
		r.literal("null")
	default:
		r.wrongType("true or false")
	}
}

func (r *reader) int(v *int) { *v = int(r.signed(math.MaxInt, "an integer")) }
func (r *reader) int32(v *int32) {
	*v = int32(r.signed(math.MaxInt32, "a 32-bit integer"))
}
func (r *reader) int64(v *int64) {
	*v = r.signed(math.MaxInt64, "a 64-bit integer")
}
func (r *reader) uint(v *uint) { *v = uint(r.unsigned(math.MaxUint, "an unsigned integer")) }
func (r *reader) uint16(v *uint16) {
	*v = uint16(r.unsigned(math.MaxUint16, "an unsigned 16-bit integer"))
}
func (r *reader) uint32(v *uint32) {
	*v = uint32(r.unsigned(math.MaxUint32, "an unsigned 32-bit integer"))
}
func (r *reader) uint64(v *uint64) {
	*v = r.unsigned(math.MaxUint64, "an unsigned 64-bit integer")
}

// elements reads an array. [] gives an empty slice that is not nil, as in encoding/json.
func elements[T any](r *reader, v *[]T, want string, read func(*reader, *T)) {
	if !r.array(want) {
		return
	}
	s := []T{}
	for r.element() {
		var e T
		if r.spend(int(unsafe.Sizeof(e))); len(s) == 0 {
			s = make([]T, 0, 4)
		}
		s = append(s, e)
		read(r, &s[len(s)-1])
	}
	*v = s
}

func objects[T any](r *reader, v *[]T, read func(*reader, *T)) {
	elements(r, v, "an array of objects", read)
}

func integers[T any](r *reader, v *[]T, read func(*reader, *T)) {
	elements(r, v, "an array of integers", read)
}

func stringArray[T ~string](r *reader, v *[]T) {
	if !r.array("an array of strings") {
		return
	}
	s := []T{}
	for r.element() {
		if r.spend(int(unsafe.Sizeof(""))); len(s) == 0 {
			s = make([]T, 0, 4)
		}
		var e string
		r.string(&e)
		s = append(s, T(e))
	}
	*v = s
}

// entries reads an object whose members' names are data.
func entries[T any](r *reader, v *map[string]T, read func(*reader, *T)) {
	if !r.object() {
		return
	}
	m := map[string]T{}
	for {
		k, ok := r.key()
		if !ok {
			*v = m
			return
		}
		if _, twice := m[k]; twice {
			r.twice()
		}
		if r.nul == "" && strings.IndexByte(k, 0) >= 0 {
			r.nul = r.field()
		}
		e := new(T)
		r.spend(int(unsafe.Sizeof(k) + unsafe.Sizeof(*e)))
		read(r, e)
		m[k] = *e
	}
}

func (r *reader) twice() { r.refuse("this member is there twice") }

// once marks known member i of an object as seen.
func (r *reader) once(seen *uint32, i uint) {
	if *seen&(1<<i) != 0 {
		r.twice()
	}
	*seen |= 1 << i
}

// names is a set of the unknown members of one object.
type names struct {
	few  []string
	many map[string]struct{} // once there are more than a few: a hostile object may have a million
}

// add adds a name and says whether it was new.
func (n *names) add(k string) bool {
	if n.many != nil {
		_, there := n.many[k]
		n.many[k] = struct{}{}
		return !there
	}
	for _, f := range n.few {
		if f == k {
			return false
		}
	}
	n.few = append(n.few, k)
	if len(n.few) > 16 {
		n.many = make(map[string]struct{}, 64)
		for _, f := range n.few {
			n.many[f] = struct{}{}
		}
	}
	return true
}

// unknown skips a member that the specification does not have, unless only its case is wrong.
func (r *reader) unknown(k string, known []string, seen *names) {
	for _, name := range known {
		if strings.EqualFold(k, name) {
			r.refuse("the name must be written " + name)
			return
		}
	}
	if !seen.add(k) {
		r.twice()
	}
	r.skip(true)
}

// skip checks a value as JSON and drops it. unique: members must not be there twice; without, skipping does not allocate.
func (r *reader) skip(unique bool) {
	switch c := r.peek(); {
	case c == '{':
		if r.open(false) {
			r.skipMembers(unique)
		}
	case c == '[':
		if r.open(true) {
			for r.element() {
				r.skip(unique)
			}
		}
	case c == '"':
		r.skipText()
	case c == '-' || '0' <= c && c <= '9':
		r.number()
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	default:
		r.wrongType("a value") // it is none: a syntax error
	}
}

func (r *reader) skipMembers(unique bool) {
	var seen names
	for {
		k, ok := r.key()
		if !ok {
			return
		}
		if unique && !seen.add(k) {
			r.twice()
		}
		r.skip(unique)
	}
}

// otherPlatform skips the section of another operating system and remembers that it is there.
func (r *reader) otherPlatform(name string) {
	if !r.null() {
		r.others = append(r.others, name)
		r.skip(true)
	}
}
