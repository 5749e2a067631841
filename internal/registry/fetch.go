package registry

import (
	"context"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// Fetch gets the document that a reference names. With a digest it has that digest, from the reference's own repository,
// whatever the tag; with a tag alone it is what the tag names at this moment, and its digest is what to go by from
// then on: to ask for the tag again may give another image. Neither tag nor digest means "latest".
func (c *Client) Fetch(ctx context.Context, ref reference.Reference) (*manifest.Document, error) {
	ref = ref.WithDefaultTag()
	var doc *manifest.Document
	err := c.read(ctx, ref.Domain, mayAnswer(ref), func(e *endpoint) (err error) {
		doc, err = e.document(ctx, ref)
		return err
	})
	return doc, about("pulling", ref.String(), err)
}

// mayAnswer: a host that only holds content is not asked what a tag means.
func mayAnswer(ref reference.Reference) func(*Host) bool {
	if ref.Digest == "" {
		return mayResolve
	}
	return mayPull
}

// Resolve gets the descriptor of the document that a reference names, by a HEAD request if the registry's answer to that
// is complete. Nothing has been checked against the digest yet: to read the document, fetch it by the digest.
func (c *Client) Resolve(ctx context.Context, ref reference.Reference) (ocispec.Descriptor, error) {
	ref = ref.WithDefaultTag()
	var desc ocispec.Descriptor
	err := c.read(ctx, ref.Domain, mayAnswer(ref), func(e *endpoint) (err error) {
		desc, err = e.head(ctx, ref)
		return err
	})
	return desc, about("looking up", ref.String(), err)
}

// In is the repository as a manifest.Fetcher, for children of an index.
func (c *Client) In(repo reference.Repository) Repository { return Repository{c, repo} }

// Repository is one repository of a client.
type Repository struct {
	client *Client
	repo   reference.Repository
}

// FetchDocument gets the document of a descriptor: with its digest, its size and its media type, or not at all.
func (r Repository) FetchDocument(ctx context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	ref := reference.Reference{Repository: r.repo, Digest: desc.Digest}
	if err := manifest.CheckDescriptor(desc); err != nil {
		return nil, about("pulling", r.repo.String(), err)
	}
	var doc *manifest.Document
	err := r.client.read(ctx, r.repo.Domain, mayPull, func(e *endpoint) (err error) {
		if doc, err = e.document(ctx, ref); err != nil {
			return err
		}
		if d := doc.Descriptor; d.Size != desc.Size || d.MediaType != desc.MediaType {
			return e.refuse(errdefs.ErrDataLoss, "gave a manifest that is %s of %d bytes, where its index says %s of %d bytes", d.MediaType, d.Size, oneLine(desc.MediaType, 80), desc.Size)
		}
		return nil
	})
	if err != nil {
		return nil, about("pulling", ref.String(), err)
	}
	return doc, nil
}

// Walk is manifest.Walk over what the repository has below root, with errors that say so.
func (r Repository) Walk(ctx context.Context, root *manifest.Document, keep func(ocispec.Descriptor) bool, visit func(*manifest.Document) error) error {
	return about("pulling", r.repo.String()+"@"+string(root.Descriptor.Digest), manifest.Walk(ctx, r, root, keep, visit))
}

// target is what a reference is asked for by.
func target(ref reference.Reference) string {
	if ref.Digest != "" {
		return string(ref.Digest)
	}
	return ref.Tag
}

// document gets a document from one host and holds it to what was asked for.
func (e *endpoint) document(ctx context.Context, ref reference.Reference) (*manifest.Document, error) {
	if ref.Digest != "" {
		if err := reference.CheckDigest(ref.Digest); err != nil {
			return nil, err
		}
	}
	resp, body, err := e.roundTrip(ctx, &request{
		method: http.MethodGet, url: e.at(ref.Repository, "manifests", target(ref)), scopes: pullScope(ref.Repository), limit: manifest.MaxSize,
		header: http.Header{"Accept": {strings.Join(manifest.Accept(), ", ")}}, want: []int{http.StatusOK},
	})
	if err != nil {
		return nil, err
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, e.refuse(errdefs.ErrFailedPrecondition, "gave a manifest with the encoding %s, which was not asked for", oneLine(enc, 40))
	}
	want := ref.Digest
	if want == "" {
		// Tags have no digest of their own; the header, if it is there, must be of these bytes.
		if h := resp.Header.Get("Docker-Content-Digest"); h != "" {
			want = digest.Digest(h)
			if err := reference.CheckDigest(want); err != nil {
				return nil, e.refuse(errdefs.ErrDataLoss, "gave the manifest a digest that is none: %v", err)
			}
		}
	}
	if want != "" {
		if got := want.Algorithm().FromBytes(body); got != want {
			return nil, e.refuse(errdefs.ErrDataLoss, "gave a manifest with the digest %s, want %s", got, want)
		}
	}
	doc, err := manifest.Parse(resp.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, e.refuse(errdefs.ErrFailedPrecondition, "gave a document that is not accepted: %s", oneLine(err.Error(), 400))
	}
	if ref.Digest != "" {
		doc.Descriptor.Digest = ref.Digest // as it was asked for, of whichever algorithm
	}
	return doc, nil
}

// head asks one host for the headers of a document.
func (e *endpoint) head(ctx context.Context, ref reference.Reference) (ocispec.Descriptor, error) {
	resp, _, err := e.roundTrip(ctx, &request{
		method: http.MethodHead, url: e.at(ref.Repository, "manifests", target(ref)), scopes: pullScope(ref.Repository),
		header: http.Header{"Accept": {strings.Join(manifest.Accept(), ", ")}}, want: []int{http.StatusOK},
	})
	if err == nil {
		kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		known := manifest.IsIndex(kind) || manifest.IsManifest(kind)
		if ref.Digest != "" && d != "" && d != ref.Digest {
			return ocispec.Descriptor{}, e.refuse(errdefs.ErrDataLoss, "says that %s has the digest %s", ref.Digest, oneLine(string(d), 150))
		}
		if known && reference.CheckDigest(d) == nil && resp.ContentLength > 0 && resp.ContentLength <= manifest.MaxSize {
			return ocispec.Descriptor{MediaType: kind, Digest: d, Size: resp.ContentLength}, nil
		}
	} else if errdefs.IsNotFound(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) {
		return ocispec.Descriptor{}, e.explain(ctx, ref, err)
	}
	doc, err := e.document(ctx, ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return doc.Descriptor, nil
}

// explain gets the registry's words for a status: an answer to HEAD has no body. The status is the answer either way.
func (e *endpoint) explain(ctx context.Context, ref reference.Reference, err error) error {
	if _, told := e.document(ctx, ref); told != nil {
		return told
	}
	return err
}
