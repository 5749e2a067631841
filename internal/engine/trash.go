package engine

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// trash does what nobody waits for: deleting directories, and making records durable. One goroutine,
// there while there is something to do.
type trash struct {
	e     *Engine
	mu    sync.Mutex
	queue []func()
	dirty map[string]bool // directories with records to sync
	busy  bool
}

func (t *trash) start(e *Engine) { t.e, t.dirty = e, make(map[string]bool) }

// trashDir holds what is to be deleted: whatever is in it is nobody's.
func (e *Engine) trashDir() string { return filepath.Join(e.opts.DataRoot, "containers-trash") }

func (t *trash) do(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, f)
	if !t.busy {
		t.busy = true
		t.e.background(t.run)
	}
}

func (t *trash) run() {
	for {
		t.mu.Lock()
		if len(t.queue) == 0 || t.e.running.Err() != nil {
			t.busy, t.queue = false, nil
			t.mu.Unlock()
			return
		}
		f := t.queue[0]
		t.queue = t.queue[1:]
		t.mu.Unlock()
		f()
	}
}

// bin moves a directory out of the way and has it deleted.
func (t *trash) bin(dir string) error {
	to := filepath.Join(t.e.trashDir(), filepath.Base(dir))
	err := os.Rename(dir, to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t.do(func() {
		if err := t.e.opts.Roots.Remove(to); err != nil {
			t.e.log.Warn("deleting a container's directory; the next start tries again", "dir", to, "error", err)
		}
	})
	return nil
}

// sync makes the record in a directory durable, some time soon.
func (t *trash) sync(dir string) {
	t.mu.Lock()
	due := t.dirty[dir]
	t.dirty[dir] = true
	t.mu.Unlock()
	if due {
		return
	}
	t.do(func() {
		t.mu.Lock()
		delete(t.dirty, dir)
		t.mu.Unlock()
		if err := syncRecord(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.e.log.Warn("a container's record may not outlive a power loss", "dir", dir, "error", err)
		}
	})
}
