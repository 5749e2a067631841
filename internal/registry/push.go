package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// State is how far a blob of a push is.
type State int

// States of a blob, in Docker's words: "Waiting", "Pushing", "Pushed", "Layer already exists", "Mounted from".
const (
	Waiting State = iota
	Pushing
	Pushed
	AlreadyExists
	MountedFrom
)

// Event tells what a push does. Events of one blob come in order; those of several are not at the same time.
type Event struct {
	Desc  ocispec.Descriptor
	State State
	Done  int64 // bytes sent, in state Pushing
}

// PushOptions say more about a push.
type PushOptions struct {
	MountFrom func(ocispec.Descriptor) []reference.Repository // where a blob is known to be; may be nil
	Keep      func(ocispec.Descriptor) bool                   // which children of an index are pushed; nil for all
	Progress  func(Event)                                     // may be nil
}

// Push makes a reference name the document root, of which src has everything: the blobs of all manifests first, a few at a
// time, then the manifests, children before their indexes, root last. So whatever can be seen in the registry is complete.
// A document that the registry has already need not be in src.
func (c *Client) Push(ctx context.Context, ref reference.Reference, root ocispec.Descriptor, src Source, opts PushOptions) error {
	ref = ref.WithDefaultTag()
	if ref.Digest != "" && ref.Digest != root.Digest {
		return about("pushing", ref.String(), fmt.Errorf("the image has the digest %s: %w", root.Digest, errdefs.ErrInvalidArgument))
	}
	e, err := c.upstream(ctx, ref.Domain)
	if err != nil {
		return about("pushing", ref.String(), err)
	}
	p := &push{e: e, ref: ref, src: src, opts: opts}
	return about("pushing", ref.String(), p.run(ctx, root))
}

type push struct {
	e    *endpoint
	ref  reference.Reference
	src  Source
	opts PushOptions
	mu   sync.Mutex // one event at a time
}

func (p *push) run(ctx context.Context, root ocispec.Descriptor) error {
	top, err := p.FetchDocument(ctx, root)
	if err != nil {
		return err
	}
	var docs []*manifest.Document
	var blobs []ocispec.Descriptor
	seen := make(map[digest.Digest]bool)
	err = manifest.Walk(ctx, p, top, p.opts.Keep, func(d *manifest.Document) error {
		docs = append(docs, d)
		for _, b := range d.Blobs() {
			if !seen[b.Digest] {
				seen[b.Digest] = true
				blobs = append(blobs, b)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range blobs {
		p.tell(Event{Desc: b, State: Waiting})
	}
	if err := p.blobs(ctx, blobs); err != nil {
		return err
	}
	for _, d := range docs {
		at := p.ref.Repository.String()
		to := reference.Reference{Repository: p.ref.Repository, Digest: d.Descriptor.Digest}
		if d == top {
			to = p.ref
		}
		if err := p.e.putDocument(ctx, to, d); err != nil {
			return about("pushing", at+"@"+string(d.Descriptor.Digest), err)
		}
	}
	return nil
}

// FetchDocument implements manifest.Fetcher on the source.
func (p *push) FetchDocument(ctx context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	if err := manifest.CheckDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size > manifest.MaxSize {
		return nil, fmt.Errorf("manifest %s has %d bytes, the limit is %d: %w", desc.Digest, desc.Size, manifest.MaxSize, errdefs.ErrInvalidArgument)
	}
	r, err := p.src.OpenAt(ctx, desc, 0)
	if errdefs.IsNotFound(err) {
		// An index of which only some platforms were pulled: the registry may have the others.
		if doc, remote := p.e.document(ctx, reference.Reference{Repository: p.ref.Repository, Digest: desc.Digest}); remote == nil {
			return doc, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, desc.Size+1))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if int64(len(raw)) != desc.Size || desc.Digest.Algorithm().FromBytes(raw) != desc.Digest {
		return nil, fmt.Errorf("manifest %s is damaged in the store: %w", desc.Digest, errdefs.ErrDataLoss)
	}
	doc, err := manifest.Parse(desc.MediaType, raw)
	if err == nil {
		doc.Descriptor.Digest = desc.Digest
	}
	return doc, err
}

// blobs sends blobs, Limits.Parallel at a time, until the first error.
func (p *push) blobs(ctx context.Context, list []ocispec.Descriptor) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan ocispec.Descriptor)
	var wg sync.WaitGroup
	for range min(p.e.client.limits.Parallel, len(list)) {
		wg.Go(func() {
			for b := range queue {
				if err := p.blob(ctx, b); err != nil {
					cancel(about("pushing", p.ref.Repository.String()+"@"+string(b.Digest), err))
				}
			}
		})
	}
	for _, b := range list {
		select {
		case queue <- b:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func (p *push) blob(ctx context.Context, b ocispec.Descriptor) error {
	o := PushBlobOptions{Progress: func(done int64) { p.tell(Event{b, Pushing, done}) }}
	if p.opts.MountFrom != nil {
		o.MountFrom = p.opts.MountFrom(b)
	}
	out, err := p.e.pushBlob(ctx, p.ref.Repository, b, p.src, o)
	if err != nil {
		return err
	}
	state := [...]State{Uploaded: Pushed, Existed: AlreadyExists, Mounted: MountedFrom}[out]
	p.tell(Event{b, state, b.Size})
	return nil
}

func (p *push) tell(ev Event) {
	if p.opts.Progress == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opts.Progress(ev)
}

// PushDocument makes a reference name a document; its blobs must be there.
func (c *Client) PushDocument(ctx context.Context, ref reference.Reference, doc *manifest.Document) error {
	ref = ref.WithDefaultTag()
	e, err := c.upstream(ctx, ref.Domain)
	if err == nil {
		err = e.putDocument(ctx, ref, doc)
	}
	return about("pushing", ref.String(), err)
}

// putDocument sends a document. If it has a subject and the registry does not say that it noted that (OCI-Subject), the list
// under the subject's tag is written, as the distribution specification asks of clients.
func (e *endpoint) putDocument(ctx context.Context, ref reference.Reference, doc *manifest.Document) error {
	name := ref.Tag
	if name == "" {
		name = string(doc.Descriptor.Digest)
	}
	resp, _, err := e.roundTrip(ctx, &request{
		method: http.MethodPut, url: e.at(ref.Repository, "manifests", name), header: http.Header{"Content-Type": {doc.Descriptor.MediaType}}, body: doc.Raw,
		scopes: pushScope(ref.Repository), commit: true, want: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
	})
	if err != nil {
		return err
	}
	if d := digest.Digest(resp.Header.Get("Docker-Content-Digest")); d != "" && d.Validate() == nil && d.Algorithm() == doc.Descriptor.Digest.Algorithm() && d != doc.Descriptor.Digest {
		return e.refuse(errdefs.ErrDataLoss, "took the manifest %s as %s", doc.Descriptor.Digest, oneLine(string(d), 150))
	}
	if doc.Subject == nil || resp.Header.Get("OCI-Subject") != "" {
		return nil
	}
	return e.noteReferrer(ctx, ref.Repository, doc)
}

// noteReferrer adds a document to the list under its subject's tag. Two clients that do so at once may lose one of the two: the
// convention has nothing against that.
func (e *endpoint) noteReferrer(ctx context.Context, repo reference.Repository, doc *manifest.Document) error {
	tag := referrersTag(repo, doc.Subject.Digest)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifest.OCIIndex, Manifests: []ocispec.Descriptor{}}
	old, err := e.document(ctx, tag)
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return err
	default:
		index.Manifests = old.Manifests
	}
	if slices.ContainsFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == doc.Descriptor.Digest }) {
		return nil
	}
	entry := doc.Descriptor
	entry.Annotations = doc.Annotations
	index.Manifests = append(index.Manifests, entry)
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	list, err := manifest.Parse(manifest.OCIIndex, raw)
	if err != nil {
		return err
	}
	return e.putDocument(ctx, tag, list)
}
