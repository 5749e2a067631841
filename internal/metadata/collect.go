package metadata

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// quiet is how long the collector waits after a deletion for more of them.
const quiet = 200 * time.Millisecond

// Schedule asks for a collection soon, in the background.
func (s *Store) Schedule() {
	select {
	case s.dirty <- struct{}{}:
	default: // one is due already
	}
}

// Collect removes what nothing refers to, and returns when the store's records and the blobs
// are gone. Deletions of other callers wait meanwhile, reads do not.
func (s *Store) Collect(ctx context.Context) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return s.collectNow(ctx)
}

// collectNow is Collect for who has busy.
func (s *Store) collectNow(ctx context.Context) error {
	stats, err := s.db.GarbageCollect(s.Context(ctx))
	if err != nil {
		return fmt.Errorf("collecting what nothing refers to: %w", err)
	}
	s.log.Debug("collected", "took", stats.Elapsed())
	return nil
}

// sweep removes blobs and snapshots that are on disk and not in the database: a process killed
// between the two leaves them. containerd's collector looks for those only where something was
// deleted since the process started, so something is. The caller has busy.
func (s *Store) sweep(ctx context.Context) error {
	leased, release, err := s.Lease(ctx)
	if err != nil {
		return err
	}
	defer release()
	blobs := s.Content()
	mark := []byte("hull sweep\n")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(mark), Size: int64(len(mark))}
	err = content.WriteBlob(leased, blobs, "sweep", bytes.NewReader(mark), desc)
	if err == nil {
		err = blobs.Delete(leased, desc.Digest)
	}
	if err != nil {
		return fmt.Errorf("marking the content store: %w", err)
	}
	for _, name := range s.snap {
		sn := s.Snapshotter(name)
		if _, err := sn.Prepare(leased, sweepKey, ""); err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("marking the snapshotter %s: %w", name, err)
		}
		if err := sn.Remove(leased, sweepKey); err != nil {
			return fmt.Errorf("marking the snapshotter %s: %w", name, err)
		}
	}
	return s.collectNow(ctx)
}

// sweepKey is of a snapshot that exists for a moment.
const sweepKey = "sweep"

// sweepAgain is when a sweep that failed, as on a full disk, is tried again if nothing is deleted.
const sweepAgain = time.Minute

// collect is the background worker, after a sweep that succeeded or not. It ends with ctx.
func (s *Store) collect(ctx context.Context, swept bool) {
	for {
		var again <-chan time.Time
		if !swept {
			again = time.After(sweepAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.dirty:
		case <-again:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(quiet):
		}
		s.at("collect.before")
		if !swept {
			s.busy.Lock()
			swept = s.sweep(ctx) == nil
			s.busy.Unlock()
		}
		if err := s.Collect(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the store was not collected; the next deletion tries again", "error", err)
		}
		s.at("collect.after")
	}
}
