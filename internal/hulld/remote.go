package hulld

import (
	"context"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
	"github.com/hull-dev/hull/internal/registry"
)

// remote is the registry client as the image store sees it.
type remote struct{ client *registry.Client }

func credential(c image.Credentials) registry.Credential {
	switch {
	case c.RegistryToken != "":
		return registry.Credential{RegistryToken: c.RegistryToken}
	case c.IdentityToken != "":
		return registry.Credential{Username: c.Username, IdentityToken: c.IdentityToken}
	}
	return registry.Credential{Username: c.Username, Password: c.Password}
}

// Repository implements image.Remote. The credentials are for the host of the repository and
// for no other.
func (r remote) Repository(_ context.Context, repo reference.Repository, auth image.Credentials) (image.Repository, error) {
	client := r.client
	if auth != (image.Credentials{}) {
		client = client.WithCredentials(registry.Fixed{Host: repo.Domain, Cred: credential(auth)})
	}
	return repository{client.In(repo), client, repo}, nil
}

// Login implements image.Remote.
func (r remote) Login(ctx context.Context, domain string, auth image.Credentials) (string, error) {
	c, err := r.client.Login(ctx, domain, credential(auth))
	return c.IdentityToken, err
}

// Download implements image.Remote.
func (r remote) Download(ctx context.Context, url string) (io.ReadCloser, int64, error) {
	return r.client.Download(ctx, url)
}

// repository is one repository of a client.
type repository struct {
	registry.Repository
	client *registry.Client
	name   reference.Repository
}

func (r repository) Fetch(ctx context.Context, ref reference.Reference) (*manifest.Document, error) {
	return r.client.Fetch(ctx, ref)
}

func (r repository) OpenBlob(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	// The content store takes the digest of everything; twice would be once too often.
	return r.client.OpenBlob(ctx, r.name, desc, registry.BlobOptions{Offset: offset, NoVerify: true})
}

func (r repository) Tags(ctx context.Context) ([]string, error) { return r.client.Tags(ctx, r.name) }

func (r repository) PushDocument(ctx context.Context, ref reference.Reference, doc *manifest.Document) error {
	return r.client.PushDocument(ctx, ref, doc)
}

func (r repository) PushBlob(ctx context.Context, desc ocispec.Descriptor, from string, open func(offset int64) (io.ReadCloser, error), sent func(int64)) (image.Pushed, error) {
	opts := registry.PushBlobOptions{Progress: sent}
	if from != "" {
		opts.MountFrom = []reference.Repository{{Domain: r.name.Domain, Path: from}}
	}
	outcome, err := r.client.PushBlob(ctx, r.name, desc, source(open), opts)
	switch outcome {
	case registry.Existed:
		return image.PushedExists, err
	case registry.Mounted:
		return image.PushedMounted, err
	}
	return image.PushedNew, err
}

// source is one blob as a registry.Source.
type source func(offset int64) (io.ReadCloser, error)

func (s source) OpenAt(_ context.Context, _ ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	return s(offset)
}
