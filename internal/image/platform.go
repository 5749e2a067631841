package image

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
)

// FindFor is Find of the image that an index has for a platform. An image that is not for it is as good as none.
func (s *Store) FindFor(ctx context.Context, name string, want ocispec.Platform) (*Image, error) {
	ctx = s.meta.Context(ctx)
	img, by, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	match := platforms.Only(platforms.Normalize(want))
	for _, t := range img.Targets {
		one, err := s.read(ctx, t, match)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if match.Match(one.Config.Platform) {
			one.Targets, one.Tags, one.Digests, one.TaggedAt = img.Targets, img.Tags, img.Digests, img.TaggedAt
			desc := target(one.Manifest)
			desc.Platform = &one.Config.Platform
			one.Chosen = &desc
			return one, nil
		}
	}
	return nil, missingPlatform(shown(by, name), want)
}

func shown(by found, name string) string {
	if by.byID {
		return shorten(name)
	}
	return by.ref.Familiar()
}

// missingPlatform is Docker's error.
func missingPlatform(name string, want ocispec.Platform) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("image with reference %s was found but does not provide the specified platform (%s)", name, platforms.FormatAll(want)))
}

// Kinds of a manifest in an index.
const (
	KindImage       = "image"
	KindAttestation = "attestation"
	KindUnknown     = "unknown"
)

// ManifestInfo is one manifest of an image: the only one, or each of its index.
type ManifestInfo struct {
	Descriptor ocispec.Descriptor
	Available  bool   // all of its blobs are here
	Kind       string // KindImage, …
	Content    int64  // bytes of its blobs that are here, its own included
	Unpacked   int64  // bytes of its layers' files
	Platform   ocispec.Platform
	For        digest.Digest // of an attestation: the manifest that it is about
}

// annotationKind and annotationFor are BuildKit's, on entries of an index.
const (
	annotationKind = "vnd.docker.reference.type"
	annotationFor  = "vnd.docker.reference.digest"
)

// Manifests lists those of the image's newest target.
func (s *Store) Manifests(ctx context.Context, img *Image) ([]ManifestInfo, error) {
	ctx = s.meta.Context(ctx)
	doc, err := s.document(ctx, img.Targets[0])
	if err != nil {
		return nil, err
	}
	entries := doc.Manifests
	if doc.Config != nil {
		desc := doc.Descriptor
		desc.Platform = &img.Config.Platform
		entries = []ocispec.Descriptor{desc}
	}
	out := []ManifestInfo{}
	for _, e := range entries {
		m, err := s.manifestInfo(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (s *Store) manifestInfo(ctx context.Context, e ocispec.Descriptor) (ManifestInfo, error) {
	m := ManifestInfo{Descriptor: e, Kind: KindUnknown}
	if manifest.IsManifest(e.MediaType) {
		m.Kind = KindImage
	}
	if e.Annotations[annotationKind] == "attestation-manifest" {
		m.Kind, m.For = KindAttestation, digest.Digest(e.Annotations[annotationFor])
	}
	if e.Platform != nil {
		m.Platform = *e.Platform
	}
	if here, err := s.has(ctx, e.Digest); err != nil || !here || m.Kind == KindUnknown {
		return m, err
	}
	doc, err := s.document(ctx, e)
	if err != nil {
		return m, err
	}
	m.Available = true
	m.Content = doc.Descriptor.Size
	for _, b := range doc.Blobs() {
		if here, err := s.has(ctx, b.Digest); err != nil {
			return m, err
		} else if here {
			m.Content += b.Size
		} else {
			m.Available = false
		}
	}
	if m.Kind == KindImage && m.Available {
		c, err := s.config(ctx, *doc.Config)
		if err != nil {
			return m, err
		}
		if e.Platform == nil {
			m.Platform = c.image.Platform
		}
		layers, err := s.layers(ctx, doc, c.image)
		if err != nil {
			return m, err
		}
		for _, l := range layers {
			m.Unpacked += l.Size
		}
	}
	return m, nil
}

// RemovePlatforms takes those manifests of a name's index away that are for the platforms, and leaves the name. An
// image that is for one platform only cannot lose it.
func (s *Store) RemovePlatforms(ctx context.Context, name string, want []ocispec.Platform) ([]Removed, error) {
	ctx = s.meta.Context(ctx)
	s.names.Lock()
	defer s.names.Unlock()
	img, by, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	target := img.Targets[0]
	if !by.byID {
		r, err := s.records.Get(ctx, withoutTag(by.ref).String())
		if err != nil {
			return nil, err
		}
		target = r.Target
	}
	doc, err := s.document(ctx, target)
	if err != nil {
		return nil, err
	}
	if doc.Config != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("image " + shown(by, name) + " is for one platform only: remove the image")
	}
	gone := make(map[int]digest.Digest)
	for _, p := range want {
		match := platforms.OnlyStrict(platforms.Normalize(p))
		n := len(gone)
		for i, m := range doc.Manifests {
			if here, err := s.has(ctx, m.Digest); err != nil {
				return nil, err
			} else if here && m.Platform != nil && match.Match(*m.Platform) {
				gone[i] = m.Digest
			}
		}
		if len(gone) == n {
			return nil, missingPlatform(shown(by, name), p)
		}
	}
	left, err := s.imagesLeft(ctx, doc, gone)
	if err != nil {
		return nil, err
	}
	if !left {
		return nil, errdefs.ErrConflict.WithMessage("image " + shown(by, name) + " would have no platform left: remove the image")
	}
	labels := make(map[string]string)
	for i := range gone {
		labels[fmt.Sprintf("%sm.%d", labelRefBlob, i)] = "" // which takes the label away
	}
	if err := s.addLabels(ctx, doc.Descriptor.Digest, labels); err != nil {
		return nil, err
	}
	var out []Removed
	// Another index may have the same manifest: the collector knows.
	s.forget()
	if err := s.meta.Collect(ctx); err != nil {
		return nil, err
	}
	for _, i := range slices.Sorted(maps.Keys(gone)) {
		out = append(out, Removed{Deleted: gone[i].String()})
		s.publish("delete", gone[i].String(), map[string]string{"name": gone[i].String()})
	}
	return out, nil
}

// imagesLeft says whether an index has an image in the store beside those that go.
func (s *Store) imagesLeft(ctx context.Context, index *manifest.Document, gone map[int]digest.Digest) (bool, error) {
	for i, m := range index.Manifests {
		if _, goes := gone[i]; goes || !manifest.IsManifest(m.MediaType) || m.Annotations[annotationKind] != "" {
			continue
		}
		if here, err := s.has(ctx, m.Digest); err != nil || here {
			return here, err
		}
	}
	return false, nil
}
