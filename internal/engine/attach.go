package engine

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/shim"
)

// AttachRequest is a client that wants a container's input and output.
type AttachRequest struct {
	Stdin, Stdout, Stderr bool
}

// Attachment is a client's end of a container. Before the container starts it waits for it, so that
// no byte is missed.
type attachment struct {
	r     AttachRequest
	ready chan opened
}

type opened struct {
	s   Stream
	err error
}

// Attached is a client of a container, from Attach.
type Attachment struct {
	c *Container
	a *attachment
	// TTY says that output is one stream.
	TTY bool
}

// Attach registers a client. Of a running container the client gets what comes from now on; of one
// that does not run, everything from its next start.
func (e *Engine) Attach(ctx context.Context, name string, r AttachRequest) (*Attachment, error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, err
	}
	a := &attachment{r, make(chan opened, 1)}
	err = c.turn(ctx, "attaching", func(ctx context.Context) error {
		v := c.view.Load()
		switch {
		case v.State.Phase == Paused:
			return errdefs.ErrConflict.WithMessage("container " + string(c.id) + " is paused, unpause the container before attach")
		case v.State.Phase == Restarting:
			return errdefs.ErrConflict.WithMessage("container " + string(c.id) + " is restarting, wait until the container is running")
		case alive(v.State.Phase) && c.shim != nil:
			s, err := c.shim.OpenStream(ctx, "", r.Stdin && v.Config.OpenStdin, r.Stdout, r.Stderr, 0)
			if err != nil {
				return err
			}
			a.ready <- opened{s, nil}
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending = append(c.pending, a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.publish("attach", nil)
	return &Attachment{c, a, c.view.Load().Config.Tty}, nil
}

// Stream waits for the container to start, and returns its stream. The caller closes it.
func (a *Attachment) Stream(ctx context.Context) (Stream, error) {
	select {
	case o := <-a.a.ready:
		return o.s, o.err
	case <-ctx.Done():
	}
	a.c.mu.Lock()
	a.c.pending = slices.DeleteFunc(a.c.pending, func(o *attachment) bool { return o == a.a })
	a.c.mu.Unlock()
	select {
	case o := <-a.a.ready: // it came just now
		if o.s != nil {
			o.s.Close()
		}
	default:
	}
	return nil, ctx.Err()
}

// openPending connects those who wait, between creation and start. They get every byte: the
// container waits for them.
func (c *Container) openPending(ctx context.Context, s Shim) {
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	open := c.view.Load().Config.OpenStdin
	for _, a := range pending {
		stream, err := s.OpenStream(ctx, "", a.r.Stdin && open, a.r.Stdout, a.r.Stderr, shim.Patient)
		a.ready <- opened{stream, err}
	}
}

// dropPending sends those away who wait for a container that will not start.
func (c *Container) dropPending() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.pending {
		a.ready <- opened{nil, io.EOF}
	}
	c.pending = nil
}

// Resize sets the size of the container's terminal, in characters.
func (e *Engine) Resize(ctx context.Context, name string, width, height uint16) error {
	return e.turn(ctx, name, "resizing its terminal", func(ctx context.Context, c *Container) error {
		if !alive(c.view.Load().State.Phase) || c.shim == nil {
			return errdefs.ErrConflict.WithMessage("container " + string(c.id) + " is not running")
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return c.shim.Resize(ctx, "", width, height)
	})
}
