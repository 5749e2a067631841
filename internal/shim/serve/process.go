package serve

import (
	"errors"
	"slices"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// process is the container's init, or an exec process.
type process struct {
	s   *server
	id  string // of an exec process
	pid int

	in      *input // nil: there is none, or it is closed
	outs    []*output
	term    int // master of the terminal, or -1
	once    bool
	clients []*client

	exit *wire.Exit
	told bool
}

// ends are the descriptors that a process is born with; the loop's ends go into its process.
type ends struct {
	std  ociruntime.Stdio
	ours [3]int // -1: none
}

// makeEnds makes pipes for the wanted streams.
func makeEnds(want uint8) (e ends, err error) {
	e.ours = [3]int{-1, -1, -1}
	for i := range 3 {
		if want&(1<<i) == 0 {
			continue
		}
		var p [2]int
		if err = unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			e.closeOurs()
			e.closeTheirs()
			return e, err
		}
		if i == 0 {
			e.std[i], e.ours[i] = p[0], p[1]
		} else {
			e.std[i], e.ours[i] = p[1], p[0]
		}
		unix.SetNonblock(e.ours[i], true)
	}
	return e, nil
}

func (e *ends) closeTheirs() {
	for i, fd := range e.std {
		if fd > 0 {
			unix.Close(fd)
		}
		e.std[i] = 0
	}
}

func (e *ends) closeOurs() {
	for i, fd := range e.ours {
		if fd >= 0 {
			unix.Close(fd)
		}
		e.ours[i] = -1
	}
}

// open begins to serve a process that was born: its pipes, or its terminal.
func (p *process) open(e *ends, terminal int, streams [2]*logfile.Stream) {
	p.term = terminal
	if terminal >= 0 {
		e.closeOurs()
		unix.SetNonblock(terminal, true)
		p.in = &input{p: p, fd: terminal, shared: true}
		o := &output{p: p, fd: terminal, stream: wire.Stdout, log: streams[0], input: p.in}
		p.in.output = o
		p.outs = append(p.outs, o)
		p.s.watch(terminal, unix.EPOLLIN, o.ready)
		return
	}
	if e.ours[0] >= 0 {
		p.in = &input{p: p, fd: e.ours[0]}
		p.s.watch(e.ours[0], 0, p.in.ready)
	}
	for i, stream := range [2]byte{wire.Stdout, wire.Stderr} {
		if fd := e.ours[1+i]; fd >= 0 {
			o := &output{p: p, fd: fd, stream: stream, log: streams[i]}
			p.outs = append(p.outs, o)
			p.s.watch(fd, unix.EPOLLIN, o.ready)
		}
	}
}

// drainTime is how long output is waited for after a process has ended, when others still hold
// its pipes: as long as dockerd does.
const drainTime = 2 * time.Second

// ended takes the end of the process.
func (p *process) ended(ws unix.WaitStatus) {
	e := &wire.Exit{Code: ws.ExitStatus(), At: time.Now().UTC()}
	if ws.Signaled() {
		e.Signal = int(ws.Signal())
		e.Code = 128 + e.Signal
	}
	p.exit = e
	if p.id == "" {
		p.s.initEnded(e)
	}
	p.closeInput()
	for _, o := range p.outs {
		o.pump()
	}
	if p.finish() {
		return
	}
	p.s.after(drainTime, func() {
		for _, o := range p.outs {
			o.end()
		}
		p.finish()
	})
}

// finish tells everybody that the process has ended, once its output is drained.
func (p *process) finish() bool {
	if p.exit == nil || p.told {
		return p.told
	}
	for _, o := range p.outs {
		if o.fd >= 0 {
			return false
		}
	}
	p.told = true
	for _, c := range p.clients {
		c.ending = true
	}
	for i := len(p.clients) - 1; i >= 0; i-- {
		p.clients[i].flush()
	}
	p.closeTerminal()
	p.s.processTold(p)
	return true
}

func (p *process) closeInput() {
	if p.in != nil && !p.in.shared {
		p.s.close(p.in.fd)
	}
	if p.in != nil {
		p.in.packet, p.in.from = nil, nil
		p.in = nil
	}
}

func (p *process) closeTerminal() {
	for _, o := range p.outs {
		o.end()
	}
	p.term = -1
}

// resize sets the size of the terminal.
func (p *process) resize(width, height uint32) error {
	if p.term < 0 {
		return errNoTerminal
	}
	return unix.IoctlSetWinsize(p.term, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
}

var errNoTerminal = errors.New("the process has no terminal, or has ended")

// input is what a process reads.
type input struct {
	p      *process
	fd     int
	shared bool    // the terminal, which is an output as well
	closed bool    // clients' input is not wanted
	output *output // that output
	packet []byte  // what the process has not taken yet
	from   *client // whose it is
}

// give hands bytes of a client over to the process. What it does not take now, it gets when it
// can; until then nothing is read from clients.
func (in *input) give(b []byte, from *client) {
	for len(b) > 0 && !in.closed {
		n, err := unix.Write(in.fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			in.packet, in.from = append([]byte(nil), b...), from
			in.listen()
			return
		case err != nil: // nobody reads it any more
			if !in.shared {
				in.p.closeInput()
			}
			return
		default:
			b = b[n:]
		}
	}
}

func (in *input) listen() {
	if in.shared {
		in.output.listen()
		return
	}
	events := uint32(0)
	if in.packet != nil {
		events = unix.EPOLLOUT
	}
	in.p.s.want(in.fd, events)
}

// ready: the process can take more, or nobody reads its input any more.
func (in *input) ready(events uint32) {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 && !in.shared {
		in.p.closeInput()
		for _, c := range slices.Clone(in.p.clients) {
			c.listen()
		}
		return
	}
	b, from := in.packet, in.from
	in.packet, in.from = nil, nil
	in.give(b, from)
	in.listen()
	if in.packet == nil {
		for _, c := range slices.Clone(in.p.clients) { // those that are gone leave the list
			c.listen()
		}
	}
}
