package metadata

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// schema is the version of what Hull itself keeps in the database and of the conventions in
// its labels. containerd's part has a version of its own, which containerd migrates.
const schema = 1

// namespace is containerd's: everything of Hull is in this one.
const namespace = "hull"

var (
	bucketHull = []byte("hull")
	keySchema  = []byte("schema")
)

// Store is the open database with the blobs. Its methods may be called at the same time.
type Store struct {
	bolt *bolt.DB
	db   *metadata.DB
	disk diskStore // the blobs below the database
	snap []string  // names of snapshotters
	log  *slog.Logger

	at     func(point string)
	busy   sync.Mutex    // held while the collector or a check compares disk and database
	dirty  chan struct{} // one element: a collection is due
	held   held
	start  func() // starts the collector
	stop   context.CancelFunc
	worker sync.WaitGroup
}

// Lock takes the directory dir of a store for this process, making it (0700) when it is not
// there. Only who has it may open the store, or sweep what belongs to it (snapshots). bbolt's
// own lock would do, but waits, and says only "timeout".
func Lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("another hulld uses the data directory %s", dir))
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}

// Open opens the store whose directory lock (of Lock) holds, ends the leases that a killed
// process left, and starts the collector. Snapshotters are named as in labels. The lock stays
// the caller's. at, if not nil, is called at points of the collector where tests end the process.
func Open(ctx context.Context, lock *os.File, snapshotters map[string]snapshots.Snapshotter, log *slog.Logger, at func(point string)) (*Store, error) {
	s, err := OpenPaused(ctx, lock, snapshotters, log, at)
	if err == nil {
		s.Start()
	}
	return s, err
}

// OpenPaused is Open without the collector: who has snapshots to Hold does so and then calls Start.
func OpenPaused(ctx context.Context, lock *os.File, snapshotters map[string]snapshots.Snapshotter, log *slog.Logger, at func(point string)) (_ *Store, err error) {
	dir := filepath.Dir(lock.Name())
	if at == nil {
		at = func(string) {}
	}
	s := &Store{log: log, at: at, dirty: make(chan struct{}, 1)}
	defer func() {
		if err != nil && s.bolt != nil {
			_ = s.bolt.Close()
		}
	}()
	s.bolt, err = bolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bolt.Options{
		Timeout:      5 * time.Second, // the lock above is held, so nobody has a reason to hold this one
		FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", filepath.Join(dir, "meta.db"), err)
	}
	if err := checkSchema(s.bolt); err != nil {
		return nil, fmt.Errorf("database %s: %w", filepath.Join(dir, "meta.db"), err)
	}
	root := filepath.Join(dir, "content")
	if err := dropHalfMade(root); err != nil {
		return nil, err
	}
	disk, err := local.NewStore(root)
	if err != nil {
		return nil, fmt.Errorf("opening the content store: %w", err)
	}
	s.disk = diskStore{blobs{disk, root}, root, at}
	s.snap = slices.Sorted(maps.Keys(snapshotters))
	s.db = metadata.NewDB(s.bolt, s.disk, snapshotters)
	s.held.snapshots = make(map[heldSnapshot]*holding)
	s.db.RegisterCollectibleResource(resourceHeld, &s.held)
	if err := s.db.Init(ctx); err != nil {
		return nil, fmt.Errorf("reading the database: %w", err)
	}
	if err := s.endLeases(s.Context(ctx)); err != nil {
		return nil, err
	}
	s.db.RegisterMutationCallback(func(dirty bool) {
		if dirty {
			s.Schedule()
		}
	})
	background, stop := context.WithCancel(s.Context(context.WithoutCancel(ctx)))
	s.stop = stop
	s.busy.Lock() // whoever asks for a collection or a check waits for the sweep
	s.start = func() {
		s.worker.Go(func() {
			err := s.sweep(background)
			s.busy.Unlock()
			if err != nil && background.Err() == nil {
				s.log.Error("what a crash left was not swept; it is tried again", "error", err)
			}
			s.collect(background, err == nil)
		})
	}
	return s, nil
}

// Start starts the collector of a store of OpenPaused, once. Until then Collect waits.
func (s *Store) Start() { s.start() }

func checkSchema(db *bolt.DB) error {
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketHull)
		if err != nil {
			return err
		}
		v := b.Get(keySchema)
		if v == nil {
			return b.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema))
		}
		if len(v) != 4 {
			return fmt.Errorf("its schema version is %d bytes long: %w", len(v), errdefs.ErrDataLoss)
		}
		if have := binary.BigEndian.Uint32(v); have > schema {
			return fmt.Errorf("it was written by a newer hulld (schema %d, this one knows %d): %w", have, schema, errdefs.ErrFailedPrecondition)
		}
		return nil
	})
}

// Context is ctx with the namespace that every call of Content, Images, Leases and
// Snapshotter needs.
func (s *Store) Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, namespace)
}

// Content holds the blobs.
func (s *Store) Content() content.Store { return s.db.ContentStore() }

// Images holds the names.
func (s *Store) Images() images.Store { return metadata.NewImageStore(s.db) }

// Leases says what is kept while no name refers to it yet.
func (s *Store) Leases() leases.Manager { return metadata.NewLeaseManager(s.db) }

// Snapshotter is one of those given to Open, under the collector's eyes; nil if there is none
// of that name.
func (s *Store) Snapshotter(name string) snapshots.Snapshotter { return s.db.Snapshotter(name) }

// Version tells states of the database apart: while it is the same, nothing was written.
func (s *Store) Version() (version int, err error) {
	err = s.bolt.View(func(tx *bolt.Tx) error {
		version = tx.ID()
		return nil
	})
	return version, err
}

// Close waits for a running collection and closes the database. The store must not be used
// after.
func (s *Store) Close() error {
	s.stop()
	s.worker.Wait()
	return s.bolt.Close()
}
