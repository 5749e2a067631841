package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/shim"
)

// TestReload: what a new engine finds of containers after the old one went, each in its own way.
func TestReload(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	e := h.open(root)
	rm := func(_ *container.Config, h *container.HostConfig) { h.AutoRemove = true }
	always := func(_ *container.Config, h *container.HostConfig) { h.RestartPolicy.Name = "always" }
	for name, change := range map[string]func(*container.Config, *container.HostConfig){
		"created": nil, "running": nil, "paused": nil, "ended": nil, "ended-rm": rm, "ended-always": always, "shim-killed": nil, "rebooted": nil, "rebooted-always": always,
	} {
		id := create(t, e, name, change)
		if name != "created" {
			mustStart(t, e, id)
		}
	}
	if err := e.Pause(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	torn := ID("f00d" + string(slices.Repeat([]byte("0"), 60)))
	if err := os.MkdirAll(filepath.Join(e.dir(torn), "upper"), 0o700); err != nil {
		t.Fatal(err)
	}
	id := func(name string) string {
		v, err := e.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(v.ID)
	}
	ids := make(map[string]string)
	for _, n := range []string{"ended", "ended-rm", "ended-always", "shim-killed", "rebooted", "rebooted-always"} {
		ids[n] = id(n)
	}
	e.Close()
	for _, n := range []string{"ended", "ended-rm", "ended-always"} {
		h.end(ids[n], 9)
	}
	h.mu.Lock()
	for _, n := range []string{"rebooted", "rebooted-always"} {
		delete(h.shims, ids[n])
	}
	killed := h.shims[ids["shim-killed"]]
	delete(h.shims, ids["shim-killed"])
	h.exits[string(torn)] = shim.Exit{}
	h.mu.Unlock()
	_ = killed

	e = h.open(root)
	defer e.Close()
	until(t, e, "created", "created", phase(Created))
	until(t, e, "running", "running", phase(Running))
	until(t, e, "paused", "paused", phase(Paused))
	until(t, e, "ended", "ended", func(v *View) bool { return v.State.Phase == Exited && v.State.ExitCode == 9 })
	until(t, e, "ended-always", "running again", phase(Running))
	until(t, e, "rebooted", "ended with the host", func(v *View) bool { return v.State.Phase == Exited && v.State.ExitCode == 255 })
	until(t, e, "rebooted-always", "running again", phase(Running))
	for range 1000 {
		if _, err := e.Find("ended-rm"); errdefs.IsNotFound(err) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := e.Find("ended-rm"); !errdefs.IsNotFound(err) {
		t.Errorf("a --rm container that ended while nobody looked is still there: %v", err)
	}
	if _, err := os.Stat(e.dir(torn)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory without a record is still there: %v", err)
	}
	// It is the same container, with the same shim.
	if err := e.Stop(t.Context(), "running", StopOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, e, "running", "stopped", func(v *View) bool { return v.State.Phase == Exited && v.State.ExitCode == 143 })
}

// TestStartCutOff: hulld was killed between a shim's start and the record of it.
func TestStartCutOff(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	e := h.open(root)
	ids := []string{create(t, e, "only-created", nil), create(t, e, "started", nil), create(t, e, "started-and-ended", nil)}
	e.Close()
	for _, id := range ids {
		f, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		s, err := h.Create(context.Background(), shim.Request{ID: id, Config: []byte("{}"), Root: f})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if id != ids[0] {
			if err := s.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.end(ids[2], 4)
	e = h.open(root)
	defer e.Close()
	until(t, e, "started", "running", phase(Running))
	until(t, e, "started-and-ended", "ended", func(v *View) bool { return v.State.Phase == Exited && v.State.ExitCode == 4 })
	mustStart(t, e, "only-created") // its shim was ended, so that another one can be made
}

// TestSilentShim: one that does not answer delays nobody else, and costs its own operations a clear error.
func TestSilentShim(t *testing.T) {
	h := newHost(t)
	root := t.TempDir()
	e := h.open(root)
	id := create(t, e, "one", nil)
	mustStart(t, e, id)
	e.Close()
	h.mu.Lock()
	h.silent = true
	h.mu.Unlock()
	e = h.open(root)
	defer e.Close()
	begin := time.Now()
	until(t, e, "one", "shown as running", phase(Running))
	other := create(t, e, "two", nil)
	if err := e.Remove(t.Context(), other, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("others wait %v", d)
	}
	err := e.Kill(t.Context(), "one", "USR1")
	contains(t, err, "has no supervisor")
	if !errdefs.IsUnavailable(err) {
		t.Errorf("%v", err)
	}
	// SIGKILL does not need the shim.
	if err := e.Kill(t.Context(), "one", ""); err != nil {
		t.Fatal(err)
	}
	until(t, e, "one", "killed", func(v *View) bool { return v.State.Phase == Exited && v.State.ExitCode == 137 })
}

// TestStartOrder: each after those it needs, whatever their age; a circle ends.
func TestStartOrder(t *testing.T) {
	_, e := newEngine(t)
	label := func(service, depends string) func(*container.Config, *container.HostConfig) {
		return func(c *container.Config, _ *container.HostConfig) {
			c.Labels = map[string]string{labelProject: "p", labelService: service, labelDepends: depends}
		}
	}
	create(t, e, "web", label("web", "db:service_started:false,cache:service_healthy:true"))
	create(t, e, "db", label("db", "cache:service_started:false"))
	create(t, e, "cache", label("cache", ""))
	create(t, e, "x1", label("x", "y:service_started:false"))
	create(t, e, "y1", label("y", "x:service_started:false"))
	views := make(map[ID]*View)
	for _, v := range e.Views() {
		views[v.ID] = v
	}
	var names []string
	for _, v := range e.startOrder(views) {
		names = append(names, v.Name)
	}
	if want := []string{"cache", "db", "web", "y1", "x1"}; !slices.Equal(names, want) {
		t.Errorf("the order is %v, want %v", names, want)
	}
}
