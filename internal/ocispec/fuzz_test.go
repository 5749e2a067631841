package ocispec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// otherPlatforms are members whose types Decode does not check.
var otherPlatforms = []string{"solaris", "windows", "vm", "zos", "freebsd"}

func seeds(f *testing.F) {
	for _, name := range []string{"docker.json", "runc-1.3.3-spec.json", "runc-1.3.3-rootless2.json"} {
		f.Add(fixture(f, name))
	}
	var s specs.Spec
	n := 0
	fill(reflect.ValueOf(&s).Elem(), &n)
	s.Solaris, s.Windows, s.VM, s.ZOS, s.FreeBSD = nil, nil, nil, nil, nil
	for _, v := range []any{&s, s.Process, s.Linux.Resources, s.Linux.Seccomp, s.Mounts, s.Hooks} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, doc := range []string{
		`{"hostname":"\ud83d\ude00\ud83d\u0000\"\\"}`, `{"a":[1.5e-3,{"b":null}],"Hostname":1}`, `{"mounts":[null,{},{"options":["ro",null]}]}`,
		`{"process":{"user":{"uid":4294967295,"additionalGids":[0]},"oomScoreAdj":-1000},"linux":{"seccomp":{"syscalls":[{"args":[{"value":18446744073709551615}]}]}}}`,
	} {
		f.Add([]byte(doc))
	}
}

// FuzzDecode holds Decode to encoding/json: what one takes the other takes, with the same result, but for what the
// package comment lists.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var want specs.Spec
		wantErr := json.Unmarshal(doc, &want)
		got, err := whole(doc)
		if c, decodeErr := Decode(doc); decodeErr == nil {
			Validate(c) // must not panic
		}
		compare(t, doc, got, &want, err, wantErr)
	})
}

func FuzzDecodeProcess(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var want specs.Process
		wantErr := json.Unmarshal(doc, &want)
		got, err := DecodeProcess(doc)
		if err == nil {
			ValidateProcess(got)
		} else if strings.HasSuffix(err.Error(), nulReason) {
			return
		}
		compare(t, doc, got, &want, err, wantErr)
	})
}

func compare[T any](t *testing.T, doc []byte, got, want *T, err, wantErr error) {
	t.Helper()
	switch {
	case err == nil && wantErr != nil:
		if !hasOtherPlatform(doc) {
			t.Fatalf("we take %q, encoding/json: %v", doc, wantErr)
		}
	case err != nil && wantErr == nil:
		if !stricter(doc) && !strings.HasSuffix(err.Error(), nulReason) {
			t.Fatalf("encoding/json takes %q, we: %v", doc, err)
		}
	case err == nil:
		if s, ok := any(want).(*specs.Spec); ok {
			s.Solaris, s.Windows, s.VM, s.ZOS, s.FreeBSD = nil, nil, nil, nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q:\n got %+v\nwant %+v", doc, got, want)
		}
	default:
		if e := err.Error(); e == "" || len(e) > 4096 || !utf8.ValidString(e) {
			t.Fatalf("%q: the error is %q", doc, e)
		}
	}
}

func hasOtherPlatform(doc []byte) bool {
	var top map[string]json.RawMessage
	if json.Unmarshal(doc, &top) != nil {
		return false
	}
	for _, p := range otherPlatforms {
		if top[p] != nil {
			return true
		}
	}
	return false
}

// stricter says whether a document has what we refuse and encoding/json takes: a member twice or in another case
// anywhere, too much nesting, or null as the whole. It is written over encoding/json's tokens, not our reader.
func stricter(doc []byte) bool {
	if bytes.Equal(bytes.TrimSpace(doc), []byte("null")) {
		return true
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	type frame struct {
		names []string
		key   bool // a name is next
		array bool
	}
	var open []frame
	for {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		if len(open) > 0 {
			top := &open[len(open)-1]
			if name, ok := tok.(string); ok && top.key {
				for _, n := range top.names {
					if n == name {
						return true
					}
				}
				top.names = append(top.names, name)
				if knownInAnotherCase(name) {
					return true
				}
				top.key = false
				continue
			}
			if d, ok := tok.(json.Delim); !ok || d == '{' || d == '[' {
				top.key = !top.array
			}
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, frame{key: true})
		case json.Delim('['):
			open = append(open, frame{array: true})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > maxDepth {
			return true
		}
	}
}

// knownNames are all members' names, of all types.
var knownNames = func() map[string]bool {
	names := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				names[name] = true
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[specs.Spec]())
	return names
}()

func knownInAnotherCase(name string) bool {
	for known := range knownNames {
		if known != name && strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

// FuzzMountOptions: every option ends somewhere, a flag is never both set and cleared, and the access time attributes
// are such that mount_setattr(2) takes them.
func FuzzMountOptions(f *testing.F) {
	f.Add(strings.Join(KnownMountOptions(), ","))
	f.Add("rbind,rprivate,ro,rnoatime,rstrictatime,ratime,size=64k,mode=1777")
	f.Add("noatime,strictatime,atime,,defaults,idmap=uids=0-1-10")
	f.Fuzz(func(t *testing.T, list string) {
		options := strings.Split(list, ",")
		checkMountOptions(t, options, ParseMountOptions(options))
	})
}
