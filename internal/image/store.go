package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/metadata"
)

// Labels of what the store keeps. The collector follows containerd's.
const (
	labelSize    = "hull/layer.size"                      // of a snapshot: bytes of its files, in decimal
	labelSetID   = "hull/layer.setid"                     // of a snapshot: "true" or "false", whether a file has a set-id bit or a capability
	labelRoot    = "containerd.io/snapshot/dev.hull.root" // of a commit: "parent" is whose root directory it gets (package snapshot)
	labelRefBlob = "containerd.io/gc.ref.content."
	labelRefSnap = "containerd.io/gc.ref.snapshot."
	labelSource  = "hull/source." // of a blob, with a registry's domain: repositories that have it
	danglingName = "dangling@"
	extractKey   = "extract-" // of a snapshot that is being unpacked
)

// Options of a Store.
type Options struct {
	Snapshotter string // its name in the metadata store
	// Rebase says that the snapshotter takes a layer's parent at commit
	// (snapshots.RebaseCap), so that layers can be unpacked at the same time.
	Rebase   bool
	Unpacker Unpacker
	Remote   Remote
	Events   *events.Bus // where the store says what happened; nil for nowhere
	Log      *slog.Logger
	// CheckSnapshots compares the snapshotter's records with its disk; nil if it cannot.
	CheckSnapshots func(ctx context.Context, repair bool) ([]Problem, error)
	// At is called where an operation has left something behind that a crash would leave, with
	// the point's name; tests end the process there. May be nil.
	At func(point string)
	// Free is the space left where the blobs are, in bytes; nil means that it does not matter.
	Free func() (int64, error)
	// Parallel is how many layers of one pull come in at a time; 0 is 4.
	Parallel int
}

// Store is the image store. Its methods may be called at the same time.
type Store struct {
	meta    *metadata.Store
	blobs   content.Store
	records images.Store
	snaps   snapshots.Snapshotter
	opts    Options
	host    platforms.MatchComparer
	backoff time.Duration // before the second attempt at a layer; each further one waits that longer
	busy    keyed

	names sync.Mutex // held while names change, for read-decide-write
	users func() []User

	cacheLock sync.Mutex
	cache     cache
}

// cacheMax bounds each half of the cache; a full one is emptied.
const cacheMax = 4096

// cache holds parsed documents and configs by digest: they cannot change.
type cache struct {
	documents map[digest.Digest]*manifest.Document
	configs   map[digest.Digest]*config
	chains    map[digest.Digest][]Layer // by manifest
	// all are the images of one version of the database.
	all     []*Image
	version int
}

type config struct {
	raw   []byte
	image *ocispec.Image
}

// New makes the store over meta.
func New(meta *metadata.Store, opts Options) (*Store, error) {
	snaps := meta.Snapshotter(opts.Snapshotter)
	if snaps == nil {
		return nil, fmt.Errorf("there is no snapshotter %q: %w", opts.Snapshotter, errdefs.ErrInvalidArgument)
	}
	if opts.At == nil {
		opts.At = func(string) {}
	}
	if opts.Events == nil {
		opts.Events = new(events.Bus)
	}
	if opts.Parallel == 0 {
		opts.Parallel = 4
	}
	s := &Store{
		meta:    meta,
		blobs:   meta.Content(),
		records: meta.Images(),
		snaps:   snaps,
		opts:    opts,
		host:    platforms.Default(),
		backoff: 200 * time.Millisecond,
	}
	s.forget()
	return s, nil
}

// publish says what happened to an image.
func (s *Store) publish(action, id string, attributes map[string]string) {
	s.opts.Events.Publish(events.Event{Type: events.Image, Action: action, Actor: events.Actor{ID: id, Attributes: attributes}})
}

// forget empties the cache.
func (s *Store) forget() {
	s.cacheLock.Lock()
	defer s.cacheLock.Unlock()
	s.cache = cache{
		documents: make(map[digest.Digest]*manifest.Document),
		configs:   make(map[digest.Digest]*config),
		chains:    make(map[digest.Digest][]Layer),
	}
}

// document reads a manifest or index from the store.
func (s *Store) document(ctx context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	s.cacheLock.Lock()
	doc := s.cache.documents[desc.Digest]
	s.cacheLock.Unlock()
	if doc != nil {
		return doc, nil
	}
	raw, err := s.readSmall(ctx, desc)
	if err != nil {
		return nil, err
	}
	doc, err = manifest.Parse(desc.MediaType, raw)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the store: %w", desc.Digest, err)
	}
	s.cacheLock.Lock()
	defer s.cacheLock.Unlock()
	if len(s.cache.documents) >= cacheMax {
		clear(s.cache.documents)
	}
	s.cache.documents[desc.Digest] = doc
	return doc, nil
}

// FetchDocument makes the store a manifest.Fetcher.
func (s *Store) FetchDocument(ctx context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	return s.document(s.meta.Context(ctx), desc)
}

// config reads the config that a manifest points to. An artifact's is no image's: it comes
// back with a zero image.
func (s *Store) config(ctx context.Context, desc ocispec.Descriptor) (*config, error) {
	s.cacheLock.Lock()
	c := s.cache.configs[desc.Digest]
	s.cacheLock.Unlock()
	if c != nil {
		return c, nil
	}
	raw, err := s.readSmall(ctx, desc)
	if err != nil {
		return nil, err
	}
	c = &config{raw: raw, image: &ocispec.Image{}}
	if isImageConfig(desc.MediaType) {
		if c.image, err = manifest.ParseConfig(raw); err != nil {
			return nil, fmt.Errorf("reading the config %s from the store: %w", desc.Digest, err)
		}
	}
	s.cacheLock.Lock()
	defer s.cacheLock.Unlock()
	if len(s.cache.configs) >= cacheMax {
		clear(s.cache.configs)
	}
	s.cache.configs[desc.Digest] = c
	return c, nil
}

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == images.MediaTypeDockerSchema2Config
}

// readSmall reads a document or config, which manifest.MaxSize bounds, and checks its digest:
// the disk is not trusted more than the network.
func (s *Store) readSmall(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	r, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > manifest.MaxSize {
		return nil, fmt.Errorf("blob %s is %d bytes long, more than a document may be: %w", desc.Digest, r.Size(), errdefs.ErrInvalidArgument)
	}
	raw := make([]byte, r.Size())
	if n, err := r.ReadAt(raw, 0); n < len(raw) {
		return nil, fmt.Errorf("reading blob %s: %w", desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(raw); got != desc.Digest {
		return nil, fmt.Errorf("blob %s is damaged on disk: %w", desc.Digest, errdefs.ErrDataLoss)
	}
	return raw, nil
}

// has says whether a blob is in the store, and notes it in the lease of ctx if so.
func (s *Store) has(ctx context.Context, d digest.Digest) (bool, error) {
	_, err := s.blobs.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// writeSmall puts a document or config into the store, with the labels that refer to others.
// One that is there already gets the labels too: it may be there for another platform's sake.
func (s *Store) writeSmall(ctx context.Context, desc ocispec.Descriptor, raw []byte, labels map[string]string) error {
	w, err := content.OpenWriter(ctx, s.blobs, content.WithRef("small-"+desc.Digest.String()), content.WithDescriptor(desc))
	switch {
	case errdefs.IsAlreadyExists(err):
		return s.addLabels(ctx, desc.Digest, labels)
	case err != nil:
		return err
	}
	defer w.Close()
	if err := w.Truncate(0); err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	err = w.Commit(ctx, int64(len(raw)), desc.Digest, content.WithLabels(labels))
	s.opts.At("document.stored")
	if errdefs.IsAlreadyExists(err) {
		return s.addLabels(ctx, desc.Digest, labels)
	}
	return err
}

func (s *Store) addLabels(ctx context.Context, d digest.Digest, labels map[string]string) error {
	if len(labels) == 0 {
		return nil
	}
	info := content.Info{Digest: d, Labels: maps.Clone(labels)}
	var paths []string
	for k := range labels {
		paths = append(paths, "labels."+k)
	}
	_, err := s.blobs.Update(ctx, info, paths...)
	return err
}

// keyed is a set of locks by name, each there while somebody wants it.
type keyed struct {
	mu    sync.Mutex
	locks map[string]chan struct{}
}

// lock waits for the lock of key or the end of ctx.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mu.Lock()
		held, ok := k.locks[key]
		if !ok {
			if k.locks == nil {
				k.locks = make(map[string]chan struct{})
			}
			mine := make(chan struct{})
			k.locks[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.locks, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), context.Cause(ctx))
		}
	}
}
