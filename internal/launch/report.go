package launch

import (
	"encoding/binary"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The report pipe carries 8-byte records from the child to the parent:
//
//	failure   index | 1<<31   errno        step index failed with errno; the child is gone
//	notice    code            value        the plan reached a place the parent waits for
//	rebirth   1<<30           pid          a copy of the child, with that pid, goes on with the plan
//	(EOF)                                  execve succeeded: the pipe was close-on-exec;
//	                                       or the child was killed, see death.go
const (
	recordFailure = 1 << 31
	recordRebirth = 1 << 30
)

// Error is a failed step of a plan.
type Error struct {
	Index int           // step
	Doing string        // what was being done, to what: "mount proc on /proc"
	Call  string        // name of the system call
	Errno syscall.Errno // why
}

func (e *Error) Error() string { return e.Doing + ": " + e.Errno.Error() }

// Unwrap gives the errno, for errors.Is.
func (e *Error) Unwrap() error { return e.Errno }

// Notice is a record that the plan sent with [Plan.Notify].
type Notice struct {
	Code  uint32
	Value uint32
}

// Notify makes the child tell the parent (code, value of slot). The zero slot sends 0.
func (p *Plan) Notify(code uint32, s Slot) {
	mem, arg := p.Mem(8)
	binary.NativeEndian.PutUint32(mem, code)
	if s != 0 {
		p.Store32(mem[4:], s)
	}
	p.Call("write", unix.SYS_WRITE, Of(Report), arg, Int(8)).Want(8)
}

// Next waits for the next record. It returns io.EOF when the child has executed the
// container's program or the plan has come to its Exit, an [*Error] when a step failed, and a
// [*DeathError] when the child was killed before it got there. A rebirth ([Plan.Rebirth]) is
// seen in [Child.Pid] only.
func (c *Child) Next() (Notice, error) {
	for !c.eof {
		a, v, err := c.record()
		if err != nil {
			return Notice{}, err
		}
		switch {
		case a&recordFailure != 0:
			if c.plan.rebirth && !c.reborn {
				c.drain()
			}
			return Notice{}, c.plan.failure(int(a&^recordFailure), syscall.Errno(v))
		case a&recordRebirth != 0 && (a != recordRebirth || !c.plan.rebirth || c.reborn):
			return Notice{}, &Error{Index: len(c.plan.steps), Doing: "read the report of the container process", Errno: unix.EPROTO}
		case a == recordRebirth:
			if err := c.adopt(int(v)); err != nil {
				return Notice{}, err
			}
			c.reborn = true
			if n := c.early; n.Code != 0 {
				c.early = Notice{}
				return n, nil
			}
		case c.plan.rebirth && !c.reborn: // the second process was quicker than the first
			c.early = Notice{a, v}
		default:
			return Notice{a, v}, nil
		}
	}
	return Notice{}, io.EOF
}

// record reads one record; io.EOF at the end.
func (c *Child) record() (a, v uint32, err error) {
	var b [8]byte
	for got := 0; got < len(b); {
		n, err := unix.Read(c.report, b[got:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, 0, os.NewSyscallError("read the report of the container process", err)
		case n == 0 && got > 0:
			return 0, 0, &Error{Index: len(c.plan.steps), Doing: "read the report of the container process", Errno: unix.EPROTO}
		case n == 0:
			c.eof = true
			err := c.death()
			c.shared.unpin()
			return 0, 0, err
		default:
			got += n
		}
	}
	return binary.NativeEndian.Uint32(b[:4]), binary.NativeEndian.Uint32(b[4:]), nil
}

// Failure is the error that a record of 8 bytes tells of, which came another way than the report
// pipe because the plan had put another file in its place.
func (c *Child) Failure(record []byte) error {
	a, v := binary.NativeEndian.Uint32(record[:4]), binary.NativeEndian.Uint32(record[4:8])
	return c.plan.failure(int(a&^recordFailure), syscall.Errno(v))
}

func (p *Plan) failure(i int, errno syscall.Errno) error {
	switch {
	case i == len(p.steps) && errno != 0:
		return &Error{Index: i, Doing: "close the descriptors that are not the container's", Call: "close_range", Errno: errno}
	case i >= len(p.steps):
		return &Error{Index: i, Doing: "execute the launch plan", Errno: unix.EPROTO}
	}
	return &Error{Index: i, Doing: p.describe(i), Call: p.notes[i].call, Errno: errno}
}

// Close releases the parent's descriptors. The process goes on. A second Close does nothing.
func (c *Child) Close() {
	if c.report < 0 {
		return
	}
	if !c.eof {
		c.shared.abandon(c.Pid)
	}
	unix.Close(c.report)
	unix.Close(c.PidFD)
	c.report, c.PidFD, c.eof = -1, -1, true
}

// killTimeout bounds the wait for a killed child, which a frozen cgroup or a dead file server
// can hold; in milliseconds.
const killTimeout = 10_000

// Kill ends the child at once, reaps it and closes the parent's descriptors. A child that the
// kernel does not let go of within ten seconds is left to it.
func (c *Child) Kill() {
	defer c.Close()
	unix.PidfdSendSignal(c.PidFD, unix.SIGKILL, nil, 0)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(c.PidFD), Events: unix.POLLIN}}, killTimeout)
		if err == unix.EINTR {
			continue
		}
		if pid, _ := unix.Wait4(c.Pid, nil, unix.WNOHANG, nil); pid != 0 {
			c.shared.unpin()
		}
		return
	}
}
