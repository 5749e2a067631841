package snapshot

import (
	"slices"
	"sync"
)

// keyLocks are locks by name: an operation holds the keys that it changes, so that a Remove does
// not meet a half-made directory.
type keyLocks struct {
	mu   sync.Mutex
	cond *sync.Cond
	held map[string]struct{}
}

func (k *keyLocks) init() {
	k.cond = sync.NewCond(&k.mu)
	k.held = make(map[string]struct{})
}

// lock takes the locks of all keys, all at once, so that their order does not matter.
func (k *keyLocks) lock(keys ...string) (unlock func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for slices.ContainsFunc(keys, func(key string) bool { _, held := k.held[key]; return held }) {
		k.cond.Wait()
	}
	for _, key := range keys {
		k.held[key] = struct{}{}
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, key := range keys {
			delete(k.held, key)
		}
		k.cond.Broadcast()
	}
}

// groupSync joins calls that wait for the same thing: those who come while one round runs share
// the next, which begins after they came. One syncfs serves all layers of an image.
type groupSync struct {
	mu            sync.Mutex
	running, next *round
}

type round struct {
	done chan struct{}
	err  error
}

func (g *groupSync) do(f func() error) error {
	g.mu.Lock()
	if r := g.next; r != nil {
		g.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &round{done: make(chan struct{})}
	g.next = r
	before := g.running
	g.mu.Unlock()
	if before != nil {
		<-before.done
	}
	g.mu.Lock()
	g.running, g.next = r, nil
	g.mu.Unlock()
	r.err = f()
	close(r.done)
	return r.err
}
