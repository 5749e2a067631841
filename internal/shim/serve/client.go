package serve

import (
	"slices"
	"time"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// client is one end of a stream socket.
type client struct {
	p        *process
	fd       int
	want     uint8
	patience time.Duration

	noInput bool   // it gives no more
	hung    bool   // it has closed its end; what it gave is still to be read
	pending []byte // frames that it has not taken, one of each output at most; of a patient client only
	waits   *timer
	ending  bool // it gets no more
	gone    bool
}

// attach makes a socket a client of the process.
func (p *process) attach(fd int, want uint8, patience time.Duration) error {
	unix.SetNonblock(fd, true)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, streamBuffer)
	c := &client{p: p, fd: fd, want: want, patience: patience, noInput: want&wire.WantStdin == 0}
	if err := p.s.watch(fd, unix.EPOLLIN, c.ready); err != nil {
		return err
	}
	p.clients = append(p.clients, c)
	c.listen()
	return nil
}

// ready: the client has sent something, has ended its input, can take more, or is gone.
func (c *client) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 && c.pending != nil {
		c.flush()
	}
	if c.gone {
		return
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.hung = true
	} else if events&unix.EPOLLIN != 0 {
		c.read()
	}
	c.listen()
}

// read takes one packet of input, and says whether there may be another.
func (c *client) read() bool {
	in := c.p.in
	if c.noInput || in != nil && in.packet != nil {
		return false
	}
	buf := c.p.s.buf
	n, err := unix.Read(c.fd, buf[:wire.MaxFrame])
	switch {
	case err == unix.EINTR:
		return true
	case err == unix.EAGAIN:
		return false
	case err != nil || n == 0:
		c.endInput()
		return false
	}
	if in != nil {
		in.give(buf[:n], c)
	}
	return true
}

// endInput takes the end of the client's input. It ends the process's when that takes only one.
func (c *client) endInput() {
	if c.noInput {
		return
	}
	c.noInput = true
	in := c.p.in
	if in == nil || in.shared || !c.p.once {
		return
	}
	if in.packet == nil {
		c.p.closeInput()
		return
	}
	c.p.s.after(10*time.Millisecond, func() { c.closeLater(in) }) // what it gave comes first
}

func (c *client) closeLater(in *input) {
	switch {
	case c.p.in != in:
	case in.packet == nil:
		c.p.closeInput()
	default:
		c.p.s.after(10*time.Millisecond, func() { c.closeLater(in) })
	}
}

// listen waits for what the client can go on with.
func (c *client) listen() {
	if c.gone {
		return
	}
	if c.hung { // its input is read to the end first
		for c.read() {
		}
		if in := c.p.in; !c.noInput && in != nil && in.packet != nil {
			c.p.s.pause(c.fd)
		} else {
			c.drop()
		}
		return
	}
	events := uint32(0)
	if !c.noInput && (c.p.in == nil || c.p.in.packet == nil) {
		events |= unix.EPOLLIN
	}
	if c.pending != nil {
		events |= unix.EPOLLOUT
	}
	c.p.s.want(c.fd, events)
}

// send gives the client a frame.
func (c *client) send(frame []byte, o *output) {
	if c.gone || c.ending {
		return
	}
	if c.pending != nil { // of another output
		c.pending = append(c.pending, frame...)
		o.held = true
		return
	}
	err := c.put(frame)
	switch {
	case err == nil:
	case err != unix.EAGAIN:
		c.drop()
	case c.patience == 0:
		c.cut()
	default:
		c.pending = append([]byte(nil), frame...)
		o.held = true
		c.listen()
		if c.patience > 0 {
			c.waits = c.p.s.after(c.patience, c.cut)
		}
	}
}

// put sends one frame, or the first of several.
func (c *client) put(frame []byte) error {
	for {
		_, err := unix.SendmsgN(c.fd, frame, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// flush sends what the client has not taken, and lets it go when there will be no more.
func (c *client) flush() {
	if c.gone {
		return
	}
	for len(c.pending) > 0 {
		n := wire.FrameLength(c.pending)
		err := c.put(c.pending[:n])
		if err == unix.EAGAIN {
			c.listen()
			return
		}
		if err != nil {
			c.drop()
			return
		}
		c.pending = c.pending[n:]
		c.renew()
	}
	if c.pending != nil {
		c.pending = nil
		c.stopWaiting()
		c.releaseOutputs()
	}
	if c.ending {
		c.drop()
		return
	}
	c.listen()
}

// renew begins a client's patience anew: it has taken something.
func (c *client) renew() {
	if c.waits != nil {
		c.waits.at = time.Now().Add(c.patience)
	}
}

func (c *client) stopWaiting() {
	if c.waits != nil {
		c.waits.f, c.waits = nil, nil
	}
}

// releaseOutputs lets the outputs go on that wait for this client.
func (c *client) releaseOutputs() {
	for _, o := range c.p.outs {
		if o.held {
			o.release()
		}
	}
}

// streamBuffer is how much output a client's socket holds, in bytes of the kernel's counting.
const (
	streamBuffer = 512 << 10
	noticeRoom   = 64 << 10
)

const cutNotice = "hull: the output ends here for this client, which has not read it fast enough\n"

// cut ends the client, with a notice if there is room for one: the end of its stream comes after
// what is still in its socket.
func (c *client) cut() {
	if c.gone {
		return
	}
	const room = streamBuffer + noticeRoom
	unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room)
	b := make([]byte, wire.FrameHead, wire.FrameHead+len(cutNotice))
	wire.PutFrame(b, wire.Notice, len(cutNotice))
	c.put(append(b, cutNotice...))
	c.drop()
}

// drop lets the client go.
func (c *client) drop() {
	if c.gone {
		return
	}
	c.endInput()
	c.gone, c.pending = true, nil
	c.stopWaiting()
	p := c.p
	p.clients = slices.DeleteFunc(p.clients, func(x *client) bool { return x == c })
	p.s.close(c.fd)
	c.releaseOutputs()
}
