package logfile

import (
	"bytes"
	"errors"
	"sync"
)

// buffer lets a driver work on its own goroutine. Entries wait in it, up to a size; those that
// come while it is full are lost (Docker's mode=non-blocking).
type buffer struct {
	drv  driver
	max  int
	fail func(uint64, error)

	mu    sync.Mutex
	more  sync.Cond
	queue []Entry
	size  int
	ended bool
	done  chan struct{}
}

var errFull = errors.New("the log's destination is too slow, and its buffer full")

func newBuffer(drv driver, size int, fail func(uint64, error)) *buffer {
	b := &buffer{drv: drv, max: size, fail: fail, done: make(chan struct{})}
	b.more.L = &b.mu
	go b.run()
	return b
}

func (b *buffer) add(e *Entry) {
	b.mu.Lock()
	if b.size > 0 && b.size+len(e.Line) > b.max {
		b.mu.Unlock()
		b.fail(1, errFull)
		return
	}
	c := *e
	c.Line = bytes.Clone(e.Line)
	b.queue = append(b.queue, c)
	b.size += len(c.Line)
	b.mu.Unlock()
}

func (b *buffer) flush() { b.more.Signal() }

func (b *buffer) run() {
	defer close(b.done)
	for {
		b.mu.Lock()
		for len(b.queue) == 0 && !b.ended {
			b.more.Wait()
		}
		list, ended := b.queue, b.ended
		b.queue = nil
		b.mu.Unlock()
		for i := range list {
			b.drv.add(&list[i])
			b.mu.Lock()
			b.size -= len(list[i].Line)
			b.mu.Unlock()
		}
		b.drv.flush()
		if ended && len(list) == 0 {
			b.drv.close()
			return
		}
	}
}

// close waits until all is written, for as long as the driver's own deadlines let it.
func (b *buffer) close() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.more.Signal()
	<-b.done
}
