package image

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Event is one thing that happened to an image, with Docker's words.
type Event struct {
	Action     string // pull, push, tag, untag, delete, load, save, import, prune
	ID         string // of the image: its ID, or the reference for pull and push
	Attributes map[string]string
	Time       time.Time
}

const (
	remembered = 256 // events that a late subscriber can ask for, as Docker's
	waiting    = 256 // events that a slow subscriber may be behind
)

// Bus hands events to whoever listens. The zero value is ready.
type Bus struct {
	mu   sync.Mutex
	past []Event
	subs []*subscriber
}

type subscriber struct {
	ch   chan Event
	lost chan struct{}
}

// publish never blocks: a subscriber that does not read is cut off, so that it cannot hold
// memory or others (SECURITY.md R19).
func (b *Bus) publish(action, id string, attributes map[string]string) {
	e := Event{action, id, attributes, time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.past) == remembered {
		b.past = slices.Delete(b.past, 0, 1)
	}
	b.past = append(b.past, e)
	b.subs = slices.DeleteFunc(b.subs, func(s *subscriber) bool {
		select {
		case s.ch <- e:
			return false
		default:
			close(s.lost)
			return true
		}
	})
}

// Listen returns the remembered events and then, on the channel, the new ones without a gap.
// lost is closed when the listener fell too far behind. Listening ends with ctx.
func (b *Bus) Listen(ctx context.Context) (past []Event, events <-chan Event, lost <-chan struct{}) {
	s := &subscriber{make(chan Event, waiting), make(chan struct{})}
	b.mu.Lock()
	past = slices.Clone(b.past)
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subs = slices.DeleteFunc(b.subs, func(o *subscriber) bool { return o == s })
	})
	return past, s.ch, s.lost
}
