package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/shim"
)

// TestLife is one container's whole life, with every operation that does not fit its phase.
func TestLife(t *testing.T) {
	h, e := newEngine(t)
	ctx := t.Context()
	_, past, _ := e.Bus().Listen(ctx)
	id := create(t, e, "one", nil)
	if v, err := e.Find("one"); err != nil || v.State.Phase != Created || string(v.ID) != id {
		t.Fatalf("%+v %v", v, err)
	}
	for _, name := range []string{"one", "/one", id, id[:12], id[:5]} {
		if v, err := e.Find(name); err != nil || string(v.ID) != id {
			t.Errorf("%s: %v", name, err)
		}
	}
	contains(t, e.Pause(ctx, "one"), "is not running")
	contains(t, e.Kill(ctx, "one", ""), "is not running")
	contains(t, e.Unpause(ctx, "one"), "is not paused")
	if err := e.Stop(ctx, "one", StopOptions{}); !errors.Is(err, ErrNotModified) {
		t.Errorf("stopping what does not run: %v", err)
	}
	mustStart(t, e, "one")
	if err := e.Start(ctx, "one"); !errors.Is(err, ErrNotModified) {
		t.Errorf("starting what runs: %v", err)
	}
	contains(t, e.Remove(ctx, "one", RemoveOptions{}), "container is running: stop the container before removing or force remove")
	if err := e.Pause(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	contains(t, e.Pause(ctx, "one"), "is already paused")
	contains(t, e.Start(ctx, "one"), "cannot start a paused container")
	_, err := e.ExecCreate(ctx, "one", ExecConfig{Cmd: []string{"x"}})
	contains(t, err, "is paused")
	if err := e.Unpause(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(ctx, "one", StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if v := until(t, e, "one", "stopped", phase(Exited)); v.State.ExitCode != 143 || !v.State.Manual || v.State.Finished.IsZero() {
		t.Errorf("%+v", v.State)
	}
	mustStart(t, e, "one")
	if err := e.Rename(ctx, "one", "two"); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(ctx, "two", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Find(id); !errdefs.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	var actions []string
	for len(past) > 0 {
		actions = append(actions, (<-past).Action)
	}
	want := "create start pause unpause kill die stop start rename kill die destroy"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held["chain"] != 0 {
		t.Error("the image's layers are still held")
	}
}

// TestImageLabels: an image cannot set what Hull gives a meaning to, and the request's values win.
func TestImageLabels(t *testing.T) {
	_, e := newEngine(t)
	create(t, e, "one", func(c *container.Config, _ *container.HostConfig) { c.Env = []string{"A=mine", "B=2"} })
	v, err := e.Find("one")
	if err != nil {
		t.Fatal(err)
	}
	if v.Config.Labels["from"] != "image" || v.Config.Labels["hull.health-action"] != "" {
		t.Errorf("labels are %v", v.Config.Labels)
	}
	if got := strings.Join(v.Config.Env, " "); got != "A=mine B=2 PATH=/bin" {
		t.Errorf("the environment is %q", got)
	}
	if v.Path != "sleep" || len(v.Args) != 1 {
		t.Errorf("the program is %s %v", v.Path, v.Args)
	}
}

func TestNames(t *testing.T) {
	_, e := newEngine(t)
	id := create(t, e, "one", nil)
	_, err := e.Create(t.Context(), CreateRequest{Name: "one", Config: &container.Config{Image: "busybox"}, Host: &container.HostConfig{NetworkMode: "none"}})
	contains(t, err, `Conflict. The container name "/one" is already in use by container "`+id+`"`)
	for _, bad := range []string{"a", "-ab", "a b", "ä1", "a/b", strings.Repeat("x", 256)} {
		contains(t, e.Rename(t.Context(), "one", bad), "Invalid container name")
	}
	contains(t, e.Rename(t.Context(), "one", "one"), "same name")
	create(t, e, "two", nil)
	contains(t, e.Rename(t.Context(), "one", "two"), "already in use")
	other := create(t, e, "", nil)
	if v, err := e.Find(other); err != nil || !strings.Contains(v.Name, "_") {
		t.Errorf("a container without a name is called %q (%v)", v.Name, err)
	}
	_, err = e.Find("")
	contains(t, err, "No such container: ")
	// A failed creation gives its name back.
	if _, err := e.Create(t.Context(), CreateRequest{Name: "three", Config: &container.Config{Image: "busybox"}, Host: &container.HostConfig{NetworkMode: "container:nobody"}}); err == nil {
		t.Error("a container joins one that is not there")
	}
	create(t, e, "three", nil)
}

// TestStartFails: nothing is left of a start that failed, and the exit code is Docker's.
func TestStartFails(t *testing.T) {
	h, e := newEngine(t)
	for text, code := range map[string]int{
		`exec: "x": executable file not found in $PATH`: 127, "exec: /x: permission denied": 126, "the kernel said no": 128,
	} {
		for _, at := range []*error{&h.createErr, &h.startErr} {
			id := create(t, e, "", nil)
			h.mu.Lock()
			*at = errors.New(text)
			h.mu.Unlock()
			contains(t, e.Start(t.Context(), id), text)
			h.mu.Lock()
			*at = nil
			if len(h.shims) != 0 || len(h.exits) != 0 {
				t.Errorf("%s: a shim is left", text)
			}
			h.mu.Unlock()
			v, err := e.Find(id)
			if err != nil || v.State.Phase != Created || v.State.ExitCode != code || !strings.Contains(v.State.Error, text) {
				t.Errorf("%s: %+v %v", text, v.State, err)
			}
			mustStart(t, e, id) // it can be tried again
			if err := e.Remove(t.Context(), id, RemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAutoRemove: with --rm the container goes when it ends, when it could not start, and not when it is restarted.
func TestAutoRemove(t *testing.T) {
	h, e := newEngine(t)
	rm := func(_ *container.Config, h *container.HostConfig) { h.AutoRemove = true }
	id := create(t, e, "one", rm)
	removed, err := e.Wait(t.Context(), id, WaitRemoved)
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, e, id)
	if err := e.Restart(t.Context(), id, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, e, id, "running", phase(Running))
	h.end(id, 7)
	if x := <-removed; x.Code != 7 {
		t.Errorf("it ended with %+v", x)
	}
	if _, err := e.Find(id); !errdefs.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	id = create(t, e, "one", rm)
	h.mu.Lock()
	h.createErr = errors.New("no")
	h.mu.Unlock()
	contains(t, e.Start(t.Context(), id), "no")
	if _, err := e.Find(id); !errdefs.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := os.Stat(e.dir(ID(id))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
}

// TestWait: each condition is told once, at its time.
func TestWait(t *testing.T) {
	h, e := newEngine(t)
	id := create(t, e, "one", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := func(cond WaitCondition) <-chan Exit {
		ch, err := e.Wait(ctx, id, cond)
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	if x := <-wait(WaitNotRunning); x.Code != 0 {
		t.Errorf("%+v", x)
	}
	next, removed := wait(WaitNextExit), wait(WaitRemoved)
	mustStart(t, e, id)
	not := wait(WaitNotRunning)
	select {
	case <-next:
		t.Error("the exit is told before it is there")
	case <-not:
		t.Error("it does not run, they say")
	case <-time.After(20 * time.Millisecond):
	}
	h.end(id, 5)
	if a, b := <-next, <-not; a.Code != 5 || b.Code != 5 {
		t.Errorf("%+v %+v", a, b)
	}
	select {
	case <-removed:
		t.Error("it is removed, they say")
	default:
	}
	if err := e.Remove(ctx, id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if x := <-removed; x.Code != 5 {
		t.Errorf("%+v", x)
	}
	// A wait that was given up is forgotten.
	id = create(t, e, "two", nil)
	wait(WaitRemoved)
	cancel()
	c, err := e.names.find(id)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		c.mu.Lock()
		n := len(c.waiters)
		c.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the waiter is still there")
}

// TestStopKills: a container that ignores the signal is killed when its time is up, and Stop does not hold others up.
func TestStopKills(t *testing.T) {
	h, e := newEngine(t)
	one := 1
	id := create(t, e, "one", nil)
	mustStart(t, e, id)
	h.mu.Lock()
	s := h.shims[id]
	s.ignore = true
	h.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- e.Stop(context.WithoutCancel(t.Context()), id, StopOptions{Timeout: &one}) }()
	for { // it has begun
		h.mu.Lock()
		n := len(s.signals)
		h.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	begin := time.Now()
	if err := e.Rename(t.Context(), id, "other"); err != nil || time.Since(begin) > 500*time.Millisecond {
		t.Errorf("another operation waits for the stop: %v %v", err, time.Since(begin))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v := until(t, e, id, "stopped", phase(Exited)); v.State.ExitCode != 137 {
		t.Errorf("%+v", v.State)
	}
	if len(s.signals) != 2 || s.signals[0] != unix.SIGTERM || s.signals[1] != unix.SIGKILL {
		t.Errorf("signals are %v", s.signals)
	}
}

// TestRestartPolicy: who is started again, how often, after how long.
func TestRestartPolicy(t *testing.T) {
	v := func(name container.RestartPolicyMode, most, count int, manual bool) *View {
		return &View{RestartCnt: count, State: State{Manual: manual}, Host: &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: name, MaximumRetryCount: most}}}
	}
	for _, c := range []struct {
		v     *View
		code  int
		again bool
	}{
		{v("no", 0, 0, false), 1, false}, {v("always", 0, 9, false), 0, true}, {v("always", 0, 0, true), 0, false},
		{v("unless-stopped", 0, 0, false), 0, true}, {v("unless-stopped", 0, 0, true), 1, false}, {v("on-failure", 0, 99, false), 1, true},
		{v("on-failure", 0, 0, false), 0, false}, {v("on-failure", 3, 2, false), 1, true}, {v("on-failure", 3, 3, false), 1, false},
	} {
		var p policy
		if again, _ := p.decide(c.v, c.code, 0); again != c.again {
			t.Errorf("%+v code %d: %v", c.v.Host.RestartPolicy, c.code, again)
		}
	}
	var p policy
	var total []time.Duration
	for range 12 {
		_, d := p.decide(v("always", 0, 0, false), 0, time.Second)
		total = append(total, d)
	}
	if total[0] != 100*time.Millisecond || total[1] != 200*time.Millisecond || total[11] != time.Minute {
		t.Errorf("delays are %v", total)
	}
	if _, d := p.decide(v("always", 0, 0, false), 0, longRun); d != 100*time.Millisecond {
		t.Errorf("after a long run the delay is %v", d)
	}
}

// TestRestarts: the policy at work, and a stop that ends it.
func TestRestarts(t *testing.T) {
	h, e := newEngine(t)
	id := create(t, e, "one", func(_ *container.Config, h *container.HostConfig) { h.RestartPolicy.Name = "always" })
	mustStart(t, e, id)
	h.end(id, 1)
	until(t, e, id, "restarting", func(v *View) bool { return v.State.Phase == Restarting && v.RestartCnt == 1 })
	until(t, e, id, "running again", phase(Running))
	h.end(id, 1)
	until(t, e, id, "restarting", phase(Restarting))
	if err := e.Stop(t.Context(), id, StopOptions{}); err != nil && !errors.Is(err, ErrNotModified) {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if v, err := e.Find(id); err != nil || v.State.Phase != Exited {
		t.Errorf("after a stop it is %+v %v", v.State, err)
	}
}

func TestExec(t *testing.T) {
	h, e := newEngine(t)
	id := create(t, e, "one", nil)
	_, err := e.ExecCreate(t.Context(), id, ExecConfig{Cmd: []string{"x"}})
	contains(t, err, "is not running")
	mustStart(t, e, id)
	_, err = e.ExecCreate(t.Context(), id, ExecConfig{})
	contains(t, err, "No exec command specified")
	_, err = e.ExecReady("nothing")
	contains(t, err, "No such exec instance: nothing")
	_ = h
}

// TestShimDies: what is left is swept, the container counts as killed, and the policy applies.
func TestShimDies(t *testing.T) {
	h, e := newEngine(t)
	id := create(t, e, "one", nil)
	mustStart(t, e, id)
	h.mu.Lock()
	s := h.shims[id]
	tell := s.tell
	h.mu.Unlock()
	for _, f := range tell {
		f(shim.Event{Kind: shim.EventLost})
	}
	if v := until(t, e, id, "ended", phase(Exited)); v.State.ExitCode != 137 || v.State.Error != "the shim was killed" {
		t.Errorf("%+v", v.State)
	}
}

// TestRecord: records survive, torn ones are known.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	v := &View{ID: "x", Name: "n", Config: &container.Config{Image: "i"}, Host: &container.HostConfig{}, Dir: dir}
	if _, err := readRecord(dir); !errors.Is(err, errTorn) {
		t.Errorf("no record: %v", err)
	}
	if err := writeConfig(dir, v); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		v.State.ExitCode = i
		if err := writeState(dir, v); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, stateFile)); err != nil || info.Size() > 2*maxStateFile {
		t.Errorf("the state file is %d bytes long (%v)", info.Size(), err)
	}
	got, err := readRecord(dir)
	if err != nil || got.State.ExitCode != 499 || got.Name != "n" {
		t.Errorf("%+v %v", got, err)
	}
	// A frame at the end that is not whole does not count.
	path := filepath.Join(dir, stateFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw[:len(raw)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = readRecord(dir); err != nil || got.State.ExitCode != 498 {
		t.Errorf("%+v %v", got.State, err)
	}
	path = filepath.Join(dir, configFile)
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, 10, len(raw) / 2, len(raw) - 1} {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRecord(dir); !errors.Is(err, errTorn) {
			t.Errorf("%d of %d bytes: %v", cut, len(raw), err)
		}
	}
}
