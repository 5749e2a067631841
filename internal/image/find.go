package image

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// Images are all images, the newest first. Those that cannot be read (a damaged blob) are
// logged and left out, so that one does not hide the others.
func (s *Store) Images(ctx context.Context) ([]*Image, error) {
	version, err := s.meta.Version()
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	s.cacheLock.Lock()
	known, at := s.cache.all, s.cache.version
	s.cacheLock.Unlock()
	if known != nil && at == version {
		return slices.Clone(known), nil
	}
	all, whole, err := s.list(s.meta.Context(ctx))
	if err == nil && whole {
		s.cacheLock.Lock()
		s.cache.all, s.cache.version = all, version
		s.cacheLock.Unlock()
	}
	return slices.Clone(all), err
}

// list is Images from the database. whole says that none was left out.
func (s *Store) list(ctx context.Context) (all []*Image, whole bool, err error) {
	records, err := s.records.List(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("listing images: %w", err)
	}
	byID := make(map[ID]*Image)
	all, whole = []*Image{}, true
	for _, r := range records {
		img, err := s.read(ctx, r.Target, s.host)
		if err != nil {
			s.opts.Log.Warn("an image cannot be read", "name", r.Name, "target", r.Target.Digest, "error", err)
			whole = false
			continue
		}
		if known := byID[img.ID]; known != nil {
			img = known
		} else {
			byID[img.ID] = img
			all = append(all, img)
		}
		img.addName(r)
	}
	for _, img := range all {
		slices.SortFunc(img.Tags, compareReferences)
		slices.SortFunc(img.Digests, compareReferences)
	}
	slices.SortStableFunc(all, func(a, b *Image) int {
		if c := created(b.Config).Compare(created(a.Config)); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return all, whole, nil
}

func compareReferences(a, b reference.Reference) int { return cmp.Compare(a.String(), b.String()) }

// addName notes a record of the image.
func (i *Image) addName(r images.Image) {
	if !slices.ContainsFunc(i.Targets, func(d ocispec.Descriptor) bool { return d.Digest == r.Target.Digest }) {
		i.Targets = append(i.Targets, r.Target)
	}
	if r.UpdatedAt.After(i.TaggedAt) {
		i.TaggedAt = r.UpdatedAt
	}
	ref, ok := parseName(r.Name)
	switch {
	case !ok:
	case ref.Digest != "":
		i.Digests = append(i.Digests, ref)
	default:
		i.Tags = append(i.Tags, ref)
	}
}

// parseName reads the name of a record; false for a dangling one.
func parseName(name string) (reference.Reference, bool) {
	if strings.HasPrefix(name, danglingName) {
		return reference.Reference{}, false
	}
	ref, err := reference.Parse(name)
	return ref, err == nil
}

// read makes the image of a target, without its names.
func (s *Store) read(ctx context.Context, target ocispec.Descriptor, platform platforms.MatchComparer) (*Image, error) {
	doc, err := s.document(ctx, target)
	if err != nil {
		return nil, err
	}
	if doc.Config == nil {
		if doc, err = s.pickLocal(ctx, doc, platform, 0); err != nil {
			return nil, err
		}
	}
	c, err := s.config(ctx, *doc.Config)
	if err != nil {
		return nil, err
	}
	img := &Image{ID: ID(doc.Config.Digest), Manifest: doc, Config: c.image, RawConfig: c.raw}
	if img.Layers, err = s.layers(ctx, doc, c.image); err != nil {
		return nil, err
	}
	for _, l := range img.Layers {
		img.Size += l.Size
	}
	return img, nil
}

// layers pairs a manifest's layers with the config's diffIDs and the snapshots' sizes.
func (s *Store) layers(ctx context.Context, doc *manifest.Document, c *ocispec.Image) ([]Layer, error) {
	s.cacheLock.Lock()
	known := s.cache.chains[doc.Descriptor.Digest]
	s.cacheLock.Unlock()
	if known != nil {
		return known, nil
	}
	if len(c.RootFS.DiffIDs) != len(doc.Layers) {
		return nil, nil // an artifact: nothing to unpack
	}
	complete := true
	out := make([]Layer, len(doc.Layers))
	for i, chain := range chains(c) {
		out[i] = Layer{Blob: doc.Layers[i], Diff: DiffID(c.RootFS.DiffIDs[i]), Chain: chain}
		info, err := s.snaps.Stat(ctx, string(chain))
		if errdefs.IsNotFound(err) {
			complete = false
			continue
		}
		if err != nil {
			return nil, err
		}
		if out[i].Size, err = strconv.ParseInt(info.Labels[labelSize], 10, 64); err != nil {
			return nil, fmt.Errorf("snapshot %s has no size label: %w", chain, errdefs.ErrDataLoss)
		}
		out[i].NoSetID = info.Labels[labelSetID] == "false"
	}
	if complete {
		s.cacheLock.Lock()
		defer s.cacheLock.Unlock()
		if len(s.cache.chains) >= cacheMax {
			clear(s.cache.chains)
		}
		s.cache.chains[doc.Descriptor.Digest] = out
	}
	return out, nil
}

// chains are the chainIDs of a config's layers.
func chains(c *ocispec.Image) []ChainID {
	ids := identity.ChainIDs(slices.Clone(c.RootFS.DiffIDs))
	out := make([]ChainID, len(ids))
	for i, id := range ids {
		out[i] = ChainID(id)
	}
	return out
}

// pickLocal finds the manifest of an index that fits the platform best among those in the
// store; with none that fits, any that is there.
func (s *Store) pickLocal(ctx context.Context, index *manifest.Document, platform platforms.MatchComparer, depth int) (*manifest.Document, error) {
	if depth >= manifest.MaxNesting {
		return nil, fmt.Errorf("index %s nests too deeply: %w", index.Descriptor.Digest, errdefs.ErrInvalidArgument)
	}
	for _, m := range ordered(index.Manifests, platform) {
		if ok, err := s.has(ctx, m.Digest); err != nil || !ok {
			if err != nil {
				return nil, err
			}
			continue
		}
		doc, err := s.document(ctx, m)
		if err != nil {
			return nil, err
		}
		if doc.Config == nil {
			if doc, err = s.pickLocal(ctx, doc, platform, depth+1); errdefs.IsNotFound(err) {
				continue
			}
			return doc, err
		}
		if ok, err := s.has(ctx, doc.Config.Digest); err != nil {
			return nil, err
		} else if ok {
			return doc, nil
		}
	}
	return nil, fmt.Errorf("no image of index %s is in the store: %w", index.Descriptor.Digest, errdefs.ErrNotFound)
}

// ordered are the images and indexes among an index's entries, the best for the platform first;
// attestations and other things about images are left out.
func ordered(entries []ocispec.Descriptor, platform platforms.MatchComparer) []ocispec.Descriptor {
	out := slices.DeleteFunc(slices.Clone(entries), func(d ocispec.Descriptor) bool {
		return !manifest.IsManifest(d.MediaType) && !manifest.IsIndex(d.MediaType) ||
			d.Platform != nil && d.Platform.OS == "unknown"
	})
	rank := func(d ocispec.Descriptor) int {
		switch {
		case d.Platform == nil:
			return 1
		case platform.Match(*d.Platform):
			return 0
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b ocispec.Descriptor) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 || rank(a) != 0 {
			return c
		}
		switch {
		case platform.Less(*a.Platform, *b.Platform):
			return -1
		case platform.Less(*b.Platform, *a.Platform):
			return 1
		}
		return 0
	})
	return out
}

// Find gets the image that a person names: a tag, a repository with a digest, an ID or the
// beginning of one, with or without "sha256:".
func (s *Store) Find(ctx context.Context, name string) (*Image, error) {
	img, _, err := s.find(ctx, name)
	return img, err
}

// found says by what an image was found.
type found struct {
	name string              // as it was given
	ref  reference.Reference // set when it was a name
	byID bool
}

func (s *Store) find(ctx context.Context, name string) (*Image, found, error) {
	all, err := s.Images(ctx)
	if err != nil {
		return nil, found{}, err
	}
	return among(all, name)
}

// among finds a name in a list of images.
func among(all []*Image, name string) (*Image, found, error) {
	missing := errdefs.ErrNotFound.WithMessage("No such image: " + missingName(name))
	hex, isDigest := strings.CutPrefix(name, "sha256:")
	if isDigest && len(hex) == 64 {
		for _, img := range all {
			if string(img.ID) == name || img.hasTarget(digest.Digest(name)) {
				return img, found{byID: true}, nil
			}
		}
		return nil, found{}, missing
	}
	if !isDigest {
		if ref, err := reference.Parse(name); err == nil {
			for _, img := range all {
				if img.hasName(ref.WithDefaultTag()) {
					return img, found{name: name, ref: ref.WithDefaultTag()}, nil
				}
			}
		} else if !isHex(hex) {
			return nil, found{}, errdefs.ErrInvalidArgument.WithMessage("invalid reference format: " + shorten(name))
		}
	}
	if !isHex(hex) {
		return nil, found{}, missing
	}
	var match *Image
	for _, img := range all {
		if strings.HasPrefix(digest.Digest(img.ID).Encoded(), hex) {
			if match != nil {
				return nil, found{}, errdefs.ErrInvalidArgument.WithMessage("ambiguous image ID prefix: " + hex)
			}
			match = img
		}
	}
	if match == nil {
		return nil, found{}, missing
	}
	return match, found{byID: true}, nil
}

// missingName is a name in the form in which Docker says that it is not there.
func missingName(name string) string {
	if ref, err := reference.Parse(name); err == nil && !strings.HasPrefix(name, "sha256:") {
		return ref.WithDefaultTag().Familiar()
	}
	return shorten(name)
}

func shorten(name string) string {
	if len(name) > 200 {
		return strconv.Quote(name[:200]) + "…"
	}
	return name
}

func isHex(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (i *Image) hasTarget(d digest.Digest) bool {
	return slices.ContainsFunc(i.Targets, func(t ocispec.Descriptor) bool { return t.Digest == d })
}

// hasName says whether ref is one of the image's names. With both a tag and a digest, the
// digest decides and has to be of that repository (moby's GHSA on ambiguous pulls by digest).
func (i *Image) hasName(ref reference.Reference) bool {
	if ref.Digest == "" {
		return slices.Contains(i.Tags, ref)
	}
	ref.Tag = ""
	return slices.Contains(i.Digests, ref)
}
