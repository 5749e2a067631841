package serve

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/shim/wire"
	"github.com/hull-dev/hull/internal/sigpipe"
	"golang.org/x/sys/unix"
)

// server is a shim.
type server struct {
	*loop
	rt  *ociruntime.Runtime
	drv driver
	buf []byte // for what is read; of the loop's goroutine only

	id, dir  string
	warnings []string
	conns    []*conn
	listener int
	sigs     int

	status       wire.Status
	started      time.Time
	starting     bool // the end of init waits until start has its answer
	init         *process
	execs        []*process
	pendingExecs []string // ids of those that are being made
	telling      bool
	deleted      bool            // by a request
	ended        []wire.ExecInfo // the last of them
	log          *logfile.Writer
	oom          int // descriptor, or -1
	oomKills     uint64
	deleting     []*call // who is told when all is taken away
	removed      bool    // all is
	failpoint    func(string)
}

// Files in the container's directory.
const (
	socketFile = "shim.sock"
	pidFile    = "shim.pid"
	exitFile   = "exit.json"
	configFile = "config.json"
	rootfsDir  = "rootfs"
)

// firstWait bounds how long a shim waits for the request to create its container.
const firstWait = 30 * time.Second

// Main is the program: descriptor 3 is the first connection. It returns the exit status.
func Main(rt *ociruntime.Runtime) (int, error) {
	s := &server{rt: rt, buf: make([]byte, wire.MaxPacket), status: wire.Creating, listener: -1, oom: -1, failpoint: failpoint(os.Getenv("HULL_FAILPOINT"))}
	rt.OwnMemory = true
	rt.Warn = s.warn
	var err error
	if s.loop, err = newLoop(); err != nil {
		return 1, err
	}
	s.idle = s.reap // of the calls' children, and of what has come meanwhile
	first, req, files, err := s.first()
	if err != nil {
		return 1, err
	}
	reply, err := s.create(req, files)
	if err != nil {
		body := wire.FailBody{Text: err.Error()}
		wire.SendPacket(3, wire.Fail, first.Call, body.Append(nil))
		return 1, err
	}
	s.failpoint("created")
	pidfd, err := unix.PidfdOpen(s.init.pid, 0)
	if err == nil {
		err = wire.SendPacket(3, wire.OK, first.Call, reply, pidfd)
		unix.Close(pidfd)
	}
	if err != nil { // nobody is there who wants the container
		s.remove()
		return 1, err
	}
	s.addConn(3)
	s.settle()
	for !s.over() {
		if err := s.turn(); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

// warn keeps a warning for Info. It may be called from any goroutine.
func (s *server) warn(msg string) {
	s.mu.Lock()
	if len(s.warnings) < 64 {
		s.warnings = append(s.warnings, msg)
	}
	s.mu.Unlock()
}

// first receives the request to create the container.
func (s *server) first() (*wire.Packet, *wire.CreateBody, []int, error) {
	for end := time.Now().Add(firstWait); ; {
		p, files, err := wire.ReceivePacket(3, s.buf)
		if err == unix.EAGAIN {
			left := time.Until(end)
			if left <= 0 {
				return nil, nil, nil, errors.New("no request to create a container has come")
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: 3, Events: unix.POLLIN}}, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
				return nil, nil, nil, os.NewSyscallError("poll", err)
			}
			continue
		}
		if err == nil && p == nil {
			err = errors.New("hulld has ended")
		}
		if err == nil && p.Kind != wire.Create {
			err = errors.New("the first request is not to create a container")
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("receive the request to create a container: %w", err)
		}
		req, err := wire.ParseCreate(p.Body)
		return p, &req, files, err
	}
}

// create makes the container. After an error nothing is left of it.
func (s *server) create(req *wire.CreateBody, files []int) (reply []byte, err error) {
	s.id, s.dir = req.ID, req.Dir
	root, userns, err := handles(req.Has, files)
	if err != nil {
		return nil, err
	}
	// The packet is in the buffer that output is read into later, and the configuration keeps parts of the
	// document: a container could otherwise print the filter that its next exec gets.
	req.Config = bytes.Clone(req.Config)
	config, err := ocispec.Decode(req.Config)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if config.Process == nil {
		return nil, errors.New("config.json: process is missing")
	}
	terminal := config.Process.Terminal
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("become the reaper of the container's orphans", err)
	}
	if s.sigs, err = sigpipe.Open(unix.SIGCHLD, unix.SIGTERM, unix.SIGHUP, unix.SIGINT); err != nil {
		return nil, err
	}
	if err := s.watch(s.sigs, unix.EPOLLIN, s.signalled); err != nil {
		return nil, err
	}
	if err := s.announce(req.Runtime); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.withdraw()
		}
	}()
	s.failpoint("announced")
	if err := s.bind(); err != nil {
		return nil, err
	}
	if s.log, err = logfile.Open(own1(req.Log)); err != nil {
		return nil, err
	}
	want := uint8(wire.WantStdout | wire.WantStderr)
	if terminal {
		want = 0
	} else if req.OpenStdin {
		want |= wire.WantStdin
	}
	e, err := makeEnds(want)
	if err != nil {
		return nil, fmt.Errorf("make the container's pipes: %w", err)
	}
	if len(req.Runtime) == 0 {
		s.drv = &own{r: s.rt}
	} else {
		s.drv = newForeign(s, req)
	}
	pid, master, err := s.drv.create(req, config, root, userns, e.std)
	e.closeTheirs()
	for _, fd := range files {
		unix.Close(fd)
	}
	if err != nil {
		e.closeOurs()
		return nil, err
	}
	s.init = &process{s: s, pid: pid, once: req.StdinOnce}
	var streams [2]*logfile.Stream
	if !s.log.None() {
		streams = [2]*logfile.Stream{s.log.Stream(1), s.log.Stream(2)}
	}
	s.init.open(&e, master, streams)
	if terminal && !req.OpenStdin {
		s.init.in.closed = true
	}
	s.status = wire.Created
	s.watchOOM()
	info := s.info()
	return info.Append(nil), nil
}

// own1 is a copy that does not share memory with the packet.
func own1(c logfile.Config) logfile.Config {
	c.Attrs = append([]byte(nil), c.Attrs...)
	return c
}

// handles are the descriptors of the request, 0 for none.
func handles(has uint8, files []int) (root, userns int, err error) {
	for _, h := range [...]struct {
		bit uint8
		fd  *int
	}{{wire.HasRoot, &root}, {wire.HasUserNS, &userns}} {
		if has&h.bit == 0 {
			continue
		}
		if len(files) == 0 {
			return 0, 0, errors.New("a descriptor of the request to create a container is missing")
		}
		*h.fd, files = files[0], files[1:]
	}
	return root, userns, nil
}

// announce writes who supervises the container, for a sweep after this program was killed.
func (s *server) announce(command []string) error {
	self, err := ociruntime.StartTime(os.Getpid())
	if err != nil {
		return err
	}
	text := strconv.Itoa(os.Getpid()) + " " + strconv.FormatUint(self, 10) + "\n"
	for _, w := range command {
		text += w + "\n"
	}
	return replaceFile(s.dir, pidFile, []byte(text))
}

// withdraw takes back what announce and bind have made.
func (s *server) withdraw() {
	unix.Unlink(s.dir + "/" + socketFile)
	unix.Unlink(s.dir + "/" + pidFile)
}

// remove ends the container whose creator is gone.
func (s *server) remove() {
	s.drv.delete()
	s.withdraw()
}

// replaceFile writes a file that is there whole or not at all.
func replaceFile(dir, name string, b []byte) error {
	tmp := dir + "/." + name
	fd, err := unix.Open(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: tmp, Err: err}
	}
	n, err := unix.Write(fd, b)
	unix.Close(fd)
	if err == nil && n < len(b) {
		err = unix.ENOSPC
	}
	if err == nil {
		err = unix.Rename(tmp, dir+"/"+name)
	}
	if err != nil {
		unix.Unlink(tmp)
		return &os.PathError{Op: "write", Path: dir + "/" + name, Err: err}
	}
	return nil
}
