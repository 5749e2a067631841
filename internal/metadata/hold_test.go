package metadata

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/snapshot"
)

// openWith opens a store with a snapshotter called "native", the collector not started.
func openWith(t *testing.T, dir string) (s *Store, shut func()) {
	t.Helper()
	lock, err := Lock(filepath.Join(dir, "meta"))
	if err != nil {
		t.Fatal(err)
	}
	sn, err := snapshot.Open(snapshot.Config{Root: filepath.Join(dir, "snapshots"), Driver: snapshot.Native})
	if err != nil {
		t.Fatal(err)
	}
	s, err = OpenPaused(t.Context(), lock, map[string]snapshots.Snapshotter{"native": sn}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	shut = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := sn.Close(); err != nil {
			t.Error(err)
		}
		lock.Close()
	})
	t.Cleanup(shut)
	return s, shut
}

// layer commits a snapshot under a lease, which it returns the end of.
func layer(t *testing.T, s *Store, name, parent string) (release func()) {
	t.Helper()
	ctx, release, err := s.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sn := s.Snapshotter("native")
	if _, err := sn.Prepare(ctx, name+"-active", parent); err != nil {
		t.Fatal(err)
	}
	if err := sn.Commit(ctx, name, name+"-active"); err != nil {
		t.Fatal(err)
	}
	return release
}

func (s *Store) hasSnapshot(t *testing.T, name string) bool {
	t.Helper()
	_, err := s.Snapshotter("native").Stat(s.Context(t.Context()), name)
	if err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestHoldKeepsLayers(t *testing.T) {
	dir := t.TempDir()
	s, shut := openWith(t, dir)
	s.Start()
	done := []func(){layer(t, s, "base", ""), layer(t, s, "top", "base"), layer(t, s, "other", "base")}
	key, release, err := s.Hold("native", "top")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, "hull/") || !strings.HasSuffix(key, "/top") {
		t.Errorf("key %q, want hull/NUMBER/top", key)
	}
	_, again, err := s.Hold("native", "top")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range done {
		d()
	}
	check := func(step string, base, top, other bool) {
		t.Helper()
		if err := s.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, p, o := s.hasSnapshot(t, "base"), s.hasSnapshot(t, "top"), s.hasSnapshot(t, "other"); b != base || p != top || o != other {
			t.Errorf("%s: base %v, top %v, other %v", step, b, p, o)
		}
	}
	check("held twice", true, true, false)
	release()
	release() // does nothing
	check("held once", true, true, false)

	// A restart: what is held again before Start stays.
	shut()
	s, _ = openWith(t, dir)
	_, third, err := s.Hold("native", "top")
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	again() // of the store that is closed
	check("held after a restart", true, true, false)
	third()
	check("not held", false, false, false)
	if _, _, err := s.Hold("native", "top"); !errdefs.IsNotFound(err) {
		t.Errorf("hold of a snapshot that is gone: %v", err)
	}
}

// TestHoldReleaseCollects: what a holding alone has kept goes by itself when it ends.
func TestHoldReleaseCollects(t *testing.T) {
	s, _ := openWith(t, t.TempDir())
	s.Start()
	if err := s.Collect(t.Context()); err != nil { // the sweep of the start is over
		t.Fatal(err)
	}
	lease := layer(t, s, "top", "")
	_, release, err := s.Hold("native", "top")
	if err != nil {
		t.Fatal(err)
	}
	lease()
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.dirty: // of the lease's end
	default:
	}
	release()
	if !eventually(func() bool { return !s.hasSnapshot(t, "top") }) {
		t.Error("the snapshot is still there")
	}
}

// TestHoldWaits: who comes while the collector has looked at what is held, and has not yet removed what is not,
// waits for it.
func TestHoldWaits(t *testing.T) {
	s, _ := openWith(t, t.TempDir())
	s.Start()
	defer layer(t, s, "top", "")()
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := s.held.StartCollection(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Active(namespace, func(gc.Node) {})
	got := make(chan error)
	go func() {
		_, release, err := s.Hold("native", "top")
		if err == nil {
			defer release()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Errorf("it did not wait: %v", err)
		return
	case <-time.After(100 * time.Millisecond):
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestHoldRacesCollection: a holding that was granted is never broken by a collection under way.
func TestHoldRacesCollection(t *testing.T) {
	s, _ := openWith(t, t.TempDir())
	s.Start()
	for i := range 40 {
		lease := layer(t, s, "top", "")
		var wg sync.WaitGroup
		var held bool
		var release func()
		wg.Go(func() { lease(); _ = s.Collect(t.Context()) })
		wg.Go(func() {
			_, r, err := s.Hold("native", "top")
			held, release = err == nil, r
		})
		wg.Wait()
		if held != s.hasSnapshot(t, "top") {
			t.Fatalf("round %d: held %v, there %v", i, held, !held)
		}
		if held {
			release()
			if err := s.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func eventually(f func() bool) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}
