package ocispec

import (
	"slices"
	"strconv"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string, byte for byte as encoding/json's Marshal does: with <, > and & escaped,
// and U+FFFD for invalid UTF-8.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what is not appended yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			char, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case char == utf8.RuneError && n == 1:
				b = append(append(b, s[start:i]...), `\ufffd`...)
			case char == '\u2028', char == '\u2029':
				b = append(append(append(b, s[start:i]...), `\u202`...), hexDigits[char&15])
			default:
				i += n
				continue
			}
			i += n
			start = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// Writer appends a JSON document to a buffer, in one line or indented. A zero Writer with a buffer in B is ready.
//
//	w := ocispec.Writer{Indent: "  "}
//	w.Open('{')
//	w.Name("id")
//	w.String(id)
//	w.Close('}')
//	os.Stdout.Write(w.B)
type Writer struct {
	B      []byte
	Indent string // per level; empty: no white space at all

	depth int
	begun bool // the innermost object or array has something in it
}

// Open begins an object ('{') or array ('['). In an array, call [Writer.Element] before each element.
func (w *Writer) Open(bracket byte) {
	w.B = append(w.B, bracket)
	w.depth++
	w.begun = false
}

// Close ends what the last open bracket began.
func (w *Writer) Close(bracket byte) {
	w.depth--
	if w.begun {
		w.line()
	}
	w.B = append(w.B, bracket)
	w.begun = true
}

// Element begins an element of an array.
func (w *Writer) Element() {
	if w.begun {
		w.B = append(w.B, ',')
	}
	w.line()
	w.begun = true
}

// Name begins a member of an object.
func (w *Writer) Name(name string) {
	w.Element()
	w.String(name)
	w.B = append(w.B, ':')
	if w.Indent != "" {
		w.B = append(w.B, ' ')
	}
}

func (w *Writer) line() {
	if w.Indent == "" {
		return
	}
	w.B = append(w.B, '\n')
	for range w.depth {
		w.B = append(w.B, w.Indent...)
	}
}

// String writes a string.
func (w *Writer) String(s string) { w.B = AppendString(w.B, s) }

// Int writes an integer.
func (w *Writer) Int(n int64) { w.B = strconv.AppendInt(w.B, n, 10) }

// Bool writes a boolean.
func (w *Writer) Bool(v bool) { w.B = strconv.AppendBool(w.B, v) }

// Strings writes an array of strings; a nil slice as null, as encoding/json does.
func (w *Writer) Strings(list []string) {
	if list == nil {
		w.B = append(w.B, "null"...)
		return
	}
	w.Open('[')
	for _, s := range list {
		w.Element()
		w.String(s)
	}
	w.Close(']')
}

// StringMap writes an object of strings, its members in the order of their names.
func (w *Writer) StringMap(m map[string]string) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.Open('{')
	for _, k := range keys {
		w.Name(k)
		w.String(m[k])
	}
	w.Close('}')
}

// AppendState appends a container's state as hooks read it on their stdin (runtime.md, State): in one line, as runc
// writes it.
func AppendState(b []byte, s *specs.State) []byte {
	w := Writer{B: b}
	w.state(s)
	return w.B
}

func (w *Writer) state(s *specs.State) {
	w.Open('{')
	w.Name("ociVersion")
	w.String(s.Version)
	w.Name("id")
	w.String(s.ID)
	w.Name("status")
	w.String(string(s.Status))
	if s.Pid != 0 {
		w.Name("pid")
		w.Int(int64(s.Pid))
	}
	w.Name("bundle")
	w.String(s.Bundle)
	if len(s.Annotations) > 0 {
		w.Name("annotations")
		w.StringMap(s.Annotations)
	}
	w.Close('}')
}

// AppendSeccompState appends what the agent behind linux.seccomp.listenerPath reads, beside the descriptors whose names
// s.Fds gives (runtime-linux.md, Container process state).
func AppendSeccompState(b []byte, s *specs.ContainerProcessState) []byte {
	w := Writer{B: b}
	w.Open('{')
	w.Name("ociVersion")
	w.String(s.Version)
	w.Name("fds")
	w.Strings(s.Fds)
	w.Name("pid")
	w.Int(int64(s.Pid))
	if s.Metadata != "" {
		w.Name("metadata")
		w.String(s.Metadata)
	}
	w.Name("state")
	w.state(&s.State)
	w.Close('}')
	return w.B
}

// Status is what `keel state` and `keel list` print of a container: runc's members, in runc's order.
type Status struct {
	Version     string // ociVersion
	ID          string
	Pid         int    // of init; 0: stopped
	Status      string // creating, created, running, stopped or paused
	Bundle      string
	Rootfs      string // absolute, as the host sees it
	Created     string // RFC 3339 with nanoseconds, UTC
	Annotations map[string]string
	Owner       string // name or number of who owns the state directory; runc's `state` leaves it empty
}

// Write writes one container: `keel state` with w.Indent of two spaces, `keel list` as an element of an array.
func (s *Status) Write(w *Writer) {
	w.Open('{')
	w.Name("ociVersion")
	w.String(s.Version)
	w.Name("id")
	w.String(s.ID)
	w.Name("pid")
	w.Int(int64(s.Pid))
	w.Name("status")
	w.String(s.Status)
	w.Name("bundle")
	w.String(s.Bundle)
	w.Name("rootfs")
	w.String(s.Rootfs)
	w.Name("created")
	w.String(s.Created)
	if len(s.Annotations) > 0 {
		w.Name("annotations")
		w.StringMap(s.Annotations)
	}
	w.Name("owner")
	w.String(s.Owner)
	w.Close('}')
}
