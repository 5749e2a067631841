package build

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
)

// cleanTime bounds what is done after an instruction ended or was cancelled.
const cleanTime = 30 * time.Second

// steps is BuildKit's executor: each instruction is a container.
type steps struct {
	b *Builder

	mu      sync.Mutex
	running map[string]*step // by the id that the solver chose
	all     sync.WaitGroup
}

func newSteps(b *Builder) *steps { return &steps{b: b, running: make(map[string]*step)} }

// wait waits until no instruction runs.
func (s *steps) wait() { s.all.Wait() }

// step is an instruction that runs.
type step struct {
	id      string
	shim    *shim.Shim
	doc     *document
	root    *os.File
	started chan struct{} // closed when it runs, or never will
	err     error         // why it never will
}

// newID is a container's: nothing of it comes from a client.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Run implements executor.Executor.
func (s *steps) Run(ctx context.Context, name string, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, started chan<- struct{}) (_ resourcestypes.Recorder, err error) {
	s.all.Add(1)
	defer s.all.Done()
	st := &step{id: newID(), started: make(chan struct{})}
	if name != "" {
		s.mu.Lock()
		s.running[name] = st
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			delete(s.running, name)
			s.mu.Unlock()
		}()
	}
	once := sync.OnceFunc(func() {
		st.err = err
		close(st.started)
		if started != nil {
			close(started)
		}
	})
	defer once()
	var undo undo
	defer func() {
		err = errors.Join(err, undo.run())
	}()
	if err := s.prepare(ctx, st, root, mounts, p, &undo); err != nil {
		return nil, err
	}
	stream, err := st.shim.OpenStream(ctx, "", p.Stdin != nil, true, true, shim.Patient)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if err := st.shim.Start(ctx); err != nil {
		return nil, exitError(ctx, shim.Exit{Code: startCode(err)}, err, p.Meta.ValidExitCodes)
	}
	once()
	exit, err := s.follow(ctx, st, "", stream, p)
	if err == nil || ctx.Err() != nil {
		err = exitError(ctx, exit, err, p.Meta.ValidExitCodes)
	}
	return nil, err
}

// prepare makes the container. What it leaves is in undo.
func (s *steps) prepare(ctx context.Context, st *step, root executor.Mount, mounts []executor.Mount, p executor.ProcessInfo, undo *undo) (err error) {
	c := s.b.c
	dir := filepath.Join(c.StateDir, "build", st.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of an instruction: %w", err)
	}
	undo.add(func() error { return os.RemoveAll(dir) })
	if st.root, err = s.mountRoot(ctx, root, undo); err != nil {
		return fmt.Errorf("mounting the root file system of an instruction: %w", err)
	}
	points := pointsOf(mounts)
	clean, err := findStubs(st.root, points, p.Meta.RemoveMountStubsRecursive)
	if err != nil {
		return err
	}
	undo.add(clean)
	own, err := s.openMounts(ctx, mounts, undo)
	if err != nil {
		return err
	}
	files, err := writeFiles(dir, p.Meta)
	if err != nil {
		return err
	}
	if st.doc, err = s.document(st, root.Readonly, own, files, p); err != nil {
		return err
	}
	raw, err := spec.Encode(st.doc.spec)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if st.shim, err = c.Shims.Create(ctx, shim.Request{ID: st.id, Config: raw, Root: st.root, OpenStdin: p.Stdin != nil, StdinOnce: true}); err != nil {
		return fmt.Errorf("making the container of an instruction: %w", err)
	}
	undo.add(func() error { return s.end(st) })
	if p.Meta.NetMode != pb.NetMode_UNSET {
		return nil
	}
	return s.attach(ctx, st, files, p.Meta, undo)
}

// attach connects the container to the default network.
func (s *steps) attach(ctx context.Context, st *step, files spec.Files, m executor.Meta, undo *undo) error {
	path := fmt.Sprintf("/proc/%d/ns/net", st.shim.Pid())
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the network namespace of an instruction: %w", err)
	}
	defer ns.Close()
	undo.add(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
		defer cancel()
		return s.b.c.Networks.Detach(ctx, st.id)
	})
	hosts, resolv, err := s.b.c.Networks.Attach(ctx, st.id, hostname(m), hostsOf(m), ns)
	if err != nil {
		return fmt.Errorf("connecting an instruction to the network: %w", err)
	}
	return errors.Join(rewrite(files.Hosts, hosts), rewrite(files.ResolvConf, resolv))
}

// end ends a container, and takes away what it left.
func (s *steps) end(st *step) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	err := st.shim.Delete(ctx)
	if err != nil {
		_, serr := s.b.c.Shims.Sweep(ctx, st.id)
		if err = serr; err != nil {
			err = fmt.Errorf("ending the container of an instruction: %w", err)
		}
	}
	st.shim.Close()
	return errors.Join(err, s.b.c.Shims.Forget(st.id))
}

// follow copies input and output until the process ends, and ends it when ctx does.
func (s *steps) follow(ctx context.Context, st *step, execID string, stream *shim.Stream, p executor.ProcessInfo) (shim.Exit, error) {
	over := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer close(over)
	watch.Go(func() { s.control(ctx, st, execID, p, over) })
	copied := make(chan error, 1)
	long := context.WithoutCancel(ctx)
	go func() { copied <- stream.Copy(long, asReader(p.Stdin), asWriter(p.Stdout), asWriter(p.Stderr)) }()
	exit, err := st.shim.Wait(long, execID)
	if err != nil {
		stream.Close()
		<-copied
		return exit, fmt.Errorf("waiting for an instruction: %w", err)
	}
	select {
	case err = <-copied:
	case <-time.After(cleanTime): // something that it left has its output open
		stream.Close()
		<-copied
	}
	if p.Stdout != nil {
		p.Stdout.Close()
	}
	if p.Stderr != nil {
		p.Stderr.Close()
	}
	return exit, err
}

// control passes signals and sizes on, and kills all when ctx ends.
func (s *steps) control(ctx context.Context, st *step, execID string, p executor.ProcessInfo, over <-chan struct{}) {
	short := func(f func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		if err := f(ctx); err != nil {
			s.b.c.Log.Debug("controlling an instruction", "container", st.id, "error", err)
		}
	}
	done := ctx.Done()
	for {
		select {
		case <-over:
			return
		case <-done:
			done = nil
			short(func(ctx context.Context) error { return st.shim.Signal(ctx, execID, unix.SIGKILL, execID == "") })
		case sig := <-p.Signal:
			short(func(ctx context.Context) error { return st.shim.Signal(ctx, execID, unix.Signal(sig), false) })
		case size := <-p.Resize:
			if size.Cols == 0 && size.Rows == 0 { // the channel is closed
				p.Resize = nil
				continue
			}
			short(func(ctx context.Context) error {
				return st.shim.Resize(ctx, execID, uint16(min(size.Cols, 65535)), uint16(min(size.Rows, 65535)))
			})
		}
	}
}

// exitError is BuildKit's error for an exit code that the instruction may not have.
func exitError(ctx context.Context, exit shim.Exit, cause error, valid []int) error {
	if len(valid) == 0 {
		valid = []int{0}
	}
	if cause == nil && ctx.Err() == nil && slices.Contains(valid, exit.Code) {
		return nil
	}
	e := &gatewayapi.ExitError{ExitCode: uint32(exit.Code), Err: cause}
	switch {
	case ctx.Err() != nil:
		e.Err = fmt.Errorf("%s: %w", e.Error(), context.Cause(ctx))
	case exit.OOM:
		e.Err = errors.New("cannot allocate memory: the kernel killed a process of the instruction for want of memory")
	case exit.Err != "":
		e.Err = errors.New(exit.Err)
	}
	return e
}
