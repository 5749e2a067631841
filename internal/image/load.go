package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// savedImage is one entry of manifest.json in an archive of `docker save`.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Load reads an archive of images: an OCI layout, or what `docker save` writes, plain or
// compressed. Images keep their digests where the archive has manifests. With platforms wanted,
// only what is for them comes in, and each image must have all of them.
func (s *Store) Load(ctx context.Context, r io.Reader, want []ocispec.Platform, report Report) error {
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return err
	}
	defer release()
	a, err := s.readArchive(ctx, r, report)
	if err != nil {
		return err
	}
	defer a.drop(ctx, s)
	var loaded []loadedImage
	switch {
	case a.has(ocispec.ImageIndexFile):
		loaded, err = s.loadLayout(ctx, a, want)
	case a.has("manifest.json"):
		loaded, err = s.loadDocker(ctx, a, want)
	default:
		return errdefs.ErrInvalidArgument.WithMessage("the archive has neither index.json nor manifest.json: it holds no images (docker import takes root file systems)")
	}
	if err != nil {
		return err
	}
	for _, l := range loaded {
		if err := s.nameLoaded(ctx, l, report); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) has(name string) bool {
	_, err := a.file(name)
	return err == nil
}

// loadedImage is an image whose documents are in the store, with the names it shall get.
type loadedImage struct {
	target ocispec.Descriptor
	names  []reference.Reference
}

// nameLoaded makes a loaded image visible.
func (s *Store) nameLoaded(ctx context.Context, l loadedImage, report Report) error {
	img, err := s.read(ctx, l.target, s.host)
	if err != nil {
		return err
	}
	line := func(text string) {
		if report != nil {
			report(Progress{Status: text + "\n", Stream: true})
		}
	}
	for _, ref := range l.names {
		if err := s.setNames(ctx, l.target, ref.String()); err != nil {
			return err
		}
		line("Loaded image: " + ref.Familiar())
	}
	if len(l.names) == 0 {
		if err := s.nameNothing(ctx, l.target); err != nil {
			return err
		}
		line("Loaded image ID: " + string(img.ID))
	}
	s.publish("load", string(img.ID), eventAttributes(img.Config, string(img.ID)))
	return nil
}

// nameNothing keeps a target that has no name.
func (s *Store) nameNothing(ctx context.Context, target ocispec.Descriptor) error {
	s.names.Lock()
	defer s.names.Unlock()
	return s.dangle(ctx, target, "")
}

// Limits of manifest.json, beside those of an archive.
const (
	maxImages = 1000 // of one archive
	maxNames  = 1000 // of all of them together
)

// parseSaved reads manifest.json of an archive.
func parseSaved(raw []byte) ([]savedImage, error) {
	var saved []savedImage
	if err := manifest.UnmarshalArray(raw, &saved); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest.json of the archive: %v", err))
	}
	names := 0
	for _, e := range saved {
		names += len(e.RepoTags)
		if len(e.Layers) > manifest.MaxLayers {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest.json of the archive: an image with %d layers", len(e.Layers)))
		}
	}
	if len(saved) > maxImages || names > maxNames {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest.json of the archive: %d images with %d names", len(saved), names))
	}
	return saved, nil
}

// loadDocker reads the archive of a `docker save`: configs and layers, no manifests. The
// manifests are made here, the same ones each time.
func (s *Store) loadDocker(ctx context.Context, a *archive, want []ocispec.Platform) ([]loadedImage, error) {
	f, err := a.file("manifest.json")
	if err != nil {
		return nil, err
	}
	raw, err := s.readSmall(ctx, f)
	if err != nil {
		return nil, err
	}
	saved, err := parseSaved(raw)
	if err != nil {
		return nil, err
	}
	var out []loadedImage
	for _, e := range saved {
		var l loadedImage
		for _, t := range e.RepoTags {
			ref, err := reference.Parse(t)
			if err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("manifest.json of the archive: %v", err))
			}
			l.names = append(l.names, ref.WithDefaultTag())
		}
		c, err := a.file(e.Config)
		if err != nil {
			return nil, err
		}
		c.MediaType = ocispec.MediaTypeImageConfig
		if err := s.isFor(ctx, c, e.Config, want); err != nil {
			return nil, err
		}
		var layers []ocispec.Descriptor
		for _, name := range e.Layers {
			f, err := a.file(name)
			if err != nil {
				return nil, err
			}
			if f, err = s.portableLayer(ctx, f); err != nil {
				return nil, fmt.Errorf("layer %q of the archive: %w", shorten(name), err)
			}
			layers = append(layers, f)
		}
		doc, err := makeManifest(c, layers)
		if err != nil {
			return nil, err
		}
		if err := s.bring(ctx, doc, nil, a.fresh, nil); err != nil {
			return nil, fmt.Errorf("loading %s: %w", e.Config, err)
		}
		l.target = target(doc)
		out = append(out, l)
	}
	return out, nil
}

// makeManifest is the OCI manifest of a config and layers.
func makeManifest(config ocispec.Descriptor, layers []ocispec.Descriptor) (*manifest.Document, error) {
	if layers == nil {
		layers = []ocispec.Descriptor{}
	}
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    layers,
	})
	if err != nil {
		return nil, err
	}
	return manifest.Parse(ocispec.MediaTypeImageManifest, raw)
}

// loadLayout reads an OCI image layout (image-layout.md), which recent versions of Docker
// write too.
func (s *Store) loadLayout(ctx context.Context, a *archive, want []ocispec.Platform) ([]loadedImage, error) {
	f, err := a.file(ocispec.ImageIndexFile)
	if err != nil {
		return nil, err
	}
	raw, err := s.readSmall(ctx, f)
	if err != nil {
		return nil, err
	}
	index, err := manifest.Parse(ocispec.MediaTypeImageIndex, raw)
	if err != nil {
		return nil, fmt.Errorf("index.json of the archive: %w", err)
	}
	byDigest := make(map[digest.Digest]int)
	var out []loadedImage
	for _, m := range index.Manifests {
		ref, named, err := layoutName(m)
		if err != nil {
			return nil, err
		}
		at, known := byDigest[m.Digest]
		if !known {
			if err := s.loadTree(ctx, a, m, want); err != nil {
				return nil, fmt.Errorf("loading %s: %w", m.Digest, err)
			}
			at = len(out)
			byDigest[m.Digest] = at
			out = append(out, loadedImage{target: ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}})
		}
		if named {
			out[at].names = append(out[at].names, ref)
		}
	}
	return out, nil
}

// layoutName is the name that an entry of index.json gives: containerd's annotation has all of
// it; the specification's may be only a tag, which names nothing.
func layoutName(m ocispec.Descriptor) (reference.Reference, bool, error) {
	name := m.Annotations[images.AnnotationImageName]
	if name == "" {
		name = m.Annotations[ocispec.AnnotationRefName]
		if reference.CheckTag(name) == nil || name == "" {
			return reference.Reference{}, false, nil
		}
	}
	ref, err := reference.Parse(name)
	if err != nil {
		return ref, false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("index.json of the archive: %v", err))
	}
	return ref.WithDefaultTag(), true, nil
}

// loadTree brings in what an entry of index.json points to: the image for this host unpacked,
// others as blobs.
func (s *Store) loadTree(ctx context.Context, a *archive, root ocispec.Descriptor, want []ocispec.Platform) error {
	f := archiveDocuments{s, a}
	doc, err := f.FetchDocument(ctx, root)
	if err != nil {
		return err
	}
	if doc.Config != nil {
		if err := s.isFor(ctx, *doc.Config, root.Digest.String(), want); err != nil {
			return err
		}
		return s.loadManifest(ctx, a, doc)
	}
	present := func(d ocispec.Descriptor) bool { _, err := a.blob(d.Digest); return err == nil }
	picked, err := s.pickLocal(ctx, doc, s.host, 0)
	if len(want) > 0 {
		var chosen []*manifest.Document
		if chosen, err = s.tree(ctx, doc.Descriptor, root.Digest.String(), want); err == nil {
			picked = chosen[0]
			present = func(d ocispec.Descriptor) bool {
				return slices.ContainsFunc(chosen, func(c *manifest.Document) bool { return c.Descriptor.Digest == d.Digest })
			}
		}
	}
	if err != nil {
		return err
	}
	if err := s.loadManifest(ctx, a, picked); err != nil {
		return err
	}
	return manifest.Walk(ctx, f, doc, present, func(d *manifest.Document) error {
		switch {
		case d.Config == nil:
			labels := indexLabels(d)
			if len(want) > 0 { // the collector takes the others
				maps.DeleteFunc(labels, func(_, child string) bool {
					return !present(ocispec.Descriptor{Digest: digest.Digest(child)})
				})
			}
			return s.writeSmall(ctx, d.Descriptor, d.Raw, labels)
		case d.Descriptor.Digest == picked.Descriptor.Digest:
			return nil
		}
		return s.writeSmall(ctx, d.Descriptor, d.Raw, manifestLabels(d))
	})
}

// isFor says whether an image is for one of the platforms; all are when none is wanted.
func (s *Store) isFor(ctx context.Context, c ocispec.Descriptor, name string, want []ocispec.Platform) error {
	for _, p := range want {
		conf, err := s.config(ctx, c)
		if err != nil {
			return err
		}
		if !platforms.Only(platforms.Normalize(p)).Match(conf.image.Platform) {
			return missingPlatform(name, p)
		}
	}
	return nil
}

// loadManifest brings in one image of a layout.
func (s *Store) loadManifest(ctx context.Context, a *archive, doc *manifest.Document) error {
	for _, b := range doc.Blobs() {
		f, err := a.blob(b.Digest)
		if err != nil {
			return err
		}
		if f.Size != b.Size {
			return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("blob %s is %d bytes long, its manifest says %d", b.Digest, f.Size, b.Size))
		}
	}
	return s.bring(ctx, doc, nil, a.fresh, nil)
}

// archiveDocuments fetches documents that an archive brought.
type archiveDocuments struct {
	store *Store
	a     *archive
}

func (f archiveDocuments) FetchDocument(ctx context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	file, err := f.a.blob(desc.Digest)
	if err != nil {
		return nil, err
	}
	if file.Size != desc.Size {
		return nil, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("blob %s is %d bytes long, not %d", desc.Digest, file.Size, desc.Size))
	}
	return f.store.document(ctx, desc)
}
