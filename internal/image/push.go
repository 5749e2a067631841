package image

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// PushOptions of Push.
type PushOptions struct {
	Platform *ocispec.Platform // only this one of an index; nil: all that is there
	Auth     Credentials
	Report   Report

	all bool // one of many, which have one event together
}

func (o *PushOptions) say(p Progress) {
	if o.Report != nil {
		o.Report(p)
	}
}

// PushedTag is the Aux of the last Progress of a push.
type PushedTag struct {
	Tag    string
	Digest string
	Size   int64
}

// Push sends the image of a tag to the registry that the tag names. What is sent has the bytes
// that are in the store, so digests stay; but plain layers are sent compressed, in a manifest of their own.
func (s *Store) Push(ctx context.Context, ref reference.Reference, opts PushOptions) error {
	ref = ref.WithDefaultTag()
	opts.say(Progress{Status: "The push refers to repository [" + ref.Repository.String() + "]"})
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return err
	}
	defer release()
	record, err := s.records.Get(ctx, withoutTag(ref).String())
	if errdefs.IsNotFound(err) {
		return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + ref.Repository.String())
	}
	if err != nil {
		return err
	}
	if here, err := s.hold(ctx, record.Target.Digest); err != nil || !here {
		return firstError(err, errdefs.ErrNotFound.WithMessage("No such image: "+ref.Familiar()))
	}
	tree, err := s.tree(ctx, record.Target, ref.Familiar(), one(opts.Platform))
	if err != nil {
		return fmt.Errorf("pushing %s: %w", ref.Familiar(), err)
	}
	sent := record.Target
	if len(tree) == 1 { // of an index, the documents are named by digest: they go as they are
		packed, err := s.packed(ctx, tree[0])
		if err != nil {
			return fmt.Errorf("pushing %s: %w", ref.Familiar(), err)
		}
		if packed != tree[0] {
			tree[0], sent = packed, target(packed)
		}
	}
	repo, err := s.opts.Remote.Repository(ctx, ref.Repository, opts.Auth)
	if err != nil {
		return err
	}
	p := &push{store: s, repo: repo, ref: ref, opts: &opts}
	if err := p.blobs(ctx, tree); err != nil {
		return err
	}
	for i, doc := range tree {
		to := reference.Reference{Repository: ref.Repository, Digest: doc.Descriptor.Digest}
		if i == len(tree)-1 && ref.Digest == "" {
			to = ref
		}
		if err := repo.PushDocument(ctx, to, doc); err != nil {
			return err
		}
	}
	root := tree[len(tree)-1].Descriptor
	if err := s.setNames(ctx, sent, canonicalDigest(ref, sent.Digest)); root.Digest == sent.Digest && err != nil {
		return err
	}
	opts.say(Progress{Status: fmt.Sprintf("%s: digest: %s size: %d", tagOf(ref), root.Digest, root.Size)})
	opts.say(Progress{Aux: PushedTag{tagOf(ref), root.Digest.String(), root.Size}})
	img, err := s.read(ctx, record.Target, s.host)
	if err != nil {
		return err
	}
	if opts.all {
		return nil
	}
	s.publish("push", ref.Familiar(), eventAttributes(img.Config, ref.Repository.Familiar()))
	return nil
}

// tree lists the documents of a target that can leave the store, children before parents. An
// index of which something is missing cannot: then it is the manifest for this host alone. With one
// platform wanted it is that one's manifest, with several theirs and the index. name is for errors.
func (s *Store) tree(ctx context.Context, root ocispec.Descriptor, name string, want []ocispec.Platform) ([]*manifest.Document, error) {
	doc, err := s.document(ctx, root)
	if err != nil {
		return nil, err
	}
	if doc.Config != nil {
		for _, p := range want {
			if c, err := s.config(ctx, *doc.Config); err != nil {
				return nil, err
			} else if !platforms.Only(platforms.Normalize(p)).Match(c.image.Platform) {
				return nil, missingPlatform(name, p)
			}
		}
		return []*manifest.Document{doc}, nil
	}
	if len(want) == 0 {
		var all []*manifest.Document
		complete := true
		err := manifest.Walk(ctx, s, doc, nil, func(d *manifest.Document) error {
			for _, b := range d.Blobs() {
				if here, err := s.hold(ctx, b.Digest); err != nil {
					return err
				} else if !here {
					complete = false
				}
			}
			all = append(all, d)
			return nil
		})
		if err == nil && complete {
			return all, nil
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	if len(want) == 0 {
		picked, err := s.pickLocal(ctx, doc, s.host, 0)
		if err != nil {
			return nil, err
		}
		return []*manifest.Document{picked}, nil
	}
	var out []*manifest.Document
	for _, p := range want {
		match := platforms.Only(platforms.Normalize(p))
		picked, err := s.pickLocal(ctx, doc, match, 0)
		if err != nil {
			return nil, err
		}
		if c, err := s.config(ctx, *picked.Config); err != nil {
			return nil, err
		} else if !match.Match(c.image.Platform) {
			return nil, missingPlatform(name, p)
		}
		if !slices.ContainsFunc(out, func(d *manifest.Document) bool { return d.Descriptor.Digest == picked.Descriptor.Digest }) {
			out = append(out, picked)
		}
	}
	if len(want) > 1 {
		out = append(out, doc)
	}
	return out, nil
}

// one is a list of a platform, or of none.
func one(p *ocispec.Platform) []ocispec.Platform {
	if p == nil {
		return nil
	}
	return []ocispec.Platform{*p}
}

// PushAll pushes every tag of a repository.
func (s *Store) PushAll(ctx context.Context, name reference.Repository, opts PushOptions) error {
	all, err := s.Images(ctx)
	if err != nil {
		return err
	}
	opts.all = true
	pushed := false
	for _, img := range all {
		for _, t := range img.Tags {
			if t.Repository == name {
				pushed = true
				if err := s.Push(ctx, t, opts); err != nil {
					return err
				}
			}
		}
	}
	if !pushed {
		opts.say(Progress{Status: "The push refers to repository [" + name.String() + "]"})
		return errdefs.ErrNotFound.WithMessage("An image does not exist locally with the tag: " + name.String())
	}
	s.publish("push", name.Familiar(), map[string]string{"name": name.Familiar()})
	return nil
}

// push is one Push under way.
type push struct {
	store *Store
	repo  Repository
	ref   reference.Reference
	opts  *PushOptions
}

// blobs sends the blobs of all documents, some at a time.
func (p *push) blobs(ctx context.Context, tree []*manifest.Document) error {
	shown := make(map[digest.Digest]string) // what a person sees of a blob: its diffID
	todo := make(map[digest.Digest]ocispec.Descriptor)
	for _, doc := range tree {
		if doc.Config == nil {
			continue
		}
		for _, b := range doc.Blobs() {
			todo[b.Digest] = b
		}
		c, err := p.store.config(ctx, *doc.Config)
		if err != nil {
			return err
		}
		for i, l := range doc.Layers {
			shown[l.Digest] = short(l.Digest)
			if len(c.image.RootFS.DiffIDs) == len(doc.Layers) {
				shown[l.Digest] = short(c.image.RootFS.DiffIDs[i])
			}
		}
	}
	for _, d := range slices.Sorted(maps.Keys(shown)) {
		p.opts.say(Progress{ID: shown[d], Status: "Preparing"})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.store.opts.Parallel)
	for _, d := range slices.Sorted(maps.Keys(todo)) {
		g.Go(func() error { return p.blob(ctx, todo[d], shown[d]) })
	}
	return g.Wait()
}

// blob sends one blob. id is empty for one that is not shown.
func (p *push) blob(ctx context.Context, desc ocispec.Descriptor, id string) error {
	say := func(status string, n, total int64) {
		if id != "" {
			p.opts.say(Progress{ID: id, Status: status, Current: n, Total: total})
		}
	}
	open := func(offset int64) (io.ReadCloser, error) {
		r, err := p.store.blobs.ReaderAt(ctx, desc)
		if err != nil {
			return nil, err
		}
		return sectionCloser{io.NewSectionReader(r, offset, r.Size()-offset), r}, nil
	}
	known, err := p.source(ctx, desc.Digest)
	if err != nil {
		return err
	}
	from := known
	if from == p.ref.Repository.Path {
		from = ""
	}
	how, err := p.repo.PushBlob(ctx, desc, from, open, func(n int64) { say("Pushing", n, desc.Size) })
	if err != nil {
		return err
	}
	switch how {
	case PushedExists:
		say("Layer already exists", 0, 0)
	case PushedMounted:
		say("Mounted from "+from, 0, 0)
	default:
		say("Pushed", 0, 0)
	}
	if known == p.ref.Repository.Path {
		return nil // said before: a write to the database for each blob would be most of a push of what is there
	}
	return p.store.addLabels(ctx, desc.Digest, map[string]string{sourceLabel(p.ref.Repository): p.ref.Repository.Path})
}

// sourceLabel is where a blob remembers a repository of a registry that has it. Labels have no
// ':' in their names by containerd's rules on field paths.
func sourceLabel(r reference.Repository) string {
	return labelSource + strings.NewReplacer(".", "_", ":", "_", "[", "_", "]", "_").Replace(r.Domain)
}

// source is the repository of the same registry that is known to have had the blob, "" for none.
func (p *push) source(ctx context.Context, d digest.Digest) (string, error) {
	info, err := p.store.blobs.Info(ctx, d)
	return info.Labels[sourceLabel(p.ref.Repository)], err
}

// sectionCloser reads a part of a blob.
type sectionCloser struct {
	io.Reader
	r content.ReaderAt
}

func (s sectionCloser) Close() error { return s.r.Close() }
