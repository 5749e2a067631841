package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// Archive is a choice of images, ready to be written.
type Archive struct {
	store   *Store
	entries []archiveEntry
	release func()
	ctx     context.Context // carries the lease; the archive lives within one request
}

type archiveEntry struct {
	img   *Image
	tree  []*manifest.Document // children first
	names []reference.Reference
}

// Save chooses images by name for an archive, of an index all that is here, or what is wanted. Close must be called. Everything is looked up
// here, so that a wrong name is an error before the first byte.
func (s *Store) Save(ctx context.Context, names []string, want []ocispec.Platform) (_ *Archive, err error) {
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return nil, err
	}
	a := &Archive{store: s, release: release, ctx: ctx}
	defer func() {
		if err != nil {
			release()
		}
	}()
	all, err := s.Images(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := a.add(all, name, want); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add takes one name: a repository alone means all its tags, as Docker's save does.
func (a *Archive) add(all []*Image, name string, want []ocispec.Platform) error {
	matched := false
	if ref, err := reference.Parse(name); err == nil && ref.Tag == "" && ref.Digest == "" {
		for _, img := range all {
			for _, t := range img.Tags {
				if t.Repository == ref.Repository {
					matched = true
					if err := a.addImage(img, t, want); err != nil {
						return err
					}
				}
			}
		}
	}
	if matched {
		return nil
	}
	img, by, err := among(all, name)
	if err != nil {
		return err
	}
	return a.addImage(img, by.ref, want)
}

func (a *Archive) addImage(img *Image, ref reference.Reference, want []ocispec.Platform) error {
	to := img.Targets[0]
	if ref != (reference.Reference{}) {
		r, err := a.store.records.Get(a.ctx, withoutTag(ref).String())
		if err != nil {
			return err
		}
		to = r.Target
	}
	if here, err := a.store.hold(a.ctx, to.Digest); err != nil || !here {
		return firstError(err, errdefs.ErrNotFound.WithMessage("No such image: "+string(img.ID)))
	}
	tree, err := a.store.tree(a.ctx, to, shown(found{ref: ref, byID: ref == (reference.Reference{})}, string(img.ID)), want)
	if err != nil {
		return err
	}
	root := tree[len(tree)-1].Descriptor.Digest
	i := slices.IndexFunc(a.entries, func(e archiveEntry) bool { return e.tree[len(e.tree)-1].Descriptor.Digest == root })
	if i < 0 {
		i = len(a.entries)
		a.entries = append(a.entries, archiveEntry{img: img, tree: tree})
	}
	if ref.Tag != "" && ref.Digest == "" && !slices.Contains(a.entries[i].names, ref) {
		a.entries[i].names = append(a.entries[i].names, ref)
	}
	return nil
}

// Close lets go of the images.
func (a *Archive) Close() { a.release() }

// Write writes the archive: an OCI image layout that is also what Docker's load reads
// (manifest.json). The same images give the same bytes.
func (a *Archive) Write(w io.Writer) error {
	t := tar.NewWriter(w)
	for _, d := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: 0o755}); err != nil {
			return err
		}
	}
	written := make(map[digest.Digest]bool)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	saved := []savedImage{}
	for _, e := range a.entries {
		for _, doc := range e.tree {
			for _, b := range append(doc.Blobs(), doc.Descriptor) {
				if written[b.Digest] {
					continue
				}
				written[b.Digest] = true
				if err := a.blob(t, b); err != nil {
					return fmt.Errorf("saving %s: %w", b.Digest, err)
				}
			}
		}
		index.Manifests = append(index.Manifests, e.descriptors()...)
		saved = append(saved, e.docker())
		a.store.publish("save", string(e.img.ID), eventAttributes(e.img.Config, string(e.img.ID)))
	}
	for _, f := range []struct {
		name string
		data any
	}{
		{ocispec.ImageIndexFile, index},
		{"manifest.json", saved},
		{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}},
	} {
		raw, err := json.Marshal(f.data)
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(raw))}); err != nil {
			return err
		}
		if _, err := t.Write(raw); err != nil {
			return err
		}
	}
	return t.Close()
}

func (a *Archive) blob(t *tar.Writer, desc ocispec.Descriptor) error {
	r, err := a.store.blobs.ReaderAt(a.ctx, desc)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: blobPath(desc.Digest), Mode: 0o644, Size: r.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(t, io.NewSectionReader(r, 0, r.Size()))
	return err
}

// descriptors are the entries of index.json: one for each name.
func (e *archiveEntry) descriptors() []ocispec.Descriptor {
	d := target(e.tree[len(e.tree)-1])
	if len(e.names) == 0 {
		return []ocispec.Descriptor{d}
	}
	var out []ocispec.Descriptor
	for _, n := range e.names {
		one := d
		one.Annotations = map[string]string{images.AnnotationImageName: n.String(), ocispec.AnnotationRefName: n.Tag}
		out = append(out, one)
	}
	return out
}

// docker is the entry of manifest.json: the image for this host, or the first that was chosen.
func (e *archiveEntry) docker() savedImage {
	doc := e.img.Manifest
	if !slices.ContainsFunc(e.tree, func(d *manifest.Document) bool { return d.Descriptor.Digest == doc.Descriptor.Digest }) {
		doc = e.tree[0]
	}
	s := savedImage{Config: blobPath(doc.Config.Digest), Layers: []string{}}
	for _, n := range e.names {
		s.RepoTags = append(s.RepoTags, n.Familiar())
	}
	for _, l := range doc.Layers {
		s.Layers = append(s.Layers, blobPath(l.Digest))
	}
	return s
}
