package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRootDetect(t *testing.T) {
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	// The quick way and the one through mountinfo must see the same.
	slow := &Host{procSelf: "/proc/self"}
	if err := slow.fromMountinfo("/proc/self/mountinfo"); err != nil {
		t.Fatal(err)
	}
	if names(h, "") != names(slow, "") || h.Mode() != slow.Mode() {
		t.Errorf("quick %v %s\nslow  %v %s", h.Mode(), names(h, ""), slow.Mode(), names(slow, ""))
	}
	for i := range h.Hierarchies {
		if _, err := h.Own(&h.Hierarchies[i]); err != nil {
			t.Error(err)
		}
	}
}

func TestRootJoinAndDelete(t *testing.T) {
	g := newGroup(t, nil)
	c := start(t, g, nil, "/bin/sleep", "60")
	base := filepath.Base(g.dirs[0].path)
	seen := parseProcCgroup(content(t, "/proc/"+strconv.Itoa(c.Process.Pid)+"/cgroup"))
	for controller, path := range seen {
		if g.Paths()[controller] != "" && path != "/"+base {
			t.Errorf("%q: the process is in %s", controller, path)
		}
	}
	pids, err := g.Pids()
	if err != nil || !slices.Equal(pids, []int{c.Process.Pid}) {
		t.Errorf("Pids %v, %v", pids, err)
	}
	begin := time.Now()
	if err := g.Delete(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Delete with a live process: %v", err)
	}
	if d := time.Since(begin); d < deleteTimeout || d > deleteTimeout+2*time.Second {
		t.Errorf("Delete gave up after %v", d)
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := c.exit(t); code != -int(unix.SIGKILL) {
		t.Errorf("ended with %d", code)
	}
	if err := g.Delete(); err != nil {
		t.Fatal(err)
	}
	for _, path := range g.Paths() {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there", path)
		}
	}
	if err := g.Delete(); err != nil {
		t.Errorf("Delete again: %v", err)
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		t.Errorf("Kill of what is gone: %v", err)
	}
}

// TestRootDeleteSubgroups: groups that the container made, with a process that is just dying.
func TestRootDeleteSubgroups(t *testing.T) {
	g := newGroup(t, nil)
	for _, p := range g.Paths() {
		if err := os.MkdirAll(p+"/a/b", 0o755); err != nil {
			t.Fatal(err)
		}
		os.Mkdir(p+"/c", 0o755)
	}
	var files []string
	for i := range g.dirs {
		if !slices.Contains(g.dirs[i].controllers, "cpuset") {
			files = append(files, g.dirs[i].path+"/a/b/"+g.dirs[i].joinFile())
		}
	}
	c := startIn(t, files, nil, "/bin/sleep", "60")
	if pids, err := g.Pids(); err != nil || !slices.Contains(pids, c.Process.Pid) {
		t.Errorf("Pids %v, %v", pids, err)
	}
	go func() {
		time.Sleep(200 * time.Millisecond)
		c.Process.Kill()
	}()
	if err := g.Delete(); err != nil {
		t.Error(err)
	}
}

func TestRootCreateFailureLeavesNothing(t *testing.T) {
	g := newGroup(t, nil)
	if g.two() == nil || len(g.dirs) < 2 {
		t.Skip("needs a hybrid host")
	}
	start(t, g, nil, "/bin/sleep", "60")
	// The v2 directory, the last, is in use; the v1 ones are free.
	base := filepath.Base(g.dirs[0].path)
	deep := "/" + base + "-x/y/z"
	two := g.host.v2().Mount + deep
	if err := os.MkdirAll(two, 0o755); err != nil {
		t.Fatal(err)
	}
	c := startIn(t, []string{two + "/cgroup.procs"}, nil, "/bin/sleep", "60")
	defer func() {
		c.Process.Kill()
		c.Wait()
		removeTree(g.host.v2().Mount+"/"+base+"-x", time.Now().Add(time.Second))
	}()
	n, err := New(g.host, Config{Path: deep})
	if err != nil {
		t.Fatal(err)
	}
	var used *UseError
	if err := n.Create(); !errors.As(err, &used) {
		t.Errorf("Create in a used group: %v", err)
	}
	for i := range g.host.Hierarchies {
		if m := g.host.Hierarchies[i].Mount; !g.host.Hierarchies[i].V2 {
			if _, err := os.Stat(m + "/" + base + "-x"); !os.IsNotExist(err) {
				t.Errorf("%s/%s-x is left behind", m, base)
			}
		}
	}
}

// TestRootCreateTogether makes containers below one new parent at the same time: none may find
// the parent's cpuset still empty.
func TestRootCreateTogether(t *testing.T) {
	top := newGroup(t, nil)
	base := "/" + filepath.Base(top.dirs[0].path)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			g, err := New(top.host, Config{Path: fmt.Sprintf("%s/parent/deep/c%d", base, i)})
			if err != nil {
				t.Error(err)
				return
			}
			if err := g.Create(); err != nil {
				t.Error(err)
				return
			}
			if d := g.one("cpuset"); d != nil {
				for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
					if v, err := readFile(d.path, f); err != nil || strings.TrimSpace(v) == "" {
						t.Errorf("%s/%s is %q, %v", d.path, f, v, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestRootCreateRefusesFrozenParent(t *testing.T) {
	g := newGroup(t, nil)
	if err := g.Freeze(time.Second); err != nil {
		t.Fatal(err)
	}
	defer g.Thaw()
	n, err := New(g.host, Config{Path: "/" + filepath.Base(g.dirs[0].path) + "/child"})
	if err != nil {
		t.Fatal(err)
	}
	var used *UseError
	if err := n.Create(); !errors.As(err, &used) || !strings.Contains(err.Error(), "frozen") {
		n.Undo()
		t.Errorf("got %v", err)
	}
}

// onV2 is the same group without its v1 parts: what a v2 host has of freezer and kill.
func onV2(t *testing.T, g *Group) *Group {
	t.Helper()
	two := g.two()
	if two == nil {
		t.Skip("this host has no cgroup v2 mount")
	}
	return &Group{host: &Host{Hierarchies: []Hierarchy{{V2: true, Mount: two.mount}}}, dirs: []groupDir{*two}}
}

func freezeGroups(t *testing.T) map[string]*Group {
	g := newGroup(t, nil)
	m := map[string]*Group{"v2": onV2(t, newGroup(t, nil))}
	if g.one("freezer") != nil {
		m["v1"] = g
	}
	return m
}

func TestRootFreeze(t *testing.T) {
	for name, g := range freezeGroups(t) {
		t.Run(name, func(t *testing.T) {
			if s, err := g.State(); s != Thawed || err != nil {
				t.Fatalf("state %v, %v", s, err)
			}
			c := start(t, g, nil, "/bin/sh", "-c", "while :; do echo tick; sleep 0.01; done")
			c.line(t)
			if err := g.Freeze(5 * time.Second); err != nil {
				t.Fatal(err)
			}
			if s, err := g.State(); s != Frozen || err != nil {
				t.Errorf("state %v, %v", s, err)
			}
			// Let what is in the pipe run out: then nothing may come.
			lines := make(chan string, 1000)
			go func() {
				for {
					s, err := c.out.ReadString('\n')
					if err != nil {
						close(lines)
						return
					}
					lines <- s
				}
			}()
			time.Sleep(50 * time.Millisecond)
			for len(lines) > 0 {
				<-lines
			}
			select {
			case <-lines:
				t.Error("a frozen process goes on")
			case <-time.After(150 * time.Millisecond):
			}
			if err := g.Thaw(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-lines:
			case <-time.After(5 * time.Second):
				t.Error("a thawed process does not go on")
			}
		})
	}
}

// TestRootKillFrozenAndForking kills a paused group of processes that fork all the time.
func TestRootKillFrozenAndForking(t *testing.T) {
	for name, g := range freezeGroups(t) {
		t.Run(name, func(t *testing.T) {
			c := start(t, g, nil, "/bin/sh", "-c", `n=0; while [ $n -lt 20 ]; do (while :; do sleep 0.01; done) & n=$((n+1)); done; echo up; wait`)
			if l := c.line(t); l != "up" {
				t.Fatal(l)
			}
			if pids, _ := g.Pids(); len(pids) < 20 {
				t.Errorf("%d processes", len(pids))
			}
			if err := g.Freeze(5 * time.Second); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := g.Kill(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if pids, err := g.Pids(); len(pids) != 0 || err != nil {
				t.Errorf("left: %v, %v", pids, err)
			}
			t.Logf("killed in %v", time.Since(begin))
			if code := c.exit(t); code != -int(unix.SIGKILL) {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

// TestRootKillWithoutCgroupKill takes the path of hosts without cgroup.kill.
func TestRootKillWithoutCgroupKill(t *testing.T) {
	g := newGroup(t, nil)
	needV1(t, g, "freezer")
	one := &Group{host: g.host}
	for _, d := range g.dirs {
		if !d.v2 {
			one.dirs = append(one.dirs, d)
		}
	}
	c := start(t, g, nil, "/bin/sh", "-c", `while :; do (sleep 0.2; sleep 60) & sleep 0.001; done`)
	time.Sleep(50 * time.Millisecond)
	if err := one.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pids, err := g.Pids(); len(pids) != 0 || err != nil {
		t.Errorf("left: %v, %v", pids, err)
	}
	c.exit(t)
	if s, err := g.State(); s != Thawed || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
}

func TestRootSignalAll(t *testing.T) {
	for name, g := range freezeGroups(t) {
		t.Run(name, func(t *testing.T) {
			// The inner shell says so when its own trap stands: a signal before that could get lost.
			c := start(t, g, nil, "/bin/sh", "-c", `trap 'exit 5' TERM; (trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done) & wait; wait`)
			c.line(t)
			if err := g.Kill(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := c.exit(t); code != 5 {
				t.Errorf("ended with %d", code)
			}
			eventually(t, "the end of the other process", func() bool { p, _ := g.Pids(); return len(p) == 0 })
		})
	}
}

func TestRootDelegate(t *testing.T) {
	g := newGroup(t, nil)
	v2 := onV2(t, g)
	v2.config.OwnUID = ptr(12345)
	if err := v2.delegate(&v2.dirs[0]); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[string]uint32{"": 12345, "/cgroup.procs": 12345, "/cgroup.threads": 12345, "/cgroup.subtree_control": 12345, "/cgroup.max.depth": 0} {
		var st unix.Stat_t
		if err := unix.Stat(v2.dirs[0].path+f, &st); err != nil || st.Uid != want || st.Gid != 0 {
			t.Errorf("%q belongs to %d:%d (%v)", f, st.Uid, st.Gid, err)
		}
	}
}
