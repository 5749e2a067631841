package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// host is what outlives an engine under test: the shims, as processes would.
type host struct {
	t  *testing.T
	mu sync.Mutex

	shims map[string]*fakeShim
	exits map[string]shim.Exit // records in the state directory
	// createErr and startErr are what the next containers fail with.
	createErr, startErr error
	// silent: shims do not answer.
	silent bool
	held   map[string]int
}

// fakeShim is a shim with its container. It refuses what a real one would.
type fakeShim struct {
	h       *host
	id      string
	started time.Time
	status  shim.Status
	tell    []func(shim.Event) // of each connection
	done    chan struct{}
	signals []unix.Signal
	ignore  bool // the container ignores all signals but SIGKILL
	execs   map[string]bool
}

func newHost(t *testing.T) *host {
	return &host{t: t, shims: make(map[string]*fakeShim), exits: make(map[string]shim.Exit), held: make(map[string]int)}
}

func (h *host) Create(_ context.Context, r shim.Request) (Shim, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shims[r.ID] != nil {
		h.t.Errorf("a second shim for container %s", r.ID)
	}
	if h.createErr != nil {
		return nil, h.createErr
	}
	if len(r.Config) == 0 || r.Root == nil {
		h.t.Errorf("container %s has no configuration or no root", r.ID)
	}
	delete(h.exits, r.ID)
	s := &fakeShim{h: h, id: r.ID, status: shim.Created, done: make(chan struct{}), execs: make(map[string]bool)}
	h.shims[r.ID] = s
	return &connection{fakeShim: s}, nil
}

func (h *host) Connect(_ context.Context, id string) (Shim, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := h.shims[id]; {
	case h.silent:
		return nil, shim.ErrTimeout
	case s != nil:
		return &connection{fakeShim: s}, nil
	}
	if e, ok := h.exits[id]; ok {
		return nil, &shim.GoneError{ID: id, Exit: &e}
	}
	return nil, shim.ErrNotFound
}

func (h *host) Sweep(_ context.Context, id string) (shim.Exit, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.shims, id)
	e := shim.Exit{Code: 137, Signal: 9, At: time.Now(), Err: "the shim was killed"}
	h.exits[id] = e
	return e, nil
}

func (h *host) IDs() ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := slices.Collect(maps.Keys(h.shims))
	return append(ids, slices.Collect(maps.Keys(h.exits))...), nil
}

func (h *host) Forget(id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shims[id] != nil {
		return errors.New("its shim lives")
	}
	delete(h.exits, id)
	return nil
}

// end ends a container as its init would.
func (h *host) end(id string, code int) {
	h.mu.Lock()
	s := h.shims[id]
	h.mu.Unlock()
	if s != nil {
		s.exit(code, 0)
	}
}

func (s *fakeShim) exit(code, sig int) {
	s.h.mu.Lock()
	if s.h.shims[s.id] != s || s.status == shim.Stopped {
		s.h.mu.Unlock()
		return
	}
	s.status = shim.Stopped
	e := shim.Exit{Code: code, Signal: sig, At: time.Now()}
	s.h.exits[s.id] = e
	delete(s.h.shims, s.id)
	tell := s.tell
	s.h.mu.Unlock()
	for _, f := range tell {
		f(shim.Event{Kind: shim.EventExit, Exit: e})
		f(shim.Event{Kind: shim.EventGone})
	}
	close(s.done)
}

// connection is one engine's connection to a shim.
type connection struct {
	*fakeShim
	closed bool
}

func (c *connection) use(want ...shim.Status) error {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if c.closed {
		c.h.t.Errorf("a closed connection to the shim of %s is used", c.id)
	}
	if c.h.silent {
		return shim.ErrTimeout
	}
	if !slices.Contains(want, c.status) {
		if c.status == shim.Stopped {
			return &shim.GoneError{ID: c.id}
		}
		c.h.t.Errorf("the container %s is %s, not in %v", c.id, c.status, want)
		return shim.ErrState
	}
	return nil
}

func (c *connection) PidFD() *os.File       { return nil }
func (c *connection) Pid() int              { return 0 } // no process: nothing under /proc
func (c *connection) Done() <-chan struct{} { return c.done }
func (c *connection) Subscribe(f func(shim.Event)) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.tell = append(c.tell, f)
}
func (c *connection) Info(context.Context) (shim.Info, error) {
	return shim.Info{ID: c.id, Status: c.status, Started: c.started}, c.use(shim.Created, shim.Running, shim.Paused)
}
func (c *connection) Start(context.Context) error {
	if err := c.use(shim.Created); err != nil {
		return err
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if c.h.startErr != nil {
		return c.h.startErr
	}
	c.status, c.started = shim.Running, time.Now()
	return nil
}
func (c *connection) Signal(_ context.Context, execID string, sig unix.Signal, _ bool) error {
	if err := c.use(shim.Running, shim.Paused); err != nil {
		return err
	}
	c.h.mu.Lock()
	c.signals = append(c.signals, sig)
	ignore := c.ignore
	c.h.mu.Unlock()
	if execID == "" && (sig == unix.SIGKILL || sig == unix.SIGTERM && !ignore) {
		go c.exit(128+int(sig), int(sig))
	}
	return nil
}
func (c *connection) Pause(context.Context) error {
	err := c.use(shim.Running)
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if err == nil && c.status == shim.Running {
		c.status = shim.Paused
	}
	return err
}
func (c *connection) Resume(context.Context) error {
	err := c.use(shim.Paused)
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if err == nil && c.status == shim.Paused {
		c.status = shim.Running
	}
	return err
}
func (c *connection) Update(context.Context, []byte) error {
	return c.use(shim.Running, shim.Paused)
}
func (c *connection) Stats(context.Context) ([]byte, error) {
	return []byte("{}"), c.use(shim.Running, shim.Paused)
}
func (c *connection) Processes(context.Context) ([]int, error) {
	return []int{1}, c.use(shim.Running, shim.Paused)
}
func (c *connection) Resize(context.Context, string, uint16, uint16) error {
	return c.use(shim.Running, shim.Paused)
}
func (c *connection) CloseStdin(context.Context, string) error { return c.use(shim.Running) }
func (c *connection) Exec(_ context.Context, r shim.ExecRequest) (int, Stream, error) {
	if err := c.use(shim.Running); err != nil {
		return 0, nil, err
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if c.execs[r.ID] {
		c.h.t.Errorf("exec %s twice", r.ID)
	}
	c.execs[r.ID] = true
	tell := c.tell
	go func() {
		for _, f := range tell {
			f(shim.Event{Kind: shim.EventExecExit, ExecID: r.ID, Exit: shim.Exit{Code: 3, At: time.Now()}})
		}
	}()
	return 4711, nil, nil
}
func (c *connection) OpenStream(context.Context, string, bool, bool, bool, time.Duration) (Stream, error) {
	return emptyStream{}, c.use(shim.Created, shim.Running)
}
func (c *connection) Wait(ctx context.Context, _ string) (shim.Exit, error) {
	select {
	case <-c.done:
		return shim.Exit{}, nil
	case <-ctx.Done():
		return shim.Exit{}, ctx.Err()
	}
}
func (c *connection) Delete(context.Context) error {
	c.exit(137, 9)
	return nil
}
func (c *connection) Close() error {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.closed = true
	return nil
}

type emptyStream struct{}

func (emptyStream) Next([]byte) (byte, []byte, error) { return 0, nil, io.EOF }
func (emptyStream) Write(p []byte) (int, error)       { return len(p), nil }
func (emptyStream) CloseWrite() error                 { return nil }
func (emptyStream) Close() error                      { return nil }

// The host is images and roots too.

var testImage = &image.Image{ID: "sha256:1111", RawConfig: []byte(`{"config":{"Cmd":["sleep","9"],"Env":["PATH=/bin","A=image"],"Labels":{"hull.health-action":"restart","from":"image"}}}`), Layers: []image.Layer{{Chain: "chain"}}}

func (h *host) Find(_ context.Context, name string) (*image.Image, error) {
	if name != "busybox" {
		return nil, errdefs.ErrNotFound.WithMessage("No such image: " + name)
	}
	return testImage, nil
}

func (h *host) Hold(ctx context.Context, name string) (*image.Image, string, func(), error) {
	img, err := h.Find(ctx, name)
	if err != nil {
		return nil, "", nil, err
	}
	base, release, err := h.HoldChain(img.Chain())
	return img, base, release, err
}

func (h *host) HoldChain(chain image.ChainID) (string, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held[string(chain)]++
	return string(chain), sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.held[string(chain)]--; h.held[string(chain)] < 0 {
			h.t.Error("layers are released more often than held")
		}
	}), nil
}

func (h *host) Make(_ context.Context, base, dir string) error {
	if base != "chain" {
		return fmt.Errorf("no such base: %q", base)
	}
	return os.Mkdir(filepath.Join(dir, "upper"), 0o700)
}
func (h *host) Mount(_ context.Context, _, dir string, _ *os.File, _ bool) (*os.File, error) {
	return os.Open(filepath.Join(dir, "upper"))
}
func (h *host) Image(context.Context, string) (*os.File, error) { return nil, errors.New("not here") }
func (h *host) Usage(context.Context, string) (int64, error)    { return 100, nil }
func (h *host) Remove(dir string) error                         { return os.RemoveAll(dir) }
func (h *host) Config(v *View) (logfile.Config, error) {
	return logfile.Config{Driver: v.Host.LogConfig.Type}, nil
}
func (h *host) Read(context.Context, logfile.Config, LogQuery, func(LogEntry) error) error {
	return nil
}

func (h *host) Changes(context.Context, string, string, map[string]bool, func(Change) error) error {
	return nil
}
func (h *host) Compress(context.Context, logfile.Config) error                         { return nil }
func (h *host) Diff(context.Context, string, string, map[string]bool, io.Writer) error { return nil }
func (h *host) Commit(context.Context, image.CommitOptions) (image.ID, error)          { return "", nil }

// open starts an engine on the host.
func (h *host) open(root string) *Engine {
	h.t.Helper()
	e, err := Open(h.t.Context(), Options{
		DataRoot: filepath.Join(root, "data"), StateDir: filepath.Join(root, "state"),
		Shims: h, Images: h, Roots: h, Logs: h, Bus: new(events.Bus), Log: slog.New(slog.DiscardHandler),
		Facts: &spec.Facts{Arch: "amd64", KernelMajor: 6, NCPU: 2, CPUs: "0-1", Mems: "0"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return e
}

// engine opens one in a directory of its own and closes it at the end.
func newEngine(t *testing.T) (*host, *Engine) {
	h := newHost(t)
	e := h.open(t.TempDir())
	t.Cleanup(func() { e.Close() })
	return h, e
}

// create makes a container; change may be nil.
func create(t *testing.T, e *Engine, name string, change func(c *container.Config, h *container.HostConfig)) string {
	t.Helper()
	c, h := &container.Config{Image: "busybox"}, &container.HostConfig{NetworkMode: "none"}
	if change != nil {
		change(c, h)
	}
	r, err := e.Create(t.Context(), CreateRequest{Name: name, Config: c, Host: h})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.ID)
}

func mustStart(t *testing.T, e *Engine, name string) {
	t.Helper()
	if err := e.Start(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// until waits for a container to fit.
func until(t *testing.T, e *Engine, name, what string, fits func(v *View) bool) *View {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		v, err := e.Find(name)
		if err == nil && fits(v) {
			return v
		}
		if time.Now().After(end) {
			t.Fatalf("container %s is not %s: %+v %v", name, what, v, err)
		}
	}
}

func phase(p Phase) func(v *View) bool { return func(v *View) bool { return v.State.Phase == p } }

func contains(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want one with %q", err, text)
	}
}
