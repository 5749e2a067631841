package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// v2Host is a host that knows this machine's v2 mount alone.
func v2Host(t *testing.T) (*Host, string) {
	t.Helper()
	g := newGroup(t, nil) // for its unique name, and to restore what is enabled
	two := g.two()
	if two == nil {
		t.Skip("this host has no cgroup v2 mount")
	}
	restoreSubtree(t, g)
	return &Host{procSelf: "/proc/self", Hierarchies: []Hierarchy{{V2: true, Mount: two.mount}}}, "/" + filepath.Base(two.path)
}

func TestRootV2Life(t *testing.T) {
	h, base := v2Host(t)
	r := &specs.LinuxResources{}
	has, _ := h.V2Controllers()
	if slices.Contains(has, "hugetlb") {
		r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 2 << 20}}
	}
	g, err := New(h, Config{Path: base + "/a/b", Resources: r, OwnUID: ptr(4321), OwnGID: ptr(4322)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	dir, ok := g.Dir()
	if !ok {
		t.Fatal("no directory")
	}
	if err := g.Apply(r); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Uid != 4321 || st.Gid != 4322 {
		t.Errorf("owner %d:%d, %v", st.Uid, st.Gid, err)
	}
	if len(r.HugepageLimits) > 0 {
		if got := content(t, dir+"/hugetlb.2MB.max"); got != "2097152\n" {
			t.Errorf("hugetlb.2MB.max is %q", got)
		}
	}
	c := start(t, g, nil, "/bin/sh", "-c", "(: </dev/fuse) 2>/dev/null; echo $?; sleep 60; true")
	if l := c.line(t); l == "0" {
		t.Error("a device that no rule allows was opened")
	}
	eventually(t, "two processes", func() bool { p, _ := g.Pids(); return len(p) == 2 })
	// A second container cannot have the same group, and the first keeps it.
	again, _ := New(h, Config{Path: base + "/a/b"})
	var used *UseError
	if err := again.Create(); !errors.As(err, &used) {
		t.Errorf("a used group was taken: %v", err)
	}
	if err := g.Freeze(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := c.exit(t); code != -int(unix.SIGKILL) {
		t.Errorf("ended with %d", code)
	}
	// Empty, but still frozen.
	if err := again.Create(); !errors.As(err, &used) || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("a frozen group was taken: %v", err)
	}
	if s, err := g.Stats(); err != nil || s.CPU.PSI == nil && fileExists(dir+"/cpu.pressure") {
		t.Errorf("%+v, %v", s, err)
	}
	g.Undo()
	if fileExists(parentDir(dir)) {
		t.Error("a parent that Create made is left")
	}
}

func fileExists(p string) bool { _, err := os.Stat(p); return err == nil }

// TestRootV2Threaded: beside a threaded group only a threaded one can be made.
func TestRootV2Threaded(t *testing.T) {
	h, base := v2Host(t)
	top := h.Hierarchies[0].Mount + base
	if err := os.MkdirAll(top+"/t/threads", 0o755); err != nil {
		t.Fatal(err)
	}
	defer removeTree(top+"/t", time.Now().Add(time.Second))
	if err := writeFile(top+"/t/threads", "cgroup.type", "threaded"); err != nil {
		t.Fatal(err)
	}
	g, _ := New(h, Config{Path: base + "/t/c", Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 30))}}})
	var used *UseError
	if err := g.Create(); !errors.As(err, &used) || !strings.Contains(err.Error(), "domain invalid") {
		t.Errorf("with a memory limit: %v", err)
	}
	if fileExists(top + "/t/c") {
		t.Error("the directory is left behind")
	}
	g, _ = New(h, Config{Path: base + "/t/c"})
	if err := g.Create(); err != nil {
		t.Fatal(err)
	}
	if f := g.JoinFiles(); !slices.Equal(f, []string{top + "/t/c/cgroup.threads"}) {
		t.Errorf("JoinFiles %v", f)
	}
	// Its domain is t: a process that is there can move its threads into c.
	c := startIn(t, append([]string{top + "/t/cgroup.procs"}, g.JoinFiles()...), nil, "/bin/sleep", "60")
	if pids, err := g.Pids(); err != nil || !slices.Equal(pids, []int{c.Process.Pid}) {
		t.Errorf("Pids %v, %v (want %s)", pids, err, strconv.Itoa(c.Process.Pid))
	}
	c.Process.Kill()
	c.exit(t)
	if err := g.Delete(); err != nil {
		t.Error(err)
	}
}
