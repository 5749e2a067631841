package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDockerDifferences compares, field by field, what Build makes with what dockerd 20.10 made of the same request.
// testdata/differences.txt has a line for each difference that is meant, with the reason:
//
//	CASE  FIELD  REASON
//
// CASE and FIELD may have "*" for anything. A difference without a line is an error, and a line
// without a difference.
func TestDockerDifferences(t *testing.T) {
	var f Facts
	readJSON(t, "testdata/docker/facts.json", &f)
	f.UserNS, f.Runtimes, f.DefaultRuntime = true, []string{"keel"}, "keel"
	rules := readDifferences(t)
	for _, c := range dockerCases() {
		var r recording
		readJSON(t, "testdata/docker/"+c.name+".json", &r)
		var doc specs.Spec
		if err := json.Unmarshal(r.Config, &doc); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		in := Input{ID: "ID", Config: &c.config, Host: &c.host, Facts: &f, Root: doc.Root.Path, Mounts: c.mounts, CgroupParent: "/docker", User: User{UID: doc.Process.User.UID, GID: doc.Process.User.GID}}
		for _, g := range c.host.GroupAdd {
			n, err := strconv.ParseUint(g, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			in.User.Groups = append(in.User.Groups, uint32(n))
		}
		for _, m := range doc.Mounts {
			for dest, to := range map[string]*string{"/etc/hosts": &in.Files.Hosts, "/etc/hostname": &in.Files.Hostname, "/etc/resolv.conf": &in.Files.ResolvConf, InitPath: &in.Init} {
				if m.Destination == dest {
					*to = m.Source
				}
			}
		}
		in.Devices.Nodes = doc.Linux.Devices
		if c.name == "device" {
			var err error
			if in.Devices, err = ResolveDevices(&c.host); err != nil {
				t.Fatal(err)
			}
		}
		in.Devices.Numbers = map[string]DeviceNumber{"/tmp/hull-spec-block": {7, 0}}
		own, _ := build(t, in)
		want, got := flatten(t, r.Config), flatten(t, own)
		for _, field := range slices.Sorted(maps.Keys(union(want, got))) {
			if want[field] == got[field] {
				continue
			}
			used := false
			for i := range rules {
				if rules[i].fits(c.name, field) {
					rules[i].used, used = true, true
					break
				}
			}
			if !used {
				t.Errorf("%s %s: dockerd has %q, Hull %q", c.name, field, want[field], got[field])
			}
		}
	}
	for _, r := range rules {
		if !r.used {
			t.Errorf("testdata/differences.txt: %s %s is no difference any more", r.name, r.field)
		}
	}
}

type difference struct {
	name, field string
	used        bool
}

func (d difference) fits(name, field string) bool {
	return glob(d.name, name) && glob(d.field, field)
}

// glob matches "*" with anything, and all else with itself.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok || len(parts) == 1 {
		return ok && s == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

func readDifferences(t *testing.T) (out []difference) {
	t.Helper()
	b, err := os.ReadFile("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(line, "#"):
		case len(f) < 5:
			t.Errorf("testdata/differences.txt:%d: want case, field, reason", i+1)
		default:
			out = append(out, difference{name: f[0], field: f[1]})
		}
	}
	return out
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func union(a, b map[string]string) map[string]bool {
	out := make(map[string]bool)
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// flatten makes "a.b.c" → value of a document. Elements of lists that have a name (a mount's destination) go by it, and
// lists of words are sets.
func flatten(t *testing.T, doc []byte) map[string]string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	flattenInto(out, "", v)
	return out
}

func flattenInto(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if at == "linux.seccomp" && k == "syscalls" {
				if calls, ok := x.([]any); !ok || len(calls) > 1 {
					continue // the profile has tests of its own
				}
			}
			flattenInto(out, strings.TrimPrefix(at+"."+strings.ReplaceAll(k, "/", "_"), "."), x)
		}
	case []any:
		words := at != "process.args" && at != "process.env" && len(v) > 0
		for _, x := range v {
			if _, ok := x.(string); !ok {
				words = false
			}
		}
		if words {
			for _, x := range v {
				out[at+"["+strings.ReplaceAll(x.(string), "/", "_")+"]"] = "yes"
			}
			return
		}
		for i, x := range v {
			flattenInto(out, at+"["+elementName(i, x)+"]", x)
		}
	default:
		out[at] = fmt.Sprint(v)
	}
}

func elementName(i int, x any) string {
	m, _ := x.(map[string]any)
	for _, key := range []string{"destination", "path"} {
		if s, ok := m[key].(string); ok {
			return strings.ReplaceAll(s, "/", "_")
		}
	}
	if s, ok := m["type"].(string); ok && len(s) > 1 {
		return s
	}
	return strconv.Itoa(i)
}

// TestDifferencesSorted keeps the list readable.
func TestDifferencesSorted(t *testing.T) {
	d := readDifferences(t)
	if !slices.IsSortedFunc(d, func(a, b difference) int { return cmp.Compare(a.field, b.field) }) {
		t.Error("testdata/differences.txt is not in the order of fields")
	}
}
