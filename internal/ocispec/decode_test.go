package ocispec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole is a configuration with the decoded seccomp profile put back.
func whole(b []byte) (*specs.Spec, error) {
	c, err := Decode(b)
	if err != nil {
		return nil, err
	}
	if c.SeccompRaw != nil {
		if c.Linux.Seccomp, err = DecodeSeccomp(c.SeccompRaw); err != nil {
			return nil, err
		}
	}
	return &c.Spec, nil
}

func TestDecodeGivesWhatEncodingJSONGives(t *testing.T) {
	for _, name := range []string{"docker.json", "runc-1.3.3-spec.json", "runc-1.3.3-rootless2.json"} {
		b := fixture(t, name)
		var want specs.Spec
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		got, err := whole(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%s: got\n%#v\nwant\n%#v", name, got, &want)
		}
	}
}

// TestDecodeKnowsEveryMember: a document with a value of its own in every member of specs.Spec, so that a decoder that
// lacks one, or puts it elsewhere, is seen.
func TestDecodeKnowsEveryMember(t *testing.T) {
	var want specs.Spec
	n := 0
	fill(reflect.ValueOf(&want).Elem(), &n)
	want.Solaris, want.Windows, want.VM, want.ZOS, want.FreeBSD = nil, nil, nil, nil, nil
	doc, err := json.Marshal(&want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := whole(doc)
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if !reflect.DeepEqual(got, &want) {
		again, _ := json.Marshal(got)
		t.Errorf("got\n%s\nwant\n%s", again, doc)
	}
	if n < 300 {
		t.Errorf("only %d members filled", n)
	}
	var state specs.State
	fill(reflect.ValueOf(&state).Elem(), &n)
	doc, _ = json.Marshal(&state)
	if got, err := DecodeState(doc); err != nil || !reflect.DeepEqual(got, &state) {
		t.Errorf("state: %v %+v, want %+v", err, got, state)
	}
}

// fill gives every member a value, each a different one.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(e, n)
			v.SetMapIndex(key, e)
		}
	case reflect.String:
		v.SetString("text-" + strconv.Itoa(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth) + "{}" + strings.Repeat("}", maxDepth)
	for _, c := range []struct{ doc, want string }{
		// Types: the field, what is wanted, what is there.
		{`{"process":{"user":{"uid":"x"}}}`, `process.user.uid: want an unsigned 32-bit integer, found string "x"`},
		{`{"process":{"user":{"uid":4294967296}}}`, `process.user.uid: want an unsigned 32-bit integer, found number 4294967296`},
		{`{"process":{"user":{"uid":-1}}}`, `process.user.uid: want an unsigned 32-bit integer, found number -1`},
		{`{"process":{"user":{"uid":-0}}}`, `process.user.uid: want an unsigned 32-bit integer, found number -0`},
		{`{"process":{"user":{"uid":1.0}}}`, `process.user.uid: want an unsigned 32-bit integer, found number 1.0`},
		{`{"process":{"user":{"uid":1e3}}}`, `process.user.uid: want an unsigned 32-bit integer, found number 1e3`},
		{`{"process":{"user":{"uid":99999999999999999999}}}`, `process.user.uid: want an unsigned 32-bit integer, found number 99999999999999999999`},
		{`{"process":{"user":{"additionalGids":[1,true]}}}`, `process.user.additionalGids[1]: want an unsigned 32-bit integer, found true`},
		{`{"process":{"scheduler":{"nice":2147483648}}}`, `process.scheduler.nice: want a 32-bit integer, found number 2147483648`},
		{`{"process":{"scheduler":{"nice":-2147483649}}}`, `process.scheduler.nice: want a 32-bit integer, found number -2147483649`},
		{`{"process":{"scheduler":{"runtime":18446744073709551616}}}`, `process.scheduler.runtime: want an unsigned 64-bit integer, found number 18446744073709551616`},
		{`{"process":{"scheduler":{"runtime":18446744073709551620}}}`, `process.scheduler.runtime: want an unsigned 64-bit integer, found number 18446744073709551620`},
		{`{"linux":{"resources":{"memory":{"limit":9223372036854775808}}}}`, `linux.resources.memory.limit: want a 64-bit integer, found number 9223372036854775808`},
		{`{"linux":{"resources":{"memory":{"limit":-9223372036854775809}}}}`, `linux.resources.memory.limit: want a 64-bit integer, found number -9223372036854775809`},
		{`{"linux":{"resources":{"blockIO":{"weight":65536}}}}`, `linux.resources.blockIO.weight: want an unsigned 16-bit integer, found number 65536`},
		{`{"process":{"terminal":"true"}}`, `process.terminal: want true or false, found string "true"`},
		{`{"process":{"args":"sh"}}`, `process.args: want an array of strings, found string "sh"`},
		{`{"process":{"args":["sh",["-c"]]}}`, `process.args[1]: want a string, found an array`},
		{`{"process":[]}`, `process: want an object, found an array`},
		{`{"hostname":{}}`, `hostname: want a string, found an object`},
		{`{"mounts":{}}`, `mounts: want an array of objects, found an object`},
		{`{"mounts":[{},{"destination":1}]}`, `mounts[1].destination: want a string, found number 1`},
		{`{"annotations":{"a.b/c":1}}`, `annotations["a.b/c"]: want a string, found number 1`},
		{`{"linux":{"devices":[{"fileMode":"0666"}]}}`, `linux.devices[0].fileMode: want an unsigned 32-bit integer, found string "0666"`},
		{`{"linux":{"seccomp":[]}}`, `linux.seccomp: want an object, found an array`},
		{`{"linux":{"seccomp":{"listenerPath":1}}}`, `linux.seccomp.listenerPath: want a string, found number 1`},
		{`{"hostname":"` + strings.Repeat("é", 40) + `","root":"` + strings.Repeat("é", 40) + `"}`, `root: want an object, found string "` + strings.Repeat("é", 24) + `..."`},
		{`null`, `the document: want an object, found null`},
		{`[]`, `the document: want an object, found an array`},
		{`"x"`, `the document: want an object, found string "x"`},

		// Members twice: known, unknown, in maps, written with an escape, below unknown ones.
		{`{"root":{"path":"a","path":"b"}}`, `root.path: this member is there twice`},
		{`{"root":{"path":"a","p\u0061th":"b"}}`, `root.path: this member is there twice`},
		{`{"x":1,"y":2,"x":3}`, `x: this member is there twice`},
		{`{"annotations":{"a":"1","a":"2"}}`, `annotations.a: this member is there twice`},
		{`{"x":{"y":1,"y":1}}`, `x.y: this member is there twice`},
		{`{"x":[{},{"y":1,"y":1}]}`, `x[1].y: this member is there twice`},
		{`{"windows":{"y":1,"y":1}}`, `windows.y: this member is there twice`},
		{`{"linux":{"seccomp":null,"seccomp":{}}}`, `linux.seccomp: this member is there twice`},
		{`{"linux":{"seccomp":{"defaultAction":"a","defaultAction":"b"}}}`, `linux.seccomp.defaultAction: this member is there twice`},
		{`{"linux":{"seccomp":{"syscalls":[],"syscalls":[]}}}`, `linux.seccomp.syscalls: this member is there twice`},
		{`{"linux":{"seccomp":{"listenerPath":"/a","listenerPath":"/b"}}}`, `linux.seccomp.listenerPath: this member is there twice`},
		{`{"linux":{"seccomp":{"listenerMetadata":"a","listenerMetadata":"b"}}}`, `linux.seccomp.listenerMetadata: this member is there twice`},
		{`{` + strings.Join(manyNames(40), ",") + `,"u39":0}`, `u39: this member is there twice`},

		// Names that encoding/json would take for known ones.
		{`{"Process":{}}`, `Process: the name must be written process`},
		{`{"linux":{"MASKEDPATHS":[]}}`, `linux.MASKEDPATHS: the name must be written maskedPaths`},
		{`{"linux":{"maſkedPaths":[]}}`, `linux["maſkedPaths"]: the name must be written maskedPaths`},
		{`{"linux":{"resources":{"blockIO":{"weightDevice":[{"Major":1}]}}}}`, `linux.resources.blockIO.weightDevice[0].Major: the name must be written major`},

		// Syntax.
		{``, `line 1, column 1: the document ends where a value should be`},
		{"{\n  \"root\": {\n    \"path\": \"x\"\n    \"readonly\": true\n", `line 4, column 5: want a comma or } after a member`},
		{`{"root":{}} x`, `line 1, column 13: text after the end of the document`},
		{"{}\x00", `line 1, column 3: text after the end of the document`},
		{"\xef\xbb\xbf{}", `line 1, column 1: want a value`},
		{`{"a":1,}`, `line 1, column 8: want the name of a member in double quotes`},
		{`{,}`, `line 1, column 2: want the name of a member in double quotes`},
		{`{"a"}`, `line 1, column 5: want a colon after the name of a member`},
		{`{"mounts":[{},]}`, `line 1, column 15: want an element after the comma`},
		{`{"mounts":[{} {}]}`, `line 1, column 15: want a comma or ] after an element`},
		{`{"mounts":[`, `line 1, column 12: want an element or ]`},
		{`{"x":[1,`, `line 1, column 9: the document ends where a value should be`},
		{`{"x":[,1]}`, `line 1, column 7: want a value`},
		{`{"x":01}`, `line 1, column 7: want a comma or } after a member`},
		{`{"x":-}`, `line 1, column 7: want a digit`},
		{`{"x":1.}`, `line 1, column 8: want a digit`},
		{`{"x":1e}`, `line 1, column 8: want a digit`},
		{`{"x":+1}`, `line 1, column 6: want a value`},
		{`{"process":{"user":{"uid":-}}}`, `line 1, column 28: want a digit`},
		{`{"process":{"user":{"uid":1.}}}`, `line 1, column 29: want a digit`},
		{`{"x":tru}`, `line 1, column 6: want a value`},
		{`{"process":{"terminal":fals}}`, `line 1, column 24: want a value`},
		{`{"process":nul}`, `line 1, column 12: want a value`},
		{`{"hostname":"a`, `line 1, column 15: the document ends within a string`},
		{`{"x":"a`, `line 1, column 8: the document ends within a string`},
		{"{\"hostname\":\"a\tb\"}", `line 1, column 15: control character in a string`},
		{"{\"x\":\"a\tb\"}", `line 1, column 8: control character in a string`},
		{`{"hostname":"\u00e9` + "\n" + `"}`, `line 1, column 20: control character in a string`},
		{`{"hostname":"\x"}`, `line 1, column 14: unknown escape in a string`},
		{`{"hostname":"\u12g4"}`, `line 1, column 14: want four hexadecimal digits after \u`},
		{`{"x":"\u12"}`, `line 1, column 7: want four hexadecimal digits after \u`},
		{`{"hostname":"\`, `line 1, column 14: unknown escape in a string`},

		// Limits.
		{deep, strings.TrimSuffix(strings.Repeat("a.", maxDepth), ".") + `: nested more than 64 levels deep`},
		{strings.Repeat(`[`, 100000), `the document: want an object, found an array`},
		{`{"x":` + strings.Repeat(`[`, 100000), `x` + strings.Repeat("[0]", maxDepth-1) + `: nested more than 64 levels deep`},
	} {
		_, err := Decode([]byte(c.doc))
		if err == nil || err.Error() != c.want {
			t.Errorf("%.200s:\n got %v\nwant %s", c.doc, err, c.want)
		}
	}
}

func manyNames(n int) (list []string) {
	for i := range n {
		list = append(list, `"u`+string(rune('0'+i/10))+string(rune('0'+i%10))+`":0`)
	}
	return list
}

// TestDecodeIntegers: the ends of each range are in it.
func TestDecodeIntegers(t *testing.T) {
	for _, doc := range []string{
		`{"linux":{"resources":{"memory":{"limit":-9223372036854775808,"swap":9223372036854775807,"kernel":-0,"reservation":0}}}}`,
		`{"process":{"scheduler":{"nice":-2147483648,"priority":2147483647,"runtime":18446744073709551615}}}`,
		`{"process":{"user":{"uid":4294967295,"gid":0},"oomScoreAdj":-9223372036854775808,"consoleSize":{"height":18446744073709551615}}}`,
		`{"linux":{"resources":{"blockIO":{"weight":65535,"leafWeight":0}}}}`,
	} {
		var want specs.Spec
		if err := json.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		if got, err := Decode([]byte(doc)); err != nil || !reflect.DeepEqual(&got.Spec, &want) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestDecodeStrings(t *testing.T) {
	for _, c := range []string{
		`""`, `"a b/c"`, `"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9\u20ac"`, `"\ud83d\ude00"`, `"é€😀"`,
		`"\ud83d"`, `"\ude00"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ud83d\ud83d\ude00"`, `"\uD83D\uDE00"`,
		"\"a\xffb\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf0\x9f\x98\"", "\"a\\n\xff\"", `"\u0000"`, `null`, "\"\x7f\"",
	} {
		var want specs.Spec
		doc := []byte(`{"hostname":` + c + `,"` + strings.Trim(c, `"`) + `":1}`)
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatal(err)
		}
		got, err := Decode(doc)
		if err != nil || got.Hostname != want.Hostname {
			t.Errorf("%s: got %v %+q, want %+q", c, err, got.Hostname, want.Hostname)
		}
	}
}

// TestDecodeNull: null is the zero value, everywhere but as the document.
func TestDecodeNull(t *testing.T) {
	for _, doc := range []string{
		`{"process":null,"mounts":null,"annotations":null,"hostname":null,"linux":null,"hooks":null}`,
		`{"process":{"terminal":null,"user":null,"args":[null],"oomScoreAdj":null,"rlimits":[null,{"soft":null}]}}`,
		`{"annotations":{"a":null},"linux":{"seccomp":null,"timeOffsets":{"x":null},"resources":{"rdma":{"a":null}}}}`,
		`{"mounts":[],"annotations":{},"linux":{"sysctl":{},"devices":[],"maskedPaths":[]},"windows":null}`,
	} {
		var want specs.Spec
		if err := json.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		got, err := Decode([]byte(doc))
		if err != nil || !reflect.DeepEqual(&got.Spec, &want) || got.SeccompRaw != nil || len(got.OtherPlatforms) > 0 {
			t.Errorf("%s: got %v %#v, want %#v", doc, err, got, &want)
		}
	}
}

func TestDecodeLeavesOtherPlatforms(t *testing.T) {
	c, err := Decode([]byte(`{"ociVersion":"1.0.0","windows":{"layerFolders":7},"vm":{},"x":{"y":[1,{"z":null}]}}`))
	if err != nil || c.Windows != nil || c.VM != nil || !reflect.DeepEqual(c.OtherPlatforms, []string{"windows", "vm"}) {
		t.Errorf("got %v %+v", err, c)
	}
}

func TestDecodeKeepsSeccompBytes(t *testing.T) {
	raw := `{ "defaultAction":"SCMP_ACT_ERRNO", "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}] }`
	b := []byte(`{"linux":{"seccomp":  ` + raw + ` ,"cgroupsPath":"/x"}}`)
	c, err := Decode(b)
	if err != nil || string(c.SeccompRaw) != raw || c.Linux.Seccomp != nil || c.Linux.CgroupsPath != "/x" {
		t.Fatalf("got %v %+v", err, c)
	}
	if cap(c.SeccompRaw) != len(raw) {
		t.Error("appending to SeccompRaw would write into the caller's bytes")
	}
	s, err := DecodeSeccomp(c.SeccompRaw)
	if err != nil || s.Syscalls[0].Names[0] != "read" {
		t.Errorf("got %v %+v", err, s)
	}
	if _, err := DecodeSeccomp([]byte(`{"syscalls":[{"names":1}]}`)); err == nil || err.Error() != "linux.seccomp.syscalls[0].names: want an array of strings, found number 1" {
		t.Error(err)
	}
	// Wrong types within it are for DecodeSeccomp to find, as they are in the part that is kept as it is.
	if _, err := Decode([]byte(`{"linux":{"seccomp":{"architectures":1}}}`)); err != nil {
		t.Error(err)
	}
}

func TestSeccompHead(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want SeccompHead
	}{
		{`{}`, SeccompHead{}},
		{`{"defaultAction":"SCMP_ACT_NOTIFY"}`, SeccompHead{Notify: true}},
		{`{"syscalls":[{"names":["SCMP_ACT_NOTIFY"],"action":"SCMP_ACT_LOG"}]}`, SeccompHead{}},
		{`{"listenerMetadata":"m","syscalls":[null,{"action":"SCMP_ACT_ALLOW","args":[{"index":1}]},{"names":[],"action":"SCMP_ACT_NOTIFY"},{}],"listenerPath":"/run/\u0061"}`,
			SeccompHead{"/run/a", "m", true}},
	} {
		got, err := ScanSeccomp([]byte(c.raw))
		if err != nil || got != c.want {
			t.Errorf("%s: got %v %+v, want %+v", c.raw, err, got, c.want)
		}
		d, err := Decode([]byte(`{"linux":{"seccomp":` + c.raw + `}}`))
		if err != nil || d.Seccomp != c.want {
			t.Errorf("%s: Decode gives %v %+v, want %+v", c.raw, err, d, c.want)
		}
	}
	if _, err := ScanSeccomp([]byte(`{"syscalls":{}}`)); err == nil || err.Error() != "linux.seccomp.syscalls: want an array of objects, found an object" {
		t.Error(err)
	}
}

func TestDecodeOthers(t *testing.T) {
	p, err := DecodeProcess([]byte(`{"args":["sh"],"cwd":"/","user":{"uid":7,"umask":18}}`))
	if err != nil || p.Args[0] != "sh" || p.User.UID != 7 || *p.User.Umask != 18 {
		t.Errorf("process: %v %+v", err, p)
	}
	r, err := DecodeResources([]byte(`{"memory":{"limit":-1},"unified":{"memory.high":"1"},"pids":{"limit":5}}`))
	if err != nil || *r.Memory.Limit != -1 || r.Unified["memory.high"] != "1" || *r.Pids.Limit != 5 {
		t.Errorf("resources: %v %+v", err, r)
	}
	s, err := DecodeState([]byte(`{"ociVersion":"1.0.2","id":"x","status":"running","pid":5,"bundle":"/b","annotations":{"a":"b"}}`))
	if err != nil || s.ID != "x" || s.Pid != 5 || s.Status != specs.StateRunning || s.Annotations["a"] != "b" {
		t.Errorf("state: %v %+v", err, s)
	}
	for name, f := range map[string]func([]byte) error{
		"process":   func(b []byte) error { _, err := DecodeProcess(b); return err },
		"resources": func(b []byte) error { _, err := DecodeResources(b); return err },
		"state":     func(b []byte) error { _, err := DecodeState(b); return err },
		"seccomp":   func(b []byte) error { _, err := DecodeSeccomp(b); return err },
	} {
		for _, doc := range []string{``, `null`, `{} {}`, `{"x":1,"x":1}`} {
			if f([]byte(doc)) == nil {
				t.Errorf("%s takes %q", name, doc)
			}
		}
		if err := f([]byte(`{}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeProcess([]byte(`{"args":["a\u0000b"]}`)); err == nil || err.Error() != "args[0]: contains a NUL byte" {
		t.Errorf("NUL: %v", err)
	}
}

// TestDecodeMemory: a hostile document of 3-byte elements that become structs of 120 bytes is refused before it takes
// much memory (R10).
func TestDecodeMemory(t *testing.T) {
	doc := []byte(`{"mounts":[` + strings.Repeat("{},", 5<<20) + `{}]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(doc)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.HasSuffix(err.Error(), ": the document holds too many elements") {
		t.Errorf("got %v", err)
	}
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 256 {
		t.Errorf("took %d MiB", mib)
	}
	// A million names that nobody knows: looked up, not compared with each other.
	var b strings.Builder
	b.WriteString(`{"a":0`)
	for i := range 1 << 20 {
		b.WriteString(`,"` + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + string(rune('a'+i/17576%26)) + string(rune('a'+i/456976)) + `":0`)
	}
	if _, err := Decode([]byte(b.String() + `}`)); err != nil {
		t.Error(err)
	}
}
