package cgroup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// fakeHost is a host in a temporary directory: v2 alone, or hybrid.
func fakeHost(t *testing.T, mode Mode) (*Host, string) {
	t.Helper()
	root := t.TempDir()
	h := &Host{procSelf: proc(t, map[string]string{"cgroup": "3:memory:/own\n2:devices:/own\n1:cpu,cpuacct:/own\n0::/own/leaf\n"})}
	if mode == V2 {
		h.Hierarchies = []Hierarchy{{V2: true, Mount: root}}
		mkdirs(t, root, "own/leaf")
		write(t, root+"/cgroup.controllers", "cpuset cpu io memory pids\n")
		return h, root
	}
	h.Hierarchies = []Hierarchy{
		{Controllers: []string{"cpu", "cpuacct"}, Mount: root + "/cpu"},
		{Controllers: []string{"memory"}, Mount: root + "/memory"},
		{Controllers: []string{"devices"}, Mount: root + "/devices"},
	}
	mkdirs(t, root, "cpu/own", "memory/own", "devices/own")
	if mode == Hybrid {
		h.Hierarchies = append(h.Hierarchies, Hierarchy{V2: true, Mount: root + "/unified"})
		mkdirs(t, root, "unified/own/leaf")
		write(t, root+"/unified/cgroup.controllers", "hugetlb\n")
	}
	return h, root
}

func mkdirs(t *testing.T, root string, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNewPaths(t *testing.T) {
	for _, c := range []struct {
		mode     Mode
		path     string
		cpu, two string // below the root of the fake host
	}{
		{Hybrid, "/a//b/./c/", "/cpu/a/b/c", "/unified/a/b/c"},
		{Hybrid, "a/b", "/cpu/own/a/b", "/unified/own/leaf/a/b"},
		{Hybrid, "", "/cpu/own/id", "/unified/own/leaf/id"},
		{V2, "/a/b", "", "/a/b"},
		{V2, "a/b", "", "/own/a/b"}, // beside our own group
		{V2, "", "", "/own/id"},
	} {
		h, root := fakeHost(t, c.mode)
		g, err := New(h, Config{Path: c.path, ID: "id"})
		if err != nil {
			t.Errorf("%v %q: %v", c.mode, c.path, err)
			continue
		}
		p := g.Paths()
		cpu := ""
		if c.cpu != "" {
			cpu = root + c.cpu
		}
		if p["cpu"] != cpu || p["cpuacct"] != cpu || p[""] != root+c.two {
			t.Errorf("%v %q: got %v", c.mode, c.path, p)
		}
		if d, ok := g.Dir(); !ok || d != root+c.two {
			t.Errorf("%v %q: Dir is %q", c.mode, c.path, d)
		}
		// The state file gives the same group back.
		l, err := Load(h, p)
		if err != nil || !maps.Equal(l.Paths(), p) {
			t.Errorf("%v %q: loaded %v, %v", c.mode, c.path, l.Paths(), err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	h, _ := fakeHost(t, Hybrid)
	for _, c := range []Config{
		{Path: "/a/../b"}, {Path: ".."}, {Path: "/"}, {Path: "."}, {Path: "//./"},
		{Path: "/a\x00b"}, {Path: "/a\nb"}, {Path: "/" + strings.Repeat("a", 256)},
		{Path: strings.Repeat("/aaaaaaaaaaaaaaa", 256)},
		{ID: ""}, {ID: ".."}, {ID: "a/b"},
	} {
		if g, err := New(h, c); err == nil {
			t.Errorf("%.40q %q: got %.200v", c.Path, c.ID, g.Paths())
		}
	}
}

func TestJoinFiles(t *testing.T) {
	h, root := fakeHost(t, Hybrid)
	g, err := New(h, Config{Path: "/c"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{root + "/cpu/c/tasks", root + "/memory/c/tasks", root + "/devices/c/tasks", root + "/unified/c/cgroup.procs"}
	if got := g.JoinFiles(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	g.two().threaded = true
	if got := g.JoinFiles()[3]; got != root+"/unified/c/cgroup.threads" {
		t.Errorf("threaded: %q", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	h, _ := fakeHost(t, V1)
	for _, p := range []string{"relative", "/a/../b", "/a/", "/"} {
		if _, err := Load(h, map[string]string{"cpu": p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}

// TestCreateUndo lets the last hierarchy fail (its mount is a file) and expects no trace.
func TestCreateUndo(t *testing.T) {
	h, root := fakeHost(t, V1)
	write(t, root+"/file", "")
	h.Hierarchies = append(h.Hierarchies, Hierarchy{Controllers: []string{"pids"}, Mount: root + "/file"})
	g, err := New(h, Config{Path: "/new/parent/c"})
	if err != nil {
		t.Fatal(err)
	}
	err = g.Create()
	if !errors.Is(err, unix.ENOTDIR) || !strings.Contains(err.Error(), root+"/file/new") {
		t.Errorf("error %v", err)
	}
	for _, c := range []string{"cpu", "memory", "devices"} {
		if _, err := os.Stat(root + "/" + c + "/new"); !os.IsNotExist(err) {
			t.Errorf("%s/new is left behind (%v)", c, err)
		}
	}
}

func TestCreateKeepsForeignParents(t *testing.T) {
	h, root := fakeHost(t, V1)
	mkdirs(t, root, "cpu/new")
	write(t, root+"/file", "")
	h.Hierarchies = append(h.Hierarchies, Hierarchy{Controllers: []string{"pids"}, Mount: root + "/file"})
	g, _ := New(h, Config{Path: "/new/c"})
	if err := g.Create(); err == nil {
		t.Fatal("created")
	}
	if _, err := os.Stat(root + "/cpu/new"); err != nil {
		t.Errorf("a parent that was there is gone: %v", err)
	}
}

func TestCreateNeedsDevices(t *testing.T) {
	h, root := fakeHost(t, V1)
	h.Hierarchies = h.Hierarchies[:2] // no devices controller: every device would be open
	g, _ := New(h, Config{Path: "/c"})
	if err := g.Create(); err == nil || !strings.Contains(err.Error(), "devices") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(root + "/cpu/c"); err == nil {
		t.Error("a directory was made")
	}
}

func TestCreateRefusesUsed(t *testing.T) {
	h, root := fakeHost(t, V1)
	mkdirs(t, root, "memory/c/sub")
	write(t, root+"/memory/c/cgroup.procs", "")
	write(t, root+"/memory/c/sub/cgroup.procs", "12\n")
	g, _ := New(h, Config{Path: "/c"})
	var used *UseError
	if err := g.Create(); !errors.As(err, &used) || !strings.Contains(err.Error(), "not empty: 1 process") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(root + "/cpu/c"); err == nil {
		t.Error("cpu/c is left behind")
	}
	if _, err := os.Stat(root + "/memory/c"); err != nil {
		t.Error("memory/c, which was there, is gone")
	}
}

// TestInitCpuset: new levels take the parent's value, also through levels that are still empty.
func TestInitCpuset(t *testing.T) {
	m := t.TempDir()
	mkdirs(t, m, "a/b")
	for dir, v := range map[string]string{"": "0-3\n", "/a": "", "/a/b": ""} {
		write(t, m+dir+"/cpuset.cpus", v)
		write(t, m+dir+"/cpuset.mems", "0\n")
	}
	if err := initCpuset(m, m+"/a/b", false, true, true); err != nil {
		t.Fatal(err)
	}
	if got := content(t, m+"/a/cpuset.cpus"); got != "0-3" {
		t.Errorf("parent has %q", got)
	}
	if got := content(t, m+"/a/b/cpuset.cpus"); got != "" {
		t.Errorf("the container's own value was filled with %q", got)
	}
	if err := initCpuset(m, m+"/a/b", true, true, true); err != nil {
		t.Fatal(err)
	}
	if got := content(t, m+"/a/b/cpuset.cpus"); got != "0-3" {
		t.Errorf("child has %q", got)
	}
}

// TestEnableDown: one write in each directory above, none in the group itself, none at all
// when the group has the controllers.
func TestEnableDown(t *testing.T) {
	m := t.TempDir()
	mkdirs(t, m, "a/b/c")
	for _, d := range []string{"", "/a", "/a/b", "/a/b/c"} {
		write(t, m+d+"/cgroup.subtree_control", "")
	}
	write(t, m+"/a/b/c/cgroup.controllers", "pids\n")
	if err := enableDown(m, m+"/a/b/c", []string{"cpu", "pids", "memory"}); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[string]string{"": "+cpu +memory", "/a": "+cpu +memory", "/a/b": "+cpu +memory", "/a/b/c": ""} {
		if got := content(t, m+d+"/cgroup.subtree_control"); got != want {
			t.Errorf("%q: %q, want %q", d, got, want)
		}
	}
	write(t, m+"/cgroup.subtree_control", "")
	write(t, m+"/a/b/c/cgroup.controllers", "cpu memory pids\n")
	if err := enableDown(m, m+"/a/b/c", []string{"cpu", "pids"}); err != nil || content(t, m+"/cgroup.subtree_control") != "" {
		t.Errorf("wrote again: %v", err)
	}
}

func TestExecDirs(t *testing.T) {
	h, root := fakeHost(t, Hybrid)
	g, _ := New(h, Config{Path: "/c"})
	for _, c := range []struct {
		sub  map[string]string
		want string // cpu, memory, v2
	}{
		{nil, "/cpu/c /memory/c /unified/c"},
		{map[string]string{"": "s"}, "/cpu/c/s /memory/c/s /unified/c/s"},
		{map[string]string{"": "/s/t"}, "/cpu/c/s/t /memory/c/s/t /unified/c/s/t"},
		{map[string]string{"cpu": "s"}, "/cpu/c/s /memory/c /unified/c"},
		{map[string]string{"cpu": "s", "memory": "t"}, "/cpu/c/s /memory/c/t /unified/c"},
		{map[string]string{"": "../x"}, ""},
		{map[string]string{"": "a/../../x"}, ""},
		{map[string]string{"nope": "s"}, ""},
		{map[string]string{"": "a", "cpu": "s"}, ""},
	} {
		dirs, err := g.execDirs(c.sub, 0)
		var got string
		if err == nil {
			got = strings.ReplaceAll(dirs[0].path+" "+dirs[1].path+" "+dirs[3].path, root, "")
		}
		if got != c.want {
			t.Errorf("%v: got %q, %v, want %q", c.sub, got, err, c.want)
		}
	}
	if _, _, err := g.ExecFiles(map[string]string{"": "absent"}, 0); !errors.Is(err, unix.ENOENT) {
		t.Errorf("absent sub-cgroup: %v", err)
	}
}

// TestUserLeavesOut makes one hierarchy refuse by being read-only.
func TestUserLeavesOut(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere; TestRootRootless does this as another user")
	}
	h, root := fakeHost(t, V1)
	os.Chmod(root+"/memory", 0o555)
	defer os.Chmod(root+"/memory", 0o755)
	g, _ := New(h, Config{ID: "c", Path: "", Rootless: true})
	var nr *NoRightsError
	if err := g.Create(); !errors.As(err, &nr) || !slices.Equal(nr.Hierarchies, []string{"memory"}) {
		t.Fatalf("got %v", err)
	}
	var le *LimitError
	err := g.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 30))}})
	if !errors.As(err, &le) || le.Field != "memory.limit" {
		t.Errorf("got %v", err)
	}
}
