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

// Referrers lists the documents whose subject is d (signatures, SBOMs), of one artifact type or, with "", of all. Registries
// older than version 1.1 of the distribution specification keep the list under a tag, sha256-<hex>, which is read then.
// Nothing that refers to d is an empty list. What is listed is the registry's word until the document was fetched.
func (c *Client) Referrers(ctx context.Context, repo reference.Repository, d digest.Digest, artifactType string) ([]ocispec.Descriptor, error) {
	if err := reference.CheckDigest(d); err != nil {
		return nil, about("listing the referrers of", repo.String(), err)
	}
	var list []ocispec.Descriptor
	err := c.read(ctx, repo.Domain, mayResolve, func(e *endpoint) (err error) {
		list, err = e.referrers(ctx, repo, d, artifactType)
		return err
	})
	return list, about("listing the referrers of", repo.String()+"@"+string(d), err)
}

func (e *endpoint) referrers(ctx context.Context, repo reference.Repository, d digest.Digest, artifactType string) ([]ocispec.Descriptor, error) {
	u := e.at(repo, "referrers", string(d))
	if artifactType != "" {
		q := u.Query()
		q.Set("artifactType", artifactType)
		u.RawQuery = q.Encode()
	}
	var list []ocispec.Descriptor
	take := func(doc *manifest.Document) error {
		for _, x := range doc.Manifests {
			if artifactType == "" || x.ArtifactType == artifactType { // also when the registry filtered: it may have ignored it
				list = append(list, x)
			}
		}
		if len(list) > maxReferrers {
			return e.refuse(errdefs.ErrResourceExhausted, "lists more than %d referrers", maxReferrers)
		}
		return nil
	}
	r := &request{method: http.MethodGet, url: u, scopes: pullScope(repo), limit: manifest.MaxSize, header: http.Header{"Accept": {manifest.OCIIndex}}, want: []int{http.StatusOK, http.StatusNotFound}}
	missing := false
	err := e.pages(ctx, r, func(p page) (bool, error) {
		// A registry without the interface answers 404, or a page of its own for everything.
		if kind, _, _ := strings.Cut(p.resp.Header.Get("Content-Type"), ";"); p.resp.StatusCode == http.StatusNotFound || kind != manifest.OCIIndex {
			missing = true
			return false, nil
		}
		doc, err := manifest.Parse(manifest.OCIIndex, p.body)
		if err != nil {
			return false, e.refuse(errdefs.ErrFailedPrecondition, "gave a list of referrers that is not accepted: %s", oneLine(err.Error(), 300))
		}
		return true, take(doc)
	})
	if err != nil || !missing {
		return list, err
	}
	doc, err := e.document(ctx, referrersTag(repo, d))
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	err = take(doc)
	return list, err
}

// referrersTag is where the referrers of d are listed by convention ("Referrers Tag Schema").
func referrersTag(repo reference.Repository, d digest.Digest) reference.Reference {
	return reference.Reference{Repository: repo, Tag: strings.Replace(string(d), ":", "-", 1)[:min(len(d), 128)]}
}
