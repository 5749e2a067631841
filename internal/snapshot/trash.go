package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// trash deletes in the background what was moved into the trash directory.
type trash struct {
	s       *Snapshotter
	mu      sync.Mutex // one at a time deletes
	wake    chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	counter atomic.Uint64
}

func (t *trash) start(s *Snapshotter) {
	t.s = s
	t.counter.Store(uint64(time.Now().UnixNano()))
	t.wake = make(chan struct{}, 1)
	t.done = make(chan struct{})
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(t.done)
		for {
			select {
			case <-t.ctx.Done():
				return
			case <-t.wake:
			}
			if err := t.empty(t.ctx); err != nil && t.ctx.Err() == nil {
				s.log.Warn("deleting removed snapshots", "error", err)
			}
		}
	}()
}

// stop ends the work; what is left is deleted after the next start.
func (t *trash) stop() {
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
}

func (t *trash) kick() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// name is a new name in the trash.
func (t *trash) name() string { return strconv.FormatUint(t.counter.Add(1), 36) }

// empty deletes everything in the trash, the first error last.
func (t *trash) empty(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := make(map[string]error)
	for {
		// Deep directories are moved to the top while the trash is emptied, so it is read again
		// until nothing is left.
		fd, err := linux.OpenBeneath(t.s.trashDir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		entries, err := linux.ReadDir(fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
		worked := false
		for _, e := range entries {
			if failed[e.Name] != nil {
				continue
			}
			worked = true
			r := remover{top: t.s.trashDir, name: t.name}
			if err := r.delete(ctx, t.s.trashDir, e.Name, 0); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				failed[e.Name] = fmt.Errorf("delete trash/%s: %w", e.Name, err)
			}
			t.s.at("trash.deleted")
		}
		if !worked {
			break
		}
	}
	var errs []error
	for _, err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
