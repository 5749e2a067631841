package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// Files in a container's directory, see the package comment.
const (
	socketFile = "shim.sock"
	pidFile    = "shim.pid"
	exitFile   = "exit.json"
	errFile    = "shim.err"
)

// Launcher starts shims and finds them again. Its methods may be called at the same time, but
// not two for the same id.
type Launcher struct {
	state string
	keel  *os.File // the sealed program
	null  *os.File

	mu   sync.Mutex
	live map[string]*Shim
}

// OpenLauncher prepares to start the program keel as shims, with all files below stateDir.
// Containers can reach their shim's program by /proc/PID/exe before they execute their own, so it
// is started from a read-only clone of its mount, or a sealed copy (CVE-2019-5736).
func OpenLauncher(keel, stateDir string) (*Launcher, error) {
	state, err := filepath.Abs(stateDir)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{state, filepath.Join(state, "containers"), filepath.Join(state, "keel")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the directory of the containers' state: %w", err)
		}
	}
	l := &Launcher{state: state, live: map[string]*Shim{}}
	if l.keel, err = sealed(keel); err != nil {
		return nil, fmt.Errorf("prepare %s for the containers' shims: %w", keel, err)
	}
	if l.null, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		l.keel.Close()
		return nil, err
	}
	return l, nil
}

// Close lets go of the launcher. Shims go on.
func (l *Launcher) Close() error {
	return errors.Join(l.keel.Close(), l.null.Close())
}

// dir is where a container's files are.
func (l *Launcher) dir(id string) (string, error) {
	ok := id != "" && id != "." && id != ".." && len(id) <= 255
	for i := 0; i < len(id) && ok; i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_+.-", c) >= 0
	}
	if !ok {
		return "", fmt.Errorf("%q is not the id of a container", id)
	}
	return filepath.Join(l.state, "containers", id), nil
}

// IDs are the containers that have a directory: those with a shim, and those that nobody has
// forgotten yet.
func (l *Launcher) IDs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(l.state, "containers"))
	if err != nil {
		return nil, fmt.Errorf("list the containers' shims: %w", err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list, nil
}

// Create starts a shim and lets it create the container. After an error nothing is left of
// either. It waits until an earlier shim of this id has taken everything away.
func (l *Launcher) Create(ctx context.Context, r Request) (*Shim, error) {
	dir, err := l.dir(r.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := l.waitForEarlier(ctx, r.ID); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make the directory of container %s: %w", r.ID, err)
	} else if err != nil {
		if _, err := os.Lstat(filepath.Join(dir, pidFile)); err == nil {
			return nil, fmt.Errorf("container %s has a shim already, or what one has left", r.ID)
		}
		os.Remove(filepath.Join(dir, exitFile))
	}
	s, err := l.launch(ctx, r, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("create container %s: %w", r.ID, err)
	}
	return s, nil
}

// waitForEarlier waits for the last shim of this id.
func (l *Launcher) waitForEarlier(ctx context.Context, id string) error {
	l.mu.Lock()
	s := l.live[id]
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	select {
	case <-s.free:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("create container %s: its last shim has not ended: %w", id, timeout(ctx))
	}
}

// launch starts the process and makes the first call.
func (l *Launcher) launch(ctx context.Context, r Request, dir string) (*Shim, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "shim")
	errs, err := os.OpenFile(filepath.Join(dir, errFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		unix.Close(pair[0])
		theirs.Close()
		return nil, err
	}
	words := []string{"keel", "--root", filepath.Join(l.state, "keel")}
	if r.SystemdCgroup {
		words = append(words, "--systemd-cgroup")
	}
	proc, err := os.StartProcess(l.program(), append(words, "shim", r.ID), &os.ProcAttr{
		Dir: "/", Env: environment(), Files: []*os.File{l.null, l.null, errs, theirs}, Sys: &syscall.SysProcAttr{Setsid: true}})
	theirs.Close()
	errs.Close()
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("start its shim: %w", err)
	}
	s := newShim(l, r.ID, dir, pair[0])
	s.proc, s.shimPid = proc, proc.Pid
	body := wire.CreateBody{ID: r.ID, Dir: dir, Config: r.Config, OpenStdin: r.OpenStdin, StdinOnce: r.StdinOnce, Log: r.Log, Runtime: r.Runtime,
		SystemdCgroup: r.SystemdCgroup, NoPivot: r.NoPivot}
	var files []int
	for _, h := range [...]struct {
		f   *os.File
		bit uint8
	}{{r.Root, wire.HasRoot}, {r.UserNS, wire.HasUserNS}} {
		if h.f != nil {
			body.Has |= h.bit
			files = append(files, int(h.f.Fd()))
		}
	}
	go s.receive()
	reply, err := s.call(ctx, wire.Create, body.Append(nil), files...)
	if err == nil {
		err = s.take(reply)
	}
	if err != nil {
		proc.Kill()
		<-s.done
		var f *FailError
		if !errors.As(err, &f) { // it did not clean up itself
			sctx, cancel := bounded(context.WithoutCancel(ctx))
			defer cancel()
			if _, e := l.Sweep(sctx, r.ID); e != nil {
				err = errors.Join(err, e)
			}
		}
		return nil, err
	}
	l.mu.Lock()
	l.live[r.ID] = s
	l.mu.Unlock()
	return s, nil
}

// program is the sealed program's path, for this process and its children.
func (l *Launcher) program() string { return "/proc/self/fd/" + strconv.Itoa(int(l.keel.Fd())) }

// environment is what a shim gets; hooks and other runtimes get no more.
func environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1", "GODEBUG=containermaxprocs=0,updatemaxprocs=0", "GOGC=off", "GOMEMLIMIT=16MiB", "GOTRACEBACK=single"}
	if f := os.Getenv("HULL_FAILPOINT"); strings.HasPrefix(f, "shim-") {
		env = append(env, "HULL_FAILPOINT="+f)
	}
	return env
}

// Connect finds the shim of a container that another hulld has started. When it has ended the
// error is a *[GoneError].
func (l *Launcher) Connect(ctx context.Context, id string) (*Shim, error) {
	dir, err := l.dir(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	sock, err := dialShim(dir)
	if err != nil {
		gone := &GoneError{ID: id, Exit: readExit(dir)}
		if gone.Exit == nil {
			if _, err := os.Lstat(dir); err != nil {
				return nil, fmt.Errorf("connect to the shim of container %s: %w", id, ErrNotFound)
			}
		}
		return nil, gone
	}
	s := newShim(l, id, dir, sock)
	go s.receive()
	reply, err := s.call(ctx, wire.Hello, nil)
	if err == nil {
		err = s.take(reply)
	}
	if err != nil {
		s.Close()
		if errors.Is(err, ErrGone) {
			return nil, &GoneError{ID: id, Exit: readExit(dir)}
		}
		return nil, fmt.Errorf("connect to the shim of container %s: %w", id, err)
	}
	l.mu.Lock()
	l.live[id] = s
	l.mu.Unlock()
	return s, nil
}

// dialShim connects to the socket in a container's directory. The directory is reached by a
// descriptor: a socket's path may be 108 bytes long.
func dialShim(dir string) (int, error) {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(d)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(d) + "/" + socketFile}); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// forgetShim is for a shim that has ended.
func (l *Launcher) forgetShim(s *Shim) {
	l.mu.Lock()
	if l.live[s.id] == s {
		delete(l.live, s.id)
	}
	l.mu.Unlock()
}

// Forget removes the directory of a container whose end is known.
func (l *Launcher) Forget(id string) error {
	dir, err := l.dir(id)
	if err != nil {
		return err
	}
	if pid, _, err := readPid(dir); err == nil && pid.alive() {
		return fmt.Errorf("forget container %s: its shim lives", id)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("forget container %s: %w", id, err)
	}
	return nil
}
