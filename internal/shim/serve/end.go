package serve

import (
	"slices"
	"time"

	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// signalled takes the signals that have come. Those that ask to end are not obeyed: a host that
// shuts down sends them to everybody, and the container's log must go on until its init ends.
func (s *server) signalled(uint32) {
	var b [64]byte
	n, _ := unix.Read(s.sigs, b[:])
	if slices.Contains(b[:max(n, 0)], byte(unix.SIGCHLD)) {
		s.reap()
	}
}

// reap waits for children that have ended.
func (s *server) reap() {
	for _, p := range append(slices.Clone(s.execs), s.init) {
		if p == nil || p.exit != nil || p == s.init && s.starting {
			continue
		}
		var ws unix.WaitStatus
		if pid, _ := unix.Wait4(p.pid, &ws, unix.WNOHANG, nil); pid == p.pid {
			p.ended(ws)
		}
	}
	if s.busy > 0 || s.starting {
		return // some may be those of a call
	}
	for {
		// Whoever is known has been waited for above; one that has ended since is left for its turn.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		pid := childOf(&info)
		if err != nil || pid == 0 {
			return
		}
		if p := s.known(pid); p != nil {
			var ws unix.WaitStatus
			if got, _ := unix.Wait4(pid, &ws, unix.WNOHANG, nil); got == pid {
				p.ended(ws)
			}
			continue
		}
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

func (s *server) known(pid int) *process {
	for _, p := range append(slices.Clone(s.execs), s.init) {
		if p != nil && p.exit == nil && p.pid == pid {
			return p
		}
	}
	return nil
}

// initEnded writes the exit record, before anything else happens.
func (s *server) initEnded(e *wire.Exit) {
	s.status = wire.Stopped
	known := s.oomKills
	s.countOOM(false)
	e.OOMKills, e.OOM = s.oomKills, s.oomKills > 0
	s.failpoint("ended")
	if err := replaceFile(s.dir, exitFile, appendRecord(nil, s.id, s.init.pid, e)); err != nil {
		s.warn("write the exit record: " + err.Error())
	}
	s.failpoint("recorded")
	if s.oomKills > known { // v1's notice came too late, or the look after it
		s.event(&wire.EventBody{Kind: wire.EventOOM, Exit: wire.Exit{OOM: true, OOMKills: s.oomKills, At: time.Now().UTC()}})
	}
}

// appendRecord appends the exit record, as package shim reads it.
func appendRecord(b []byte, id string, pid int, e *wire.Exit) []byte {
	w := ocispec.Writer{B: b}
	w.Open('{')
	w.Name("version")
	w.Int(1)
	w.Name("id")
	w.String(id)
	w.Name("pid")
	w.Int(int64(pid))
	w.Name("code")
	w.Int(int64(e.Code))
	w.Name("signal")
	w.Int(int64(e.Signal))
	w.Name("oom")
	w.Bool(e.OOM)
	w.Name("oomKills")
	w.Int(int64(e.OOMKills))
	w.Name("at")
	w.String(e.At.Format(time.RFC3339Nano))
	w.Close('}')
	return append(w.B, '\n')
}

// processTold: a process has ended and its output is drained; now everybody is told.
func (s *server) processTold(p *process) {
	if p != s.init {
		s.execs = slices.DeleteFunc(s.execs, func(x *process) bool { return x == p })
		if len(s.ended) >= maxEnded {
			s.ended = slices.Delete(s.ended, 0, 1)
		}
		s.ended = append(s.ended, wire.ExecInfo{ID: p.id, Pid: p.pid, Exit: p.exit})
		s.event(&wire.EventBody{Kind: wire.EventExecExit, ExecID: p.id, Exit: *p.exit})
		s.settle()
	}
	if !s.init.told || s.telling {
		return
	}
	if len(s.execs) > 0 { // they died with init; their ends are told first
		return
	}
	s.telling = true
	s.log.Close()
	s.event(&wire.EventBody{Kind: wire.EventExit, Exit: *s.init.exit})
	s.failpoint("told")
	s.takeAway()
}

// maxEnded is how many ends of exec processes are kept for a hulld that comes back.
const maxEnded = 64

// takeAway removes the container's cgroup and the runtime's state.
func (s *server) takeAway() {
	if s.busy > 0 && !s.deleted { // a call may be using them
		s.after(5*time.Millisecond, s.takeAway)
		return
	}
	s.work(func() error {
		if s.deleted {
			return nil
		}
		return s.drv.delete()
	}, func(err error) {
		if err != nil {
			s.warn("remove what is left of the container: " + err.Error())
		}
		s.failpoint("removed")
		s.removed = true
		s.withdraw()
		s.close(s.listener)
		s.listener = -1
		for _, c := range s.deleting {
			c.answer(err)
		}
		e := wire.EventBody{Kind: wire.EventGone, Exit: *s.init.exit}
		if err != nil {
			e.Exit.Err = err.Error()
		}
		s.event(&e)
	})
}

// delete ends the container, and with it the shim.
func (s *server) delete(c *call) {
	s.deleting = append(s.deleting, c)
	if len(s.deleting) > 1 || s.init.exit != nil {
		return
	}
	s.work(s.drv.delete, func(err error) {
		if err == nil {
			s.deleted = true
			s.reap()
			return
		}
		list := s.deleting
		s.deleting = nil
		for _, c := range list {
			c.answer(err)
		}
	})
}

// over tells whether the shim has nothing left to do.
func (s *server) over() bool {
	if !s.removed {
		return false
	}
	for _, c := range s.init.clients {
		if c.pending != nil {
			return false
		}
	}
	return true
}

// watchOOM counts what the kernel kills for want of memory.
func (s *server) watchOOM() {
	g, err := s.drv.group()
	if err != nil || g == nil {
		return
	}
	fd, events, err := g.OOMFile()
	if err != nil {
		return // a container without a memory cgroup
	}
	s.oom = fd
	s.watch(fd, events, func(uint32) {
		var b [4096]byte
		unix.Pread(fd, b[:], 0)
		unix.Read(fd, b[:8])
		if s.init.exit != nil {
			s.close(s.oom)
			s.oom = -1
			return
		}
		s.countOOM(true)
		// v1 tells before it kills.
		s.after(20*time.Millisecond, func() { s.countOOM(true) })
	})
}

// countOOM reads the kernel's count.
func (s *server) countOOM(tell bool) {
	if s.oom < 0 || s.init.told {
		return
	}
	g, err := s.drv.group()
	if err != nil || g == nil {
		return
	}
	n, err := g.OOMKillCount()
	if err != nil || n <= s.oomKills {
		return
	}
	s.oomKills = n
	if tell {
		s.event(&wire.EventBody{Kind: wire.EventOOM, Exit: wire.Exit{OOM: true, OOMKills: n, At: time.Now().UTC()}})
	}
}

// failpoint is for tests, as that of hulld: HULL_FAILPOINT=shim-POINT kills the shim there.
func failpoint(setting string) func(string) {
	return func(point string) {
		if setting == "shim-"+point {
			unix.Kill(unix.Getpid(), unix.SIGKILL)
		}
	}
}
