package cgroup

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestOOMV2 plays the kernel: it changes memory.events and cgroup.events in a directory that
// looks like a v2 group.
func TestOOMV2(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/memory.events", "oom 0\noom_kill 1\n")
	write(t, dir+"/cgroup.events", "populated 1\nfrozen 0\n")
	g := &Group{host: &Host{}, dirs: []groupDir{{v2: true, path: dir}}}
	events, err := g.OOM(nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(file, text string) {
		f, err := os.OpenFile(dir+"/"+file, os.O_WRONLY, 0) // no O_TRUNC: that would be a change too
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	change("memory.events", "oom 1\noom_kill 1\n") // out of memory, but nobody killed
	select {
	case <-events:
		t.Fatal("an event without a kill")
	case <-time.After(50 * time.Millisecond):
	}
	change("memory.events", "oom 1\noom_kill 2\n")
	select {
	case _, ok := <-events:
		if !ok {
			t.Fatal("closed")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("no event")
	}
	change("cgroup.events", "populated 0\nfrozen 0\n")
	select {
	case _, ok := <-events:
		if ok {
			t.Fatal("an event instead of the end")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not closed although the group is empty")
	}
}

func TestOOMStops(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/memory.events", "oom_kill 0\n")
	write(t, dir+"/cgroup.events", "populated 1\n")
	g := &Group{host: &Host{}, dirs: []groupDir{{v2: true, path: dir}}}
	done := make(chan struct{})
	events, err := g.OOM(done)
	if err != nil {
		t.Fatal(err)
	}
	close(done)
	select {
	case <-events:
	case <-time.After(5 * time.Second):
		t.Fatal("not closed after done")
	}
}

// TestFreezeTimeoutThaws: a group that does not come to rest is not left half frozen.
func TestFreezeTimeoutThaws(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/cgroup.freeze", "")
	write(t, dir+"/cgroup.events", "populated 1\nfrozen 0\n")
	g := &Group{host: &Host{}, dirs: []groupDir{{v2: true, path: dir}}}
	begin := time.Now()
	err := g.Freeze(30 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), dir) || time.Since(begin) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if got := content(t, dir+"/cgroup.freeze"); got != "0" {
		t.Errorf("cgroup.freeze has %q", got)
	}
}

func TestStateOf(t *testing.T) {
	dir := t.TempDir()
	one := &Group{host: &Host{}, dirs: []groupDir{{controllers: []string{"freezer"}, path: dir}}}
	two := &Group{host: &Host{}, dirs: []groupDir{{v2: true, path: dir}}}
	check := func(g *Group, want State) {
		t.Helper()
		if s, err := g.State(); s != want || err != nil {
			t.Errorf("%v, %v, want %v", s, err, want)
		}
	}
	check(one, Undefined)
	check(two, Undefined)
	for text, want := range map[string]State{"THAWED\n": Thawed, "FREEZING\n": Freezing, "FROZEN\n": Frozen} {
		write(t, dir+"/freezer.state", text)
		check(one, want)
	}
	write(t, dir+"/cgroup.events", "populated 1\n")
	check(two, Undefined) // Linux before 5.2
	write(t, dir+"/cgroup.events", "populated 1\nfrozen 0\n")
	write(t, dir+"/cgroup.freeze", "0\n")
	check(two, Thawed)
	write(t, dir+"/cgroup.freeze", "1\n")
	check(two, Freezing)
	write(t, dir+"/cgroup.events", "populated 1\nfrozen 1\n")
	check(two, Frozen)
	check(&Group{host: &Host{}}, Undefined)
	if err := (&Group{host: &Host{}}).Freeze(time.Second); err == nil {
		t.Error("froze nothing")
	}
}
