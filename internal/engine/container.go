package engine

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/events"
)

// Container is one container's actor.
type Container struct {
	id   ID
	e    *Engine
	mail mailbox
	view atomic.Pointer[View]

	base    string // of Roots, for the image's layers
	release func() // lets go of them

	// Of turns alone.
	users  *os.File // a namespace for the first start; nil when there is none ready
	shim   Shim     // nil while none is connected
	policy policy
	health *checker
	gone   bool // removed
	keep   bool // the next end is not the end of a --rm container: it is restarted, or removed by somebody

	mu      sync.Mutex
	waiters []*waiter
	pending []*attachment
}

// change publishes a new view. Turns alone call it, or who makes the container.
func (c *Container) change(f func(v *View)) *View {
	old := c.view.Load()
	v := *old
	f(&v)
	if a, b := old.State.Phase, v.State.Phase; a != b && !slices.Contains(next(a), b) {
		c.e.log.Error("a container took a step that there is not", "container", c.id, "from", a, "to", b)
	}
	c.view.Store(&v)
	return &v
}

// save publishes a new view and puts it on disk. That it cannot be written is logged: the container
// runs, or has ended, whatever the disk says.
func (c *Container) save(f func(v *View)) *View {
	v := c.change(f)
	if err := writeState(v.Dir, v); err != nil {
		c.e.log.Error("a container's state is not on disk", "container", c.id, "error", err)
	}
	if !v.AutoRemove() {
		c.e.trash.sync(v.Dir)
	}
	return v
}

// publish tells the world, with Docker's attributes: labels, image and name.
func (c *Container) publish(action string, extra map[string]string) {
	v := c.view.Load()
	attributes := maps.Clone(v.Config.Labels)
	if attributes == nil {
		attributes = make(map[string]string, 2+len(extra))
	}
	maps.Copy(attributes, extra)
	attributes["image"], attributes["name"] = v.Config.Image, v.Name
	c.e.opts.Bus.Publish(events.Event{Type: events.Container, Action: action, Actor: events.Actor{ID: string(c.id), Attributes: attributes}})
}

// turn finds a container and runs f as one of its turns.
func (e *Engine) turn(ctx context.Context, name, what string, f func(ctx context.Context, c *Container) error) error {
	c, err := e.names.find(name)
	if err != nil {
		return err
	}
	return c.turn(ctx, what, func(ctx context.Context) error { return f(ctx, c) })
}

func (c *Container) turn(ctx context.Context, what string, f func(ctx context.Context) error) error {
	return c.mail.do(ctx, what, func(ctx context.Context) error {
		if c.gone {
			return errdefs.ErrNotFound.WithMessage("No such container: " + string(c.id))
		}
		return f(ctx)
	})
}

// leave lets go of the shim, when hulld stops.
func (c *Container) leave() {
	c.mail.post("stopping with hulld", func() {
		c.policy.cancel()
		c.health.stop()
		if c.shim != nil {
			c.shim.Close()
		}
	})
}

// Exit is how a container ended.
type Exit struct {
	Code int
	Err  string // why it could not be removed, with [WaitRemoved]
}

// WaitCondition says what is waited for.
type WaitCondition string

// The conditions of Wait.
const (
	WaitNotRunning WaitCondition = "not-running"
	WaitNextExit   WaitCondition = "next-exit"
	WaitRemoved    WaitCondition = "removed"
)

type waiter struct {
	cond WaitCondition
	ch   chan Exit
}

// Wait returns a channel that gets how the container ended, once it did. The wait is registered when
// Wait returns: what happens after is not missed. ctx ends it.
func (e *Engine) Wait(ctx context.Context, name string, cond WaitCondition) (<-chan Exit, error) {
	c, err := e.names.find(name)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx, cond), nil
}

func (c *Container) wait(ctx context.Context, cond WaitCondition) <-chan Exit {
	w := &waiter{cond, make(chan Exit, 1)}
	c.mu.Lock()
	// The phase is read with the lock held: wake takes it after a phase was published.
	if p := c.view.Load().State; cond == WaitNotRunning && !alive(p.Phase) && p.Phase != Restarting {
		c.mu.Unlock()
		w.ch <- Exit{Code: p.ExitCode}
		return w.ch
	}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiters = slices.DeleteFunc(c.waiters, func(o *waiter) bool { return o == w })
	})
	return w.ch
}

// wake tells those who wait for one of the conditions.
func (c *Container) wake(exit Exit, conds ...WaitCondition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters = slices.DeleteFunc(c.waiters, func(w *waiter) bool {
		if !slices.Contains(conds, w.cond) {
			return false
		}
		w.ch <- exit
		return true
	})
}

// now is the time as it is kept: without what a record would lose.
func now() time.Time { return time.Now().UTC().Round(0) }
