package image

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	attempts    = 3 // of a layer whose stream broke, each going on where the last one ended; the registry client has its own within each
	cleanupTime = 30 * time.Second
)

// opener reads a blob from an offset.
type opener func(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)

// stack brings the layers of one image into the store: blobs and snapshots.
type stack struct {
	store  *Store
	open   opener       // nil: all blobs are in the store already
	fresh  *freshLayers // unpacked already; may be nil
	report Report
	layers []Layer
	slots  chan struct{}   // layers coming in at a time
	done   []chan struct{} // closed when that layer's snapshot is committed
}

// run returns when every layer is there or one failed. ctx carries a lease.
func (st *stack) run(ctx context.Context) error {
	st.slots = make(chan struct{}, st.store.opts.Parallel)
	st.done = make([]chan struct{}, len(st.layers))
	for i := range st.done {
		st.done[i] = make(chan struct{})
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range st.layers {
		g.Go(func() error {
			if err := st.layer(ctx, i); err != nil {
				return fmt.Errorf("layer %s: %w", short(st.layers[i].Blob.Digest), err)
			}
			close(st.done[i])
			return nil
		})
	}
	return g.Wait()
}

// here says whether every layer is in the store and unpacked, and holds them if so.
func (st *stack) here(ctx context.Context) (bool, error) {
	for _, l := range st.layers {
		unpacked, err := st.store.holdChain(ctx, l.Chain)
		if err != nil || !unpacked {
			return false, err
		}
		if here, err := st.store.hold(ctx, l.Blob.Digest); err != nil || !here {
			return false, err
		}
	}
	return true, nil
}

func (st *stack) say(i int, status string, current, total int64) {
	if st.report != nil {
		st.report(Progress{ID: short(st.layers[i].Blob.Digest), Status: status, Current: current, Total: total})
	}
}

// below waits for the layer under i and returns its chainID; "" for the lowest.
func (st *stack) below(ctx context.Context, i int) (ChainID, error) {
	if i == 0 {
		return "", nil
	}
	select {
	case <-st.done[i-1]:
		return st.layers[i-1].Chain, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// layer brings in layer i.
func (st *stack) layer(ctx context.Context, i int) error {
	l := st.layers[i]
	unpacked, err := st.store.holdChain(ctx, l.Chain)
	if err != nil {
		return err
	}
	here, err := st.store.hold(ctx, l.Blob.Digest)
	if err != nil {
		return err
	}
	if unpacked && here {
		st.say(i, "Already exists", 0, 0)
		return nil
	}
	st.say(i, "Pulling fs layer", 0, 0)
	var fresh *extraction
	switch {
	case here && !unpacked && st.store.opts.Rebase:
		if fresh, err = st.local(ctx, i); err != nil {
			return err
		}
	case !here:
		if fresh, err = st.blob(ctx, i, !unpacked && st.store.opts.Rebase); err != nil {
			return err
		}
		st.say(i, "Download complete", 0, 0)
	}
	if unpacked {
		st.say(i, "Pull complete", 0, 0)
		return nil
	}
	st.say(i, "Extracting", l.Blob.Size, l.Blob.Size)
	if err := st.commit(ctx, i, fresh); err != nil {
		return err
	}
	st.say(i, "Pull complete", 0, 0)
	return nil
}

// local unpacks layer i from its blob in the store, without waiting for the layers below.
func (st *stack) local(ctx context.Context, i int) (*extraction, error) {
	if x := st.fresh.take(st.layers[i].Blob.Digest); x != nil {
		return x, nil
	}
	select {
	case st.slots <- struct{}{}:
		defer func() { <-st.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return st.store.extractBlob(ctx, st.layers[i], "", i == 0)
}

// extraction is a layer in a snapshot that is not committed yet.
type extraction struct {
	key string
	Unpacked
}

// blob fetches the blob of layer i into the store. With unpack it is extracted on the way, and
// what was extracted is returned, if that came to its end; otherwise nil.
func (st *stack) blob(ctx context.Context, i int, unpack bool) (*extraction, error) {
	desc := st.layers[i].Blob
	if st.open == nil {
		return nil, fmt.Errorf("blob %s is not in the store: %w", desc.Digest, errdefs.ErrNotFound)
	}
	select {
	case st.slots <- struct{}{}:
		defer func() { <-st.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// The same blob may be in this image twice, or be fetched by another pull: once is enough.
	unlock, err := st.store.busy.lock(ctx, desc.Digest.String())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if here, err := st.store.hold(ctx, desc.Digest); err != nil || here {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		x, offset, err := st.fetch(ctx, i, unpack && attempt == 1)
		if err == nil || ctx.Err() != nil || attempt == attempts || !temporary(err) {
			return x, err
		}
		st.say(i, fmt.Sprintf("Retrying at %d bytes", offset), 0, 0)
		select {
		case <-time.After(time.Duration(attempt) * st.store.backoff):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// temporary says whether reading on may help.
func temporary(err error) bool {
	return errdefs.IsUnavailable(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(anotherTry))
}

// fetch is one attempt of blob. offset is how far it came.
func (st *stack) fetch(ctx context.Context, i int, unpack bool) (_ *extraction, offset int64, err error) {
	s, desc := st.store, st.layers[i].Blob
	w, err := content.OpenWriter(ctx, s.blobs, content.WithRef("layer-"+desc.Digest.String()), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil, desc.Size, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer w.Close()
	status, err := w.Status()
	if err != nil {
		return nil, 0, err
	}
	offset = status.Offset
	if offset > desc.Size {
		if err := w.Truncate(0); err != nil {
			return nil, 0, err
		}
		offset = 0
	}
	begun := offset
	var x *extraction
	var body io.ReadCloser
	var refused error // by the unpacker
	if offset < desc.Size {
		if body, err = st.open(ctx, desc, offset); err != nil {
			return nil, offset, err
		}
		defer body.Close()
		// One byte more than there may be: a registry that sends more is not believed.
		in := newIntake(io.LimitReader(body, desc.Size-offset+1), s.room(w), offset, func(n int64) { st.say(i, "Downloading", n, desc.Size) })
		defer in.stop()
		if unpack && offset == 0 {
			x, refused = s.extract(ctx, st.layers[i].Chain, "", in, i == 0)
		}
		// Without an extraction, or when it failed for a reason of its own, the bytes still
		// come in: whether they are the blob's is known at their end. A stream that broke is
		// the error that counts.
		if in.state().err != nil {
			refused = nil
		}
		_ = in.drain() // in keeps the error
		got := in.state()
		offset = got.n
		err := got.err
		switch {
		case got.wrote && refused != nil:
			err = refused
		case err == nil && got.n < desc.Size:
			err = io.ErrUnexpectedEOF
		case err == nil && got.n > desc.Size:
			err = errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("more than its %d bytes came", desc.Size))
		}
		if err != nil {
			if x != nil {
				s.drop(ctx, x)
			}
			return nil, offset, err
		}
	}
	s.opts.At("layer.received")
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		if x != nil {
			s.drop(ctx, x)
		}
		// What is there is wrong; the next attempt must not go on from it.
		if abort := s.blobs.Abort(ctx, "layer-"+desc.Digest.String()); abort != nil && !errdefs.IsNotFound(abort) {
			err = errors.Join(err, abort)
		}
		return nil, 0, otherBytes(desc, begun, body, err)
	}
	if refused != nil {
		return nil, desc.Size, refused
	}
	s.opts.At("layer.stored")
	return x, desc.Size, nil
}

// anotherTry is an error after which the blob is fetched again, from its start.
type anotherTry struct{ error }

func (e anotherTry) Unwrap() error { return e.error }

// distruster is a stream of a registry that may have further hosts for a blob: Distrust says that
// it gave wrong bytes, and is answered with whether another host is left to ask.
type distruster interface{ Distrust() (more bool) }

// otherBytes is the error of a blob that could not be committed, which began as the first begun
// bytes of an earlier attempt. Wrong bytes of then, or of one host of many, do not spoil the pull.
func otherBytes(desc ocispec.Descriptor, begun int64, body io.ReadCloser, err error) error {
	wrong := errdefs.IsFailedPrecondition(err)
	err = fmt.Errorf("what came is not %s: %w", desc.Digest, err)
	if !wrong {
		return err
	}
	more := false
	if d, ok := body.(distruster); ok {
		more = d.Distrust()
	}
	if begun > 0 || more {
		return anotherTry{err}
	}
	return err
}

// extract unpacks r into a new snapshot above parent ("" for none, or for none yet; bottom says which).
func (s *Store) extract(ctx context.Context, chain ChainID, parent ChainID, r io.Reader, bottom bool) (*extraction, error) {
	x := &extraction{key: extractKey + rand.Text() + " " + string(chain)}
	mounts, err := s.snaps.Prepare(ctx, x.key, string(parent))
	if err != nil {
		return nil, fmt.Errorf("making a snapshot: %w", err)
	}
	s.opts.At("layer.prepared")
	if x.Unpacked, err = s.opts.Unpacker.Unpack(ctx, mounts, r, bottom); err != nil {
		s.drop(ctx, x)
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	s.opts.At("layer.unpacked")
	return x, nil
}

// drop removes an extraction that is not wanted, also when ctx has ended.
func (s *Store) drop(ctx context.Context, x *extraction) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := s.snaps.Remove(ctx, x.key); err != nil && !errdefs.IsNotFound(err) {
		s.opts.Log.Warn("removing an unfinished snapshot; the collector does it later", "key", x.key, "error", err)
	}
}

// commit makes the snapshot of layer i, from what was extracted while it came in, or from the
// blob in the store.
func (st *stack) commit(ctx context.Context, i int, x *extraction) (err error) {
	s, l := st.store, st.layers[i]
	defer func() {
		if err != nil && x != nil {
			s.drop(ctx, x)
		}
	}()
	parent, err := st.below(ctx, i)
	if err != nil {
		return err
	}
	based := false
	if x != nil && (x.NeedsParent && parent != "" || x.Again) {
		s.drop(ctx, x)
		x = nil
	}
	if x == nil {
		based = true
		if x, err = s.extractBlob(ctx, l, parent, i == 0); err != nil {
			return err
		}
	}
	if x.Orphan != nil {
		return fmt.Errorf("unpacking: %w", x.Orphan)
	}
	if x.DiffID != l.Diff {
		return fmt.Errorf("its uncompressed digest is %s, the config says %s: %w", x.DiffID, l.Diff, errdefs.ErrInvalidArgument)
	}
	return s.commitLayer(ctx, x, l.Chain, parent, based)
}

// extractBlob unpacks a layer whose blob is in the store, above parent.
func (s *Store) extractBlob(ctx context.Context, l Layer, parent ChainID, bottom bool) (*extraction, error) {
	r, err := s.blobs.ReaderAt(ctx, l.Blob)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return s.extract(ctx, l.Chain, parent, io.NewSectionReader(r, 0, r.Size()), bottom)
}

// commitLayer names a snapshot by its chainID. based says that it was made above its parent.
func (s *Store) commitLayer(ctx context.Context, x *extraction, chain, parent ChainID, based bool) error {
	labels := map[string]string{labelSize: strconv.FormatInt(x.Size, 10), labelSetID: strconv.FormatBool(x.SetID)}
	if x.NoRoot && parent != "" {
		labels[labelRoot] = "parent"
	}
	opts := []snapshots.Opt{snapshots.WithLabels(labels)}
	if !based && parent != "" {
		opts = append(opts, snapshots.WithParent(string(parent)))
	}
	err := s.snaps.Commit(ctx, string(chain), x.key, opts...)
	if errdefs.IsAlreadyExists(err) { // another pull was faster
		s.drop(ctx, x)
		_, err = s.holdChain(ctx, chain)
	}
	if err != nil {
		return fmt.Errorf("committing the snapshot: %w", err)
	}
	s.opts.At("layer.committed")
	return nil
}
