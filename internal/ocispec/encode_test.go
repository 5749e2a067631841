package ocispec

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAppendString: every character, alone and within text, as encoding/json escapes it.
func TestAppendString(t *testing.T) {
	check := func(s string) {
		t.Helper()
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendString(nil, s); string(got) != string(want) {
			t.Fatalf("%+q: got %s, want %s", s, got, want)
		}
	}
	for c := rune(0); c <= utf8.MaxRune; c++ {
		if c > 0x3000 && c < 0xd000 {
			continue
		}
		check("a" + string(c) + "b")
	}
	for _, s := range []string{"", "\xff", "a\xffb", "\xe2\x80", "\xed\xa0\x80", "\u2028\u2029", "\xff\u2028<", "é\x00é"} {
		check(s)
	}
	if got := AppendString([]byte("x"), "y"); string(got) != `x"y"` {
		t.Errorf("got %s", got)
	}
}

func TestAppendState(t *testing.T) {
	for _, s := range []specs.State{
		{},
		{Version: "1.3.0", ID: "c1", Status: specs.StateCreated, Pid: 4711, Bundle: "/b<1>", Annotations: map[string]string{"b": "2", "a": "\"1\"", "c": ""}},
		{Annotations: map[string]string{}},
	} {
		want, _ := json.Marshal(s)
		if got := AppendState([]byte{}, &s); string(got) != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
		p := specs.ContainerProcessState{Version: "1.3.0", Pid: 12, State: s}
		for _, fds := range [][]string{nil, {}, {specs.SeccompFdName}, {"a", "b"}} {
			p.Fds, p.Metadata = fds, strings.Join(fds, "&")
			want, _ := json.Marshal(p)
			if got := AppendSeccompState(nil, &p); string(got) != string(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

// runcState is runc's containerState (its list.go).
type runcState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func TestStatus(t *testing.T) {
	created := time.Date(2026, 11, 24, 11, 28, 24, 183155876, time.UTC)
	for _, annotations := range []map[string]string{nil, {"b": "2", "a": "1"}} {
		s := Status{"1.0.2", "c1", 0, "stopped", "/b", "/b/rootfs", created.Format(time.RFC3339Nano), annotations, "root"}
		theirs := runcState{"1.0.2", "c1", 0, "stopped", "/b", "/b/rootfs", created, annotations, "root"}

		w := Writer{Indent: "  "}
		s.Write(&w)
		if want, _ := json.MarshalIndent(theirs, "", "  "); string(w.B) != string(want) {
			t.Errorf("state: got %s, want %s", w.B, want)
		}

		w = Writer{}
		w.Open('[')
		for range 2 {
			w.Element()
			s.Write(&w)
		}
		w.Close(']')
		if want, _ := json.Marshal([]runcState{theirs, theirs}); string(w.B) != string(want) {
			t.Errorf("list: got %s, want %s", w.B, want)
		}
	}
}

func TestWriterEmpty(t *testing.T) {
	w := Writer{Indent: "\t"}
	w.Open('{')
	w.Name("a")
	w.Open('[')
	w.Close(']')
	w.Name("b")
	w.StringMap(nil)
	w.Name("c")
	w.Strings([]string{"x"})
	w.Close('}')
	want, _ := json.MarshalIndent(struct {
		A []string          `json:"a"`
		B map[string]string `json:"b"`
		C []string          `json:"c"`
	}{[]string{}, map[string]string{}, []string{"x"}}, "", "\t")
	if string(w.B) != string(want) {
		t.Errorf("got %s, want %s", w.B, want)
	}
}
