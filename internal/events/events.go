// Package events carries what happened in the engine to whoever listens: images, containers,
// networks, volumes, the daemon itself. It knows none of them; the words are Docker's.
//
// # Terms
//
//   - event: at Time, Action was done to Actor, a thing of kind Type.
//   - actor: the thing's ID (a reference for pulls and pushes of images) and attributes, its name
//     and labels among them.
//
// # Contract
//
// Publishing never blocks and never fails. A listener gets every event since it began to
// listen, in the order of publishing, or is told that it lost some: one that does not read is cut
// off, so that it cannot hold memory or others (SECURITY.md R19). The last [Remembered] events are
// kept for listeners that ask for the past; between them and the new ones there is no gap.
//
//	past, future, lost := bus.Listen(ctx)
package events

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Type is the kind of thing that an event is about.
type Type string

// The types that Docker's clients know.
const (
	Builder   Type = "builder"
	Container Type = "container"
	Daemon    Type = "daemon"
	Image     Type = "image"
	Network   Type = "network"
	Plugin    Type = "plugin"
	Volume    Type = "volume"
)

// Actor is what an event happened to.
type Actor struct {
	ID         string
	Attributes map[string]string // not changed after Publish
}

// Event is one thing that happened.
type Event struct {
	Type   Type
	Action string // "pull", "start", "exec_start: sh"
	Actor  Actor
	Time   time.Time // set by Publish if it is zero
}

const (
	// Remembered is how many events a late listener can ask for, as Docker's.
	Remembered = 256
	// waiting is how many events a slow listener may be behind.
	waiting = 256
)

// Bus hands events to listeners. The zero value is ready.
type Bus struct {
	mu   sync.Mutex
	past [Remembered]Event // a ring: the oldest is at next when it is full
	next int
	full bool
	subs []*listener
}

type listener struct {
	ch   chan Event
	lost chan struct{}
}

// Publish hands an event to all listeners.
func (b *Bus) Publish(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	b.past[b.next] = e
	b.next = (b.next + 1) % Remembered
	b.full = b.full || b.next == 0
	b.subs = slices.DeleteFunc(b.subs, func(s *listener) bool {
		select {
		case s.ch <- e:
			return false
		default:
			close(s.lost)
			return true
		}
	})
}

// Listeners is how many there are.
func (b *Bus) Listeners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subs)
}

// Listen returns the remembered events, the oldest first, and then, on the channel, the new
// ones. lost is closed when the listener fell too far behind. Listening ends with ctx.
func (b *Bus) Listen(ctx context.Context) (past []Event, future <-chan Event, lost <-chan struct{}) {
	s := &listener{make(chan Event, waiting), make(chan struct{})}
	b.mu.Lock()
	if b.full {
		past = append(past, b.past[b.next:]...)
	}
	past = append(past, b.past[:b.next]...)
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subs = slices.DeleteFunc(b.subs, func(o *listener) bool { return o == s })
	})
	return past, s.ch, s.lost
}
