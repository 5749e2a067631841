package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containerd/errdefs"
)

// Keys whose values are maps with keys of their own choosing, in which "a" and "A" are two keys to everybody.
var (
	mapsOfManifests = []string{"annotations"}
	mapsOfConfigs   = []string{"Labels", "ExposedPorts", "Volumes", "annotations"}
)

// level is an object or an array that is being read.
type level struct {
	keys map[string]bool // folded unless free; nil in an array
	free bool            // a map: only equal keys clash
	key  string          // the key whose value comes next, when hasKey
	has  bool
	n    int // values of an array
}

// maxElements bounds an array: what is decoded takes fifty times the bytes of "{},".
const maxElements = 20_000

// checkJSON says why two parsers could read raw differently: not one object in valid UTF-8 and nothing else, deeper than
// MaxDepth, a key twice in one object, two keys that differ only in case, or a key that is one of fields but for case.
func checkJSON(raw []byte, fields, maps []string) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var stack []level
	for first := true; first || len(stack) > 0; first = false {
		tok, err := dec.Token()
		if err != nil {
			return plainJSON(err)
		}
		if first && tok != json.Delim('{') {
			return errors.New("it is not a JSON object")
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				stack[len(stack)-1].has = false
			}
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].keys != nil && !stack[n-1].has {
			if err := stack[n-1].add(tok.(string), fields); err != nil {
				return err
			}
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].keys == nil {
			if stack[n-1].n++; stack[n-1].n > maxElements {
				return fmt.Errorf("it has a list of more than %d elements", maxElements)
			}
		}
		if d, ok := tok.(json.Delim); ok {
			if len(stack) == MaxDepth {
				return fmt.Errorf("it is nested deeper than %d levels", MaxDepth)
			}
			var l level
			if d == '{' {
				l.keys = make(map[string]bool)
				l.free = len(stack) > 0 && stack[len(stack)-1].has && slices.Contains(maps, stack[len(stack)-1].key)
			}
			stack = append(stack, l)
			continue
		}
		stack[len(stack)-1].has = false
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the document")
	}
	return nil
}

// UnmarshalArray decodes a JSON array of objects that come from outside and are no document of an image, as manifest.json
// of a `docker save` is: at most MaxSize bytes, and unambiguous as documents are.
func UnmarshalArray(raw []byte, into any) error {
	if len(raw) > MaxSize {
		return invalid("it has %d bytes, the limit is %d", len(raw), MaxSize)
	}
	if b := bytes.TrimLeft(raw, " \t\r\n"); len(b) == 0 || b[0] != '[' {
		return invalid("it is not a JSON array")
	}
	object := slices.Concat([]byte(`{"":`), raw, []byte("}"))
	if err := checkJSON(object, nil, nil); err != nil {
		return invalid("%v", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("%v", plainJSON(err))
	}
	return nil
}

// add records a key of an object.
func (l *level) add(key string, fields []string) error {
	l.key, l.has = key, true
	name := key
	if !l.free {
		name = fold(key)
		for _, f := range fields {
			if f != key && fold(f) == name {
				return fmt.Errorf("it has the key %.80q, which is %q but for case", key, f)
			}
		}
	}
	if l.keys[name] {
		return fmt.Errorf("it has the key %.80q twice in one object", key)
	}
	l.keys[name] = true
	return nil
}

// fold maps all spellings that encoding/json takes for the same field to one: for each rune the smallest of those that
// Unicode's simple folding calls equal (the Kelvin sign is k).
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, s)
}

// plainJSON takes Go's type names out of an error of encoding/json, and quotes of the input, which may be long.
func plainJSON(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		return fmt.Errorf("field %.80q has a JSON %.20s where it should not", kind.Field, kind.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends in the middle")
	}
	return fmt.Errorf("%.200v", err)
}

// documentError is of the class errdefs.ErrInvalidArgument without repeating its words.
type documentError string

func (e documentError) Error() string { return string(e) }
func (e documentError) Unwrap() error { return errdefs.ErrInvalidArgument }

func invalid(format string, args ...any) error { return documentError(fmt.Sprintf(format, args...)) }
