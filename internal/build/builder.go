package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/session"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/metadata"
	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// Images is what a build needs of the image store.
type Images interface {
	// Adopt unpacks what was built and names it. Without names the image is kept as a dangling one.
	Adopt(ctx context.Context, target ocispec.Descriptor, names []string) error
}

// Shims starts the containers of instructions: *shim.Launcher.
type Shims interface {
	Create(ctx context.Context, r shim.Request) (*shim.Shim, error)
	Sweep(ctx context.Context, id string) (shim.Exit, error)
	IDs() ([]string, error)
	Forget(id string) error
}

// Networks connects the containers of instructions.
type Networks interface {
	// Attach connects a network namespace to the default network. It returns the container's
	// /etc/hosts and /etc/resolv.conf.
	Attach(ctx context.Context, id, hostname string, extra []Host, netns *os.File) (hosts, resolv []byte, err error)
	Detach(ctx context.Context, id string) error
}

// Host is an entry of /etc/hosts.
type Host struct{ Name, Addr string }

// Config of a builder. All but Networks, RegistryHosts and Log must be set.
type Config struct {
	DataRoot, StateDir string
	Store              *metadata.Store
	Snapshotter        string // its name in the store
	Images             Images
	Shims              Shims
	Networks           Networks // nil: instructions have --network none and host
	Facts              *spec.Facts
	Profile            string // of the hardening
	RegistryHosts      docker.RegistryHosts
	Version            string
	Log                *slog.Logger
}

// Builder builds. Its methods may be called at the same time.
type Builder struct {
	c    Config
	jobs jobs

	mu     sync.Mutex
	open   *opened
	closed bool
}

// opened is the builder while it is open.
type opened struct {
	controller *control.Controller
	sessions   *session.Manager
	worker     *builderWorker
	server     *grpcServer
	stop       context.CancelFunc
}

// New makes a builder, which opens nothing yet.
func New(c Config) *Builder { return &Builder{c: c} }

func (b *Builder) dir() string { return filepath.Join(b.c.DataRoot, "build") }

// get opens the builder if it is not.
func (b *Builder) get() (*opened, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errdefs.ErrUnavailable.WithMessage("hulld stops: there are no builds any more")
	}
	if b.open != nil {
		return b.open, nil
	}
	o, err := b.start()
	if err != nil {
		return nil, fmt.Errorf("opening the builder: %w", err)
	}
	b.open = o
	return o, nil
}

// exists says whether there ever was a build here: what there is to prune or to show.
func (b *Builder) exists() bool {
	_, err := os.Stat(filepath.Join(b.dir(), "metadata_v2.db"))
	return err == nil
}

// Close ends builds that run and closes the builder.
func (b *Builder) Close() error {
	b.mu.Lock()
	o := b.open
	b.open, b.closed = nil, true
	b.mu.Unlock()
	if o == nil {
		return nil
	}
	o.stop()
	o.server.stop()
	o.worker.steps.wait()
	return errors.Join(o.controller.Close())
}

// Session serves POST /session: it takes the connection over.
func (b *Builder) Session(w http.ResponseWriter, r *http.Request) error {
	o, err := b.get()
	if err != nil {
		return err
	}
	if err := o.sessions.HandleHTTPRequest(r.Context(), w, r); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return nil
}

func (b *Builder) mountsDir() string { return filepath.Join(b.dir(), "mounts") }

// dialSession connects a session of this process.
func (o *opened) dialSession(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() { _ = o.sessions.HandleConn(ctx, there, meta) }()
	return here, nil
}
