package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/spec"
)

// Options of an Engine.
type Options struct {
	DataRoot string // containers/ID/ below it outlives a reboot of the host
	StateDir string // containers/ID/ below it does not

	Shims    Shims
	Images   Images
	Roots    Roots
	Users    Users    // nil: no user namespaces here
	Networks Networks // nil: containers have the modes none, host and container:… only
	Volumes  Volumes  // nil: no named volumes
	Logs     Logs
	Log      *slog.Logger
	Bus      *events.Bus
	Facts    *spec.Facts
	Driver   string // of snapshots
	Defaults Defaults
	// At is called where an operation has left something behind that a crash would leave, with the
	// point's name; tests end the process there. May be nil.
	At func(point string)
}

// Defaults are the daemon's settings for containers that do not say otherwise.
type Defaults struct {
	UserNS       string // "private" (also ""): a user namespace for each container; "host": none
	LogDriver    string // "" is local
	LogOptions   map[string]string
	Init         bool
	InitPath     string              // of the small init program on the host
	Runtimes     map[string][]string // command lines of other OCI runtimes by name
	Runtime      string              // the default's name; "" is our own
	CgroupParent string
	Profile      string
}

// Engine is all containers of a data root. Its methods may be called at the same time.
type Engine struct {
	opts  Options
	log   *slog.Logger
	at    func(string)
	names *index
	ids   *ranges
	pool  *pool
	execs execs

	running context.Context // ends with Close
	stop    context.CancelFunc
	work    sync.WaitGroup // what goes on in the background
	trash   trash
}

// Open reads the containers of a data root, finds those that run, sweeps what is nobody's, and
// starts those whose restart policy says so. Whoever asks for one that is not yet looked at waits for
// that one only.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.At == nil {
		o.At = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Bus == nil {
		o.Bus = new(events.Bus)
	}
	e := &Engine{opts: o, log: o.Log, at: o.At, names: newIndex(), ids: newRanges()}
	e.running, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, dir := range []string{e.dir(""), e.trashDir(), filepath.Join(o.StateDir, "containers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the directory of containers: %w", err)
		}
	}
	e.trash.start(e)
	if err := e.load(); err != nil {
		e.stop()
		e.work.Wait()
		return nil, err
	}
	e.background(e.compressLogs)
	if e.privateUsers() {
		e.pool = newPool(e)
	}
	return e, nil
}

// Close lets go of the containers, which go on.
func (e *Engine) Close() error {
	e.stop()
	for _, c := range e.names.all() {
		c.leave()
	}
	e.work.Wait()
	if e.pool != nil {
		e.pool.close()
	}
	return nil
}

// dir is a container's directory below the data root.
func (e *Engine) dir(id ID) string { return filepath.Join(e.opts.DataRoot, "containers", string(id)) }

// Bus is where the engine says what happens.
func (e *Engine) Bus() *events.Bus { return e.opts.Bus }

// Find is the newest view of the container with this name, ID or beginning of an ID.
func (e *Engine) Find(name string) (*View, error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, err
	}
	return c.view.Load(), nil
}

// Views are all containers, in no order.
func (e *Engine) Views() []*View {
	all := e.names.all()
	out := make([]*View, 0, len(all))
	for _, c := range all {
		out = append(out, c.view.Load())
	}
	return out
}

// background runs f until it ends; Close waits for it.
func (e *Engine) background(f func()) { e.work.Go(f) }
