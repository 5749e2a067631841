package serve

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/shim/wire"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxBusy bounds the calls that are at work at the same time.
const maxBusy = 64

// dispatch does a request. The descriptors that it does not keep are closed.
func (s *server) dispatch(c *call, p *wire.Packet, files []int) {
	defer func() {
		for _, fd := range files {
			unix.Close(fd)
		}
	}()
	if s.busy >= maxBusy && p.Kind != wire.Hello && p.Kind != wire.Signal && p.Kind != wire.Delete {
		c.answer(errors.New("the container's shim has too much to do"))
		return
	}
	switch p.Kind {
	case wire.Hello:
		s.hello(c)
	case wire.Start:
		s.start(c)
	case wire.Signal:
		s.signal(c, p.Body)
	case wire.Pause:
		s.change(c, wire.Running, wire.Paused, s.drv.pause)
	case wire.Resume:
		s.change(c, wire.Paused, wire.Running, s.drv.resume)
	case wire.Update:
		body := append([]byte(nil), p.Body...)
		s.alive(c, func() error { return s.drv.update(body) }, c.answer)
	case wire.Stats:
		s.stats(c)
	case wire.Processes:
		var list []int
		s.alive(c, func() (err error) {
			list, err = s.drv.processes()
			return err
		}, func(err error) {
			if err != nil {
				c.answer(err)
				return
			}
			c.ok(wire.Numbers(nil, list))
		})
	case wire.Resize:
		s.resize(c, p.Body)
	case wire.CloseStdin:
		s.closeStdin(c, p.Body)
	case wire.Attach:
		files = s.attach(c, p.Body, files)
	case wire.Exec:
		files = s.exec(c, p.Body, files)
	case wire.Delete:
		s.delete(c)
	default:
		c.answer(invalid("no such request"))
	}
}

// hello says what there is, with a pidfd of init.
func (s *server) hello(c *call) {
	info := s.info()
	pidfd, err := unix.PidfdOpen(s.init.pid, 0)
	if s.init.exit != nil || err != nil {
		c.ok(info.Append(nil))
		return
	}
	c.ok(info.Append(nil), pidfd)
	unix.Close(pidfd)
}

func (s *server) info() wire.Info {
	i := wire.Info{ID: s.id, Status: s.status, Pid: s.init.pid, ShimPid: os.Getpid(), Started: s.started}
	for _, p := range s.execs {
		i.Execs = append(i.Execs, wire.ExecInfo{ID: p.id, Pid: p.pid})
	}
	i.Execs = append(i.Execs, s.ended...)
	lost, err := s.log.Lost()
	i.LogLost = lost
	if err != nil {
		i.LogErr = err.Error()
	}
	s.mu.Lock()
	i.Warnings = s.warnings
	s.mu.Unlock()
	if s.init.told {
		i.Exit = s.init.exit
	}
	return i
}

// alive does f if the container has not ended.
func (s *server) alive(c *call, f func() error, then func(error)) {
	if s.init.exit != nil {
		c.answer(wrongState("container %s has ended", s.id))
		return
	}
	s.work(f, then)
}

func (s *server) start(c *call) {
	if s.status != wire.Created || s.starting || s.init.exit != nil {
		c.answer(wrongState("container %s cannot be started: it is %s", s.id, s.status))
		return
	}
	s.starting = true
	s.work(s.drv.start, func(err error) {
		s.starting = false
		if err == nil {
			s.status, s.started = wire.Running, time.Now().UTC()
		}
		c.answer(err)
		s.failpoint("started")
		s.reap()
	})
}

// change does a pause or a resume.
func (s *server) change(c *call, from, to wire.Status, f func() error) {
	if s.status != from {
		c.answer(wrongState("container %s is %s, not %s", s.id, s.status, from))
		return
	}
	s.alive(c, f, func(err error) {
		if err == nil && s.status == from {
			s.status = to
		}
		c.answer(err)
	})
}

func (s *server) signal(c *call, b []byte) {
	r, err := wire.ParseSignal(b)
	if err == nil && r.Signal > 64 {
		err = invalid("there is no signal %d", r.Signal)
	}
	var p *process
	if err == nil {
		p, err = s.find(r.ExecID)
	}
	if err == nil && p.exit != nil {
		err = wrongState("the process has ended")
	}
	if err != nil {
		c.answer(err)
		return
	}
	sig := unix.Signal(r.Signal)
	if p != s.init {
		c.answer(unix.Kill(p.pid, sig)) // it is ours to reap, so the number is its own
		return
	}
	s.work(func() error { return s.drv.kill(sig, r.All) }, func(err error) {
		if errors.Is(err, ociruntime.ErrNotRunning) {
			err = wrongState("container %s is not running", s.id)
		}
		c.answer(err)
	})
}

// find is the process with this id that runs, or has not been told of yet.
func (s *server) find(id string) (*process, error) {
	if id == "" {
		return s.init, nil
	}
	for _, p := range s.execs {
		if p.id == id {
			return p, nil
		}
	}
	for _, e := range s.ended {
		if e.ID == id {
			return nil, wrongState("exec process %s has ended", id)
		}
	}
	return nil, notFound("there is no exec process %s in container %s", id, s.id)
}

func (s *server) stats(c *call) {
	var out []byte
	s.alive(c, func() error {
		g, err := s.drv.group()
		var st *cgroup.Stats
		if err == nil {
			st, err = g.Stats()
		}
		if err == nil {
			out = st.AppendJSON(nil)
		}
		return err
	}, func(err error) {
		if err != nil {
			c.answer(err)
			return
		}
		c.ok(out)
	})
}

func (s *server) resize(c *call, b []byte) {
	r, err := wire.ParseResize(b)
	var p *process
	if err == nil {
		p, err = s.find(r.ExecID)
	}
	if err == nil && (r.Width > 0xffff || r.Height > 0xffff) {
		err = invalid("a terminal of %d columns and %d lines", r.Width, r.Height)
	}
	if err == nil {
		err = p.resize(r.Width, r.Height)
	}
	c.answer(err)
}

func (s *server) closeStdin(c *call, b []byte) {
	r, err := wire.ParseResize(b)
	var p *process
	if err == nil {
		p, err = s.find(r.ExecID)
	}
	if err == nil && p.in != nil && !p.in.shared {
		p.closeInput()
	}
	c.answer(err)
}

func (s *server) attach(c *call, b []byte, files []int) (left []int) {
	r, err := wire.ParseAttach(b)
	var p *process
	if err == nil {
		p, err = s.find(r.ExecID)
	}
	switch {
	case err != nil:
	case p.exit != nil:
		err = wrongState("the process has ended")
	case len(p.clients) >= maxClients:
		err = errors.New("the process has too many clients")
	case len(files) != 1:
		err = invalid("a request to attach without a socket")
	default:
		if err = p.attach(files[0], r.Want, time.Duration(r.Patience)); err == nil {
			files = nil
		}
	}
	c.answer(err)
	return files
}

// maxClients bounds the clients of one process.
const maxClients = 64

func (s *server) exec(c *call, b []byte, files []int) (left []int) {
	r, err := wire.ParseAttach(b)
	if err == nil {
		err = s.mayExec(r.ExecID)
	}
	if err == nil && (r.Want != 0) != (len(files) == 1) {
		err = invalid("a request to execute without the right descriptors")
	}
	var pr, raw = (*specs.Process)(nil), append([]byte(nil), r.Process...)
	if err == nil {
		pr, err = ocispec.DecodeProcess(raw)
	}
	var e ends
	if err == nil {
		want := r.Want
		if pr.Terminal {
			want = 0
		}
		e, err = makeEnds(want)
	}
	if err != nil {
		c.answer(err)
		return files
	}
	p := &process{s: s, id: r.ExecID, once: true, term: -1}
	s.pendingExecs = append(s.pendingExecs, r.ExecID)
	pid, terminal := 0, -1
	s.queue(func() (err error) {
		pid, terminal, err = s.drv.exec(p.id, raw, pr, e.std)
		return err
	}, func(err error) {
		e.closeTheirs()
		s.forgetPending(p.id)
		if err != nil {
			e.closeOurs()
			for _, fd := range files {
				unix.Close(fd)
			}
			c.answer(err)
			return
		}
		p.pid = pid
		s.execs = append(s.execs, p)
		p.open(&e, terminal, [2]*logfile.Stream{})
		if len(files) == 1 {
			_ = p.attach(files[0], r.Want, time.Duration(r.Patience)) // on an error the client sees its stream end
		}
		c.ok(wire.Numbers(nil, []int{pid}))
		s.failpoint("executed")
	})
	return nil
}

func (s *server) forgetPending(id string) {
	s.pendingExecs = slices.DeleteFunc(s.pendingExecs, func(x string) bool { return x == id })
}

// maxExecs bounds the exec processes that run at the same time.
const maxExecs = 1024

func (s *server) mayExec(id string) error {
	switch {
	case s.status == wire.Paused:
		return wrongState("container %s is paused, unpause the container before exec", s.id)
	case s.status != wire.Running || s.init.exit != nil:
		return wrongState("container %s is not running", s.id)
	case id == "" || len(id) > 128:
		return invalid("an exec process needs an id")
	case len(s.execs)+len(s.pendingExecs) >= maxExecs:
		return errors.New("the container has too many exec processes")
	}
	if _, err := s.find(id); class(err) != wire.ClassNotFound {
		return invalid("there is an exec process %s already", id)
	}
	for _, p := range s.pendingExecs {
		if p == id {
			return invalid("there is an exec process %s already", id)
		}
	}
	return nil
}
