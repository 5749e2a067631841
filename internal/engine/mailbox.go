package engine

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// busyTime is how long a turn is waited for.
const busyTime = 30 * time.Second

// mailbox runs turns one after the other. The goroutine that runs them is there while there are
// some. The zero value is ready.
type mailbox struct {
	mu    sync.Mutex
	queue []func()
	busy  bool
	doing atomic.Pointer[turn]
}

// turn is what a mailbox does now.
type turn struct {
	what  string // "starting"
	since time.Time
}

// post adds a turn and returns at once.
func (m *mailbox) post(what string, f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, func() {
		m.doing.Store(&turn{what, time.Now()})
		_ = guarded(what, func() error { f(); return nil }) // it is in the log
	})
	if !m.busy {
		m.busy = true
		go m.run()
	}
}

func (m *mailbox) run() {
	for {
		m.mu.Lock()
		if len(m.queue) == 0 {
			m.busy, m.queue = false, nil
			m.doing.Store(nil)
			m.mu.Unlock()
			return
		}
		f := m.queue[0]
		m.queue[0] = nil
		m.queue = m.queue[1:]
		m.mu.Unlock()
		f()
	}
}

// guarded turns a panic into an error: a mistake in one container's turn does not end hulld for all.
func guarded(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.Error("a turn of a container ended in a panic", "turn", what, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s: internal error: %v", what, p)
		}
	}()
	return f()
}

// do runs f as a turn and waits for it. A caller that goes away before its turn comes takes the turn
// along; one that goes away later does not stop it: f gets a context that does not end with the
// caller's.
func (m *mailbox) do(ctx context.Context, what string, f func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var claimed atomic.Bool // by the turn, or by the caller who left
	done := make(chan error, 1)
	m.post(what, func() {
		if claimed.CompareAndSwap(false, true) {
			done <- guarded(what, func() error { return f(context.WithoutCancel(ctx)) })
		}
	})
	late := time.NewTimer(busyTime)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		claimed.CompareAndSwap(false, true)
		return ctx.Err()
	case <-late.C:
	}
	now := m.doing.Load()
	claimed.CompareAndSwap(false, true)
	if now == nil {
		return <-done // it came just now
	}
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("the container is busy: it has been %s for %d seconds", now.what, int(time.Since(now.since).Seconds())))
}
