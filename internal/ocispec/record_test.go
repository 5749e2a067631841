package ocispec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func exampleRecord() *Record {
	return &Record{OCIVersion: "1.3.0", ID: "c", Bundle: "/b <&>", Rootfs: "/b/rootfs", Annotations: map[string]string{"k": "v\"\n\xff"},
		Created: time.Unix(1, 5).UTC(), Owner: "root", InitPid: 7, InitStart: 1 << 62, Cgroups: map[string]string{"": "/c", "memory": "/m"},
		SystemdUnit: "x.scope", Namespaces: 1 << 40, Rootless: true, Descriptors: []string{"pipe:[7]", "/dev/null", ""}, NoNewKeyring: true}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range []*Record{exampleRecord(), {Created: time.Unix(0, 0).UTC(), Cgroups: map[string]string{}}} {
		b := AppendRecord(nil, want)
		if !json.Valid(b) {
			t.Fatalf("%s is not JSON", b)
		}
		got, err := DecodeRecord(b)
		for k, v := range want.Annotations {
			want.Annotations[k] = strings.ToValidUTF8(v, "\ufffd")
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("DecodeRecord(%s)\n = %+v, %v\nwant %+v", b, got, err, want)
		}
	}
	// Every field is in there: a field that is forgotten comes back empty.
	v := reflect.ValueOf(*exampleRecord())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the example leaves out %s", v.Type().Field(i).Name)
		}
	}
}

func TestRecordRefuses(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{`{"id":1}`, "id: want"},
		{`{"id":"a","id":"b"}`, "id: this member is there twice"},
		{`{"created":"yesterday"}`, "created: want a time"},
		{`{"init_process_start":-1}`, "init_process_start: want"},
		{`{`, "line 1"},
		{`{} x`, "line 1"},
	} {
		if _, err := DecodeRecord([]byte(c.doc)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("DecodeRecord(%s): %v, want %s…", c.doc, err, c.want)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(AppendRecord(nil, exampleRecord()))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := DecodeRecord(doc)
		if err != nil || s.InitStart > 1<<62 || s.Namespaces > 1<<62 || s.Created.Year() > 9999 || s.Created.Year() < 0 {
			return
		}
		again, err := DecodeRecord(AppendRecord(nil, s))
		if err != nil || again.ID != s.ID || !again.Created.Equal(s.Created) || again.InitPid != s.InitPid || len(again.Cgroups) != len(s.Cgroups) {
			t.Fatalf("%q: %+v, again %+v, %v", doc, s, again, err)
		}
	})
}
