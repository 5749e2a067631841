package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// resumable is how long the bytes of a broken pull are kept.
const resumable = 24 * time.Hour

// PullOptions of Pull. The zero value pulls for this host, as nobody, silently.
type PullOptions struct {
	Platform *ocispec.Platform
	Auth     Credentials
	Report   Report

	all bool // one of many, which have one event together
}

func (o *PullOptions) say(p Progress) {
	if o.Report != nil {
		o.Report(p)
	}
}

// Pull gets the image of a reference and names it. A reference with neither tag nor digest
// means the tag latest.
func (s *Store) Pull(ctx context.Context, ref reference.Reference, opts PullOptions) (*Image, error) {
	ref = ref.WithDefaultTag()
	repo, err := s.opts.Remote.Repository(ctx, ref.Repository, opts.Auth)
	if err != nil {
		return nil, err
	}
	doc, err := repo.Fetch(ctx, ref)
	if err != nil {
		s.opts.Log.Info("pull", "reference", ref.Familiar(), "error", err)
		return nil, asDocker(ref, err)
	}
	if ref.Digest != "" && doc.Descriptor.Digest != ref.Digest {
		return nil, fmt.Errorf("%s came as %s: %w", ref.Familiar(), doc.Descriptor.Digest, errdefs.ErrDataLoss)
	}
	opts.say(Progress{ID: tagOf(ref), Status: "Pulling from " + ref.Repository.Path})
	// The lease is of the target, so that a second pull after a break finds what is there.
	ctx, release, err := s.meta.KeepLease(ctx, "pull-"+doc.Descriptor.Digest.String(), resumable)
	if err != nil {
		return nil, err
	}
	before, _, _ := s.find(ctx, ref.String())
	img, err := s.pull(ctx, repo, ref, doc, &opts)
	if errdefs.IsInvalidArgument(err) || errors.Is(err, syscall.ENOSPC) {
		// What is refused once is refused the next time, and on a full disk others need the space.
		release()
	}
	if err != nil {
		return nil, err
	}
	release()
	opts.say(Progress{Status: "Digest: " + doc.Descriptor.Digest.String()})
	verdict := "Status: Downloaded newer image for "
	if before != nil && before.ID == img.ID && before.hasTarget(doc.Descriptor.Digest) {
		verdict = "Status: Image is up to date for "
	}
	opts.say(Progress{Status: verdict + ref.Familiar()})
	if !opts.all {
		s.publish("pull", ref.Familiar(), eventAttributes(img.Config, ref.Repository.Familiar()))
	}
	return img, nil
}

// asDocker gives the two answers that people search for Docker's words; the log has the
// registry's.
func asDocker(ref reference.Reference, err error) error {
	switch {
	case errdefs.IsNotFound(err):
		return errdefs.ErrNotFound.WithMessage("manifest for " + ref.Familiar() + " not found: manifest unknown: manifest unknown")
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return errdefs.ErrNotFound.WithMessage("pull access denied for " + ref.Repository.Familiar() + ", repository does not exist or may require 'docker login': denied: requested access to the resource is denied")
	}
	return err
}

// tagOf is what a pull is of, within its repository.
func tagOf(ref reference.Reference) string {
	if ref.Digest != "" {
		return ref.Digest.String()
	}
	return ref.Tag
}

func eventAttributes(c *ocispec.Image, name string) map[string]string {
	out := map[string]string{}
	for k, v := range c.Config.Labels {
		out[k] = v
	}
	if name != "" {
		out["name"] = name
	}
	return out
}

// PullAll pulls every tag of a repository.
func (s *Store) PullAll(ctx context.Context, name reference.Repository, opts PullOptions) error {
	repo, err := s.opts.Remote.Repository(ctx, name, opts.Auth)
	if err != nil {
		return err
	}
	tags, err := repo.Tags(ctx)
	if err != nil {
		return err
	}
	opts.all = true
	for _, t := range tags {
		ref, err := name.WithTag(t)
		if err != nil {
			return err
		}
		if _, err := s.Pull(ctx, ref, opts); err != nil {
			return err
		}
	}
	s.publish("pull", name.Familiar(), map[string]string{"name": name.Familiar()})
	return nil
}

// Distribution is what a registry has under a reference: the descriptor, and the platforms of
// an index.
func (s *Store) Distribution(ctx context.Context, ref reference.Reference, auth Credentials) (ocispec.Descriptor, []ocispec.Platform, error) {
	ref = ref.WithDefaultTag()
	repo, err := s.opts.Remote.Repository(ctx, ref.Repository, auth)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	doc, err := repo.Fetch(ctx, ref)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	found := []ocispec.Platform{}
	for _, m := range doc.Manifests {
		if m.Platform != nil {
			found = append(found, *m.Platform)
		}
	}
	if doc.Config == nil || !isImageConfig(doc.Config.MediaType) {
		return target(doc), found, nil
	}
	raw, err := readConfig(ctx, *doc.Config, repo.OpenBlob)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	c, err := manifest.ParseConfig(raw)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return target(doc), append(found, c.Platform), nil
}

// Login checks credentials against a registry.
func (s *Store) Login(ctx context.Context, domain string, auth Credentials) (identityToken string, err error) {
	return s.opts.Remote.Login(ctx, domain, auth)
}

// pull brings everything in and sets the names. ctx carries the lease.
func (s *Store) pull(ctx context.Context, repo Repository, ref reference.Reference, root *manifest.Document, opts *PullOptions) (*Image, error) {
	path, err := s.choose(ctx, repo, root, opts.Platform)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref.Familiar(), err)
	}
	picked := path[len(path)-1]
	if err := s.bring(ctx, picked, repo.OpenBlob, nil, opts.Report); err != nil {
		return nil, fmt.Errorf("pulling %s: %w", ref.Familiar(), err)
	}
	for _, doc := range slices.Backward(path[:len(path)-1]) {
		if err := s.writeSmall(ctx, doc.Descriptor, doc.Raw, indexLabels(doc)); err != nil {
			return nil, err
		}
	}
	names := []string{canonicalDigest(ref, root.Descriptor.Digest)}
	if ref.Digest == "" {
		names = append(names, ref.String())
	}
	if err := s.setNames(ctx, target(root), names...); err != nil {
		return nil, err
	}
	platform := s.host
	if opts.Platform != nil {
		platform = platforms.Only(platforms.Normalize(*opts.Platform))
	}
	return s.read(ctx, root.Descriptor, platform)
}

// canonicalDigest is the name repository@digest.
func canonicalDigest(ref reference.Reference, d digest.Digest) string {
	return reference.Reference{Repository: ref.Repository, Digest: d}.String()
}

// target is the descriptor that a name points to: without what only an index says of it.
func target(doc *manifest.Document) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: doc.Descriptor.MediaType, Digest: doc.Descriptor.Digest, Size: doc.Descriptor.Size}
}

// choose goes from root to the manifest for a platform, and returns the documents on the way,
// root first.
func (s *Store) choose(ctx context.Context, f manifest.Fetcher, root *manifest.Document, want *ocispec.Platform) ([]*manifest.Document, error) {
	matcher := s.host
	wanted := platforms.DefaultSpec()
	if want != nil {
		wanted = platforms.Normalize(*want)
		matcher = platforms.Only(wanted)
	}
	path := []*manifest.Document{root}
	for doc := root; doc.Config == nil; {
		if len(path) > manifest.MaxNesting {
			return nil, fmt.Errorf("its index nests too deeply: %w", errdefs.ErrInvalidArgument)
		}
		entries := ordered(doc.Manifests, matcher)
		if len(entries) == 0 || entries[0].Platform != nil && !matcher.Match(*entries[0].Platform) {
			return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("no matching manifest for %s in the manifest list entries", platforms.Format(wanted)))
		}
		next, err := f.FetchDocument(ctx, entries[0])
		if err != nil {
			return nil, err
		}
		path = append(path, next)
		doc = next
	}
	return path, nil
}

// bring puts a manifest with all it refers to into the store. open reads blobs that are not
// there; nil if all are. fresh are layers that were unpacked as they came; may be nil.
func (s *Store) bring(ctx context.Context, doc *manifest.Document, open opener, fresh *freshLayers, report Report) error {
	known, err := s.hold(ctx, doc.Config.Digest)
	if err != nil {
		return err
	}
	raw, err := s.bringConfig(ctx, *doc.Config, open)
	if err != nil {
		return err
	}
	var layers []Layer
	snapshot := ""
	if isImageConfig(doc.Config.MediaType) {
		c, err := manifest.ParseConfig(raw)
		if err != nil {
			return fmt.Errorf("config %s: %w", doc.Config.Digest, err)
		}
		if len(c.RootFS.DiffIDs) != len(doc.Layers) {
			return fmt.Errorf("the manifest has %d layers, its config %d: %w", len(doc.Layers), len(c.RootFS.DiffIDs), errdefs.ErrInvalidArgument)
		}
		for i, chain := range chains(c) {
			layers = append(layers, Layer{Blob: doc.Layers[i], Diff: DiffID(c.RootFS.DiffIDs[i]), Chain: chain})
			snapshot = string(chain)
		}
	}
	if layers == nil { // an artifact: its blobs are kept as they are
		for _, d := range doc.Layers {
			if err := s.bringBlob(ctx, d, open, report); err != nil {
				return err
			}
		}
	}
	st := &stack{store: s, open: open, fresh: fresh, report: report, layers: layers}
	if known {
		if whole, err := st.here(ctx); err != nil || whole {
			st.layers = nil // the image is here under another name: nothing to show
			if err != nil {
				return err
			}
		}
	}
	if err := st.run(ctx); err != nil {
		return err
	}
	labels := map[string]string{}
	if snapshot != "" {
		labels[labelRefSnap+s.opts.Snapshotter] = snapshot
	}
	// The config is there; now that its snapshot is too, it can refer to it.
	if err := s.writeSmall(ctx, *doc.Config, raw, labels); err != nil {
		return err
	}
	return s.writeSmall(ctx, doc.Descriptor, doc.Raw, manifestLabels(doc))
}

// bringConfig reads a config, from the store if it is there.
func (s *Store) bringConfig(ctx context.Context, desc ocispec.Descriptor, open opener) ([]byte, error) {
	here, err := s.hold(ctx, desc.Digest)
	if err != nil {
		return nil, err
	}
	if here {
		return s.readSmall(ctx, desc)
	}
	if open == nil {
		return nil, fmt.Errorf("config %s is missing: %w", desc.Digest, errdefs.ErrNotFound)
	}
	raw, err := readConfig(ctx, desc, open)
	if err != nil {
		return nil, err
	}
	return raw, s.writeSmall(ctx, desc, raw, nil)
}

// readConfig fetches a config and holds it to its digest.
func readConfig(ctx context.Context, desc ocispec.Descriptor, open opener) ([]byte, error) {
	if desc.Size > manifest.MaxSize {
		return nil, fmt.Errorf("config %s is said to be %d bytes long: %w", desc.Digest, desc.Size, errdefs.ErrInvalidArgument)
	}
	body, err := open(ctx, desc, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw := make([]byte, desc.Size)
	if _, err := io.ReadFull(body, raw); err != nil {
		return nil, fmt.Errorf("reading the config %s: %w", desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(raw); got != desc.Digest {
		return nil, fmt.Errorf("the config came as %s, not %s: %w", got, desc.Digest, errdefs.ErrDataLoss)
	}
	return raw, nil
}

// bringBlob fetches one blob that is not unpacked.
func (s *Store) bringBlob(ctx context.Context, desc ocispec.Descriptor, open opener, report Report) error {
	if here, err := s.hold(ctx, desc.Digest); err != nil || here {
		return err
	}
	st := &stack{store: s, open: open, report: report, layers: []Layer{{Blob: desc}}, slots: make(chan struct{}, 1)}
	_, err := st.blob(ctx, 0, false)
	return err
}

// manifestLabels make the collector follow a manifest.
func manifestLabels(doc *manifest.Document) map[string]string {
	labels := map[string]string{labelRefBlob + "config": doc.Config.Digest.String()}
	for i, l := range doc.Layers {
		labels[fmt.Sprintf("%sl.%d", labelRefBlob, i)] = l.Digest.String()
	}
	return labels
}

// indexLabels make the collector follow an index; entries that are not there do not matter.
func indexLabels(doc *manifest.Document) map[string]string {
	labels := map[string]string{}
	for i, m := range doc.Manifests {
		labels[fmt.Sprintf("%sm.%d", labelRefBlob, i)] = m.Digest.String()
	}
	return labels
}
