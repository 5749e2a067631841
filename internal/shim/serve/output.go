package serve

import (
	"time"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// output is one stream that a process writes, or its terminal.
type output struct {
	p      *process
	fd     int // -1: it has ended
	stream byte
	log    *logfile.Stream // nil: not logged
	input  *input          // of a terminal
	held   bool            // a patient client has not taken the last packet
}

// readsAtOnce bounds how much of one output is read before others have their turn.
const readsAtOnce = 4

func (o *output) ready(events uint32) {
	if o.input != nil && events&unix.EPOLLOUT != 0 && o.input.packet != nil {
		o.input.ready(0)
	}
	if events&^uint32(unix.EPOLLOUT) != 0 && !o.held {
		o.read(readsAtOnce)
		if o.fd < 0 {
			o.p.finish()
		}
	}
}

// pump reads what is there, however much it is.
func (o *output) pump() {
	if o.fd >= 0 && !o.held {
		o.read(1 << 20)
	}
}

// read reads so many times at most, and gives what it gets to the log and to the clients.
func (o *output) read(times int) {
	buf := o.p.s.buf
	for range times {
		n, err := unix.Read(o.fd, buf[wire.FrameHead:wire.FrameHead+wire.MaxFrame])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err == unix.EIO && o.p.exit == nil: // every process has closed the terminal; it can be opened again
			o.rest()
			return
		case err != nil || n == 0:
			o.end()
			return
		}
		if o.log != nil {
			o.log.Write(buf[wire.FrameHead : wire.FrameHead+n])
		}
		if len(o.p.clients) == 0 {
			continue
		}
		wire.PutFrame(buf, o.stream, n)
		for i := len(o.p.clients) - 1; i >= 0; i-- {
			if c := o.p.clients[i]; c.want&(1<<o.stream) != 0 {
				c.send(buf[:wire.FrameHead+n], o)
			}
		}
		if o.held {
			o.listen()
			return
		}
	}
}

// restTime is how long a terminal is left alone that nobody has open.
const restTime = 100 * time.Millisecond

func (o *output) rest() {
	fd := o.fd
	o.p.s.pause(fd)
	o.p.s.after(restTime, func() {
		if o.fd == fd {
			o.p.s.unpause(fd, unix.EPOLLIN)
			o.listen()
		}
	})
}

// listen waits for what the output and a terminal's input can go on with.
func (o *output) listen() {
	if o.fd < 0 {
		return
	}
	events := uint32(0)
	if !o.held {
		events |= unix.EPOLLIN
	}
	if o.input != nil && o.input.packet != nil {
		events |= unix.EPOLLOUT
	}
	if s := o.p.s.sources[o.fd]; s == nil {
		return
	} else if events == 0 { // a hang-up would come all the time
		o.p.s.pause(o.fd)
	} else if s.events == ^uint32(0) {
		o.p.s.unpause(o.fd, events)
	} else {
		o.p.s.want(o.fd, events)
	}
}

// release goes on with an output that waited for clients, once they have all taken theirs.
func (o *output) release() {
	for _, c := range o.p.clients {
		if c.pending != nil && c.want&(1<<o.stream) != 0 {
			return
		}
	}
	o.held = false
	o.listen()
	if o.p.exit != nil {
		o.pump()
		o.p.finish()
	}
}

// end closes the output.
func (o *output) end() {
	if o.fd < 0 {
		return
	}
	if o.log != nil {
		o.log.Close()
	}
	if o.input != nil && o.p.in == o.input {
		o.p.in = nil
	}
	if o.p.term == o.fd {
		o.p.term = -1
	}
	o.p.s.close(o.fd)
	o.fd = -1
}
