package manifest

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of a tree of documents: an index of indexes of manifests has three levels.
const (
	MaxNesting = 4
	MaxTree    = 4 * MaxManifests
)

// Fetcher gets the document that a descriptor of an index points to, checked against it.
type Fetcher interface {
	FetchDocument(ctx context.Context, desc ocispec.Descriptor) (*Document, error)
}

// Walk visits the documents below root, children before their parents, each digest once, root last. Descriptors of an
// index that are not manifests or indexes (an index may point to anything) are not followed. keep, if not nil, says which
// children of an index are followed. A tree of more than MaxNesting levels or MaxTree documents is an error.
func Walk(ctx context.Context, f Fetcher, root *Document, keep func(ocispec.Descriptor) bool, visit func(*Document) error) error {
	w := walk{f: f, keep: keep, visit: visit, seen: make(map[digest.Digest]string)}
	return w.document(ctx, root, 1)
}

type walk struct {
	f     Fetcher
	keep  func(ocispec.Descriptor) bool
	visit func(*Document) error
	seen  map[digest.Digest]string // media type as which a digest was read
}

func (w *walk) document(ctx context.Context, d *Document, depth int) error {
	w.seen[d.Descriptor.Digest] = d.Descriptor.MediaType
	for _, child := range d.Manifests {
		if !IsIndex(child.MediaType) && !IsManifest(child.MediaType) || w.keep != nil && !w.keep(child) {
			continue
		}
		if as, ok := w.seen[child.Digest]; ok {
			if as != child.MediaType {
				return invalid("%s is named both as %s and as %s", child.Digest, as, child.MediaType)
			}
			continue
		}
		if depth == MaxNesting {
			return invalid("the index is nested deeper than %d levels", MaxNesting)
		}
		if len(w.seen) == MaxTree {
			return invalid("the index has more than %d manifests below it", MaxTree)
		}
		doc, err := w.f.FetchDocument(ctx, child)
		if err != nil {
			return err
		}
		if err := w.document(ctx, doc, depth+1); err != nil {
			return err
		}
	}
	return w.visit(d)
}
