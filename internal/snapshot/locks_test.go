package snapshot

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGroupSync: callers that come while a round runs share the next one, and only that: a round
// that began before a caller came would miss its data.
func TestGroupSync(t *testing.T) {
	var g groupSync
	var rounds atomic.Int32
	started, release := make(chan struct{}), make(chan struct{})
	failed := errors.New("no space")
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.do(func() error { rounds.Add(1); close(started); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started
	const late = 20
	errs := make(chan error, late)
	for range late {
		wg.Go(func() { errs <- g.do(func() error { rounds.Add(1); return failed }) })
	}
	for { // until one of them waits to lead the next round
		g.mu.Lock()
		waits := g.next != nil
		g.mu.Unlock()
		if waits {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // the others join it
	if n := rounds.Load(); n != 1 {
		t.Errorf("%d rounds while the first runs", n)
	}
	close(release)
	wg.Wait()
	for range late {
		if err := <-errs; err != failed {
			t.Errorf("a late caller got %v, want its round's error", err)
		}
	}
	if n := rounds.Load(); n < 2 || n > 4 {
		t.Errorf("%d rounds for %d late callers, want one for all of them", n-1, late)
	}
}

func TestKeyLocks(t *testing.T) {
	var k keyLocks
	k.init()
	unlock := k.lock("a", "b")
	got := make(chan string, 2)
	go func() { defer k.lock("b", "c")(); got <- "bc" }()
	go func() { defer k.lock("d")(); got <- "d" }()
	if first := <-got; first != "d" {
		t.Errorf("%s passed while a and b are held", first)
	}
	select {
	case s := <-got:
		t.Errorf("%s passed while a and b are held", s)
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	if second := <-got; second != "bc" {
		t.Errorf("after unlock: %s", second)
	}
	if len(k.held) > 1 {
		t.Errorf("held in the end: %v", k.held)
	}
}
