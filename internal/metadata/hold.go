package metadata

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// held are the snapshots that running code needs, in memory alone. The collector takes them for
// roots: it holds the lock from before it looks at what is needed until what is not is out of the
// database, so whoever comes later finds a snapshot that will stay, or none.
type held struct {
	mu        sync.Mutex
	snapshots map[heldSnapshot]*holding
}

type heldSnapshot struct{ snapshotter, name string }

type holding struct {
	key   string // in the snapshotter's own database
	users int
	// passed: a collection has run since, so perhaps the holding alone keeps the snapshot. Without
	// one, nothing was deleted, or the collection is still to come.
	passed bool
}

// resourceHeld is the type under which the collector asks for them; containerd leaves the numbers
// from here up to others.
const resourceHeld = gc.ResourceMax - 1

// Hold keeps a committed snapshot, and those below it, from being collected until release is
// called, which may be more than once. Nothing is written: after a restart, what needs it holds it again before Start.
// key is the snapshot's name in the snapshotter's own database (snapshot.Snapshotter.MountWritable
// wants it). NotFound: there is no such snapshot.
func (s *Store) Hold(snapshotter, name string) (key string, release func(), err error) {
	id := heldSnapshot{snapshotter, name}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	h := s.held.snapshots[id]
	if h == nil {
		if key, err = s.key(snapshotter, name); err != nil {
			return "", nil, err
		}
		h = &holding{key: key}
		s.held.snapshots[id] = h
	}
	h.users++
	return h.key, sync.OnceFunc(func() { s.unhold(id) }), nil
}

func (s *Store) unhold(id heldSnapshot) {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	h := s.held.snapshots[id]
	if h.users--; h.users > 0 {
		return
	}
	delete(s.held.snapshots, id)
	if h.passed {
		s.Schedule()
	}
}

// key is the name of a snapshot in the snapshotter's own database: containerd's buckets.go draws
// v1/NAMESPACE/snapshots/SNAPSHOTTER/NAME/name.
func (s *Store) key(snapshotter, name string) (key string, err error) {
	err = s.bolt.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("v1"))
		for _, k := range []string{namespace, "snapshots", snapshotter, name} {
			if b == nil {
				break
			}
			b = b.Bucket([]byte(k))
		}
		if b == nil {
			return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("there is no snapshot %s", name))
		}
		key = string(b.Get([]byte("name")))
		return nil
	})
	if err == nil && key == "" {
		err = errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("the record of snapshot %s has no name", name))
	}
	return key, err
}

// StartCollection implements containerd's metadata.Collector. It holds the lock until Finish or Cancel.
func (h *held) StartCollection(context.Context) (metadata.CollectionContext, error) {
	h.mu.Lock()
	return h, nil
}

// ReferenceLabel implements metadata.Collector: no label refers to a held snapshot.
func (h *held) ReferenceLabel() string { return "hull.held" }

// All implements metadata.CollectionContext: there is nothing here to be removed.
func (h *held) All(func(gc.Node)) {}

// Active implements metadata.CollectionContext.
func (h *held) Active(ns string, fn func(gc.Node)) {
	if ns != namespace {
		return
	}
	for id, holding := range h.snapshots {
		holding.passed = true
		fn(gc.Node{Type: metadata.ResourceSnapshot, Namespace: ns, Key: id.snapshotter + "/" + id.name})
	}
}

// Leased implements metadata.CollectionContext.
func (h *held) Leased(string, string, func(gc.Node)) {}

// Remove implements metadata.CollectionContext.
func (h *held) Remove(gc.Node) {}

// Cancel implements metadata.CollectionContext.
func (h *held) Cancel() error { return h.Finish() }

// Finish implements metadata.CollectionContext.
func (h *held) Finish() error {
	h.mu.Unlock()
	return nil
}
