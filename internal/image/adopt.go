package image

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
)

// Adopt names an image whose documents and blobs another part of hulld has written into the content store
// (a build), and unpacks what is for this host. ctx must carry a lease under which they are. Without names it is kept as a
// dangling image.
func (s *Store) Adopt(ctx context.Context, target ocispec.Descriptor, names []string) error {
	ctx = s.meta.Context(ctx)
	doc, err := s.document(ctx, target)
	if err != nil {
		return fmt.Errorf("adopting %s: %w", target.Digest, err)
	}
	if err := s.adopt(ctx, doc); err != nil {
		return fmt.Errorf("adopting %s: %w", target.Digest, err)
	}
	if len(names) == 0 {
		return s.nameNothing(ctx, target)
	}
	return s.setNames(ctx, target, names...)
}

func (s *Store) adopt(ctx context.Context, doc *manifest.Document) error {
	if doc.Config != nil {
		return s.bring(ctx, doc, nil, nil, nil)
	}
	picked, err := s.pickLocal(ctx, doc, s.host, 0)
	if errdefs.IsNotFound(err) {
		err = nil // it was built for other platforms alone
	} else if err == nil {
		err = s.bring(ctx, picked, nil, nil, nil)
	}
	if err != nil {
		return err
	}
	here := func(d ocispec.Descriptor) bool { ok, err := s.has(ctx, d.Digest); return err == nil && ok }
	return manifest.Walk(ctx, s, doc, here, func(d *manifest.Document) error {
		if d.Config == nil {
			return s.writeSmall(ctx, d.Descriptor, d.Raw, indexLabels(d))
		}
		return s.writeSmall(ctx, d.Descriptor, d.Raw, manifestLabels(d))
	})
}
