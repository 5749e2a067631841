package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/reference"
)

// CommitOptions of Commit.
type CommitOptions struct {
	Parent    ID
	Name      reference.Reference // the zero value for none
	Config    dockerspec.DockerOCIImageConfig
	Changes   []string // Dockerfile instructions that change Config
	Author    string
	Comment   string
	CreatedBy string // the command that made the layer
	// Layer writes what is new above the parent, a layer's tar.
	Layer func(ctx context.Context, w io.Writer) error
}

// Commit makes an image of one layer above another image.
func (s *Store) Commit(ctx context.Context, o CommitOptions) (_ ID, err error) {
	if err := applyChanges(&o.Config, o.Changes); err != nil {
		return "", err
	}
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	parent, err := s.Find(ctx, string(o.Parent))
	if err != nil {
		return "", err
	}
	if _, err := s.holdChain(ctx, parent.Chain()); err != nil && parent.Chain() != "" {
		return "", err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(o.Layer(ctx, w)) }()
	desc, x, err := s.importLayer(ctx, parent.Chain(), r)
	r.CloseWithError(io.ErrClosedPipe) // the writer ends, whatever happened
	if err != nil {
		return "", fmt.Errorf("storing the new layer: %w", err)
	}
	raw, chain, err := commitConfig(parent, o, x.DiffID)
	if err == nil {
		err = s.commitLayer(ctx, x, chain, parent.Chain(), true)
	} else {
		s.drop(ctx, x)
	}
	if err != nil {
		return "", err
	}
	c := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	doc, err := makeManifest(c, append(slices.Clone(parent.Manifest.Layers), desc))
	if err != nil {
		return "", err
	}
	if err := s.writeSmall(ctx, c, raw, map[string]string{labelRefSnap + s.opts.Snapshotter: string(chain)}); err != nil {
		return "", err
	}
	if err := s.writeSmall(ctx, doc.Descriptor, doc.Raw, manifestLabels(doc)); err != nil {
		return "", err
	}
	if o.Name == (reference.Reference{}) {
		err = s.nameNothing(ctx, target(doc))
	} else {
		err = s.setNames(ctx, target(doc), o.Name.WithDefaultTag().String())
	}
	return ID(c.Digest), err
}

// commitConfig is the new image's config: the parent's with one layer more.
func commitConfig(parent *Image, o CommitOptions, diff DiffID) ([]byte, ChainID, error) {
	var config imported
	if err := json.Unmarshal(parent.RawConfig, &config); err != nil {
		return nil, "", fmt.Errorf("reading the config of image %s: %w", parent.ID.Short(), err)
	}
	if len(config.RootFS.DiffIDs) != len(parent.Layers) {
		return nil, "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("image %s is no image of a container", parent.ID.Short()))
	}
	now := time.Now().UTC()
	config.Created, config.Author, config.Comment, config.Config = &now, o.Author, o.Comment, o.Config
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = append(slices.Clone(config.RootFS.DiffIDs), digest.Digest(diff))
	config.History = append(config.History, ocispec.History{Created: &now, CreatedBy: o.CreatedBy, Author: o.Author, Comment: o.Comment})
	raw, err := json.Marshal(config)
	return raw, ChainID(identity.ChainID(config.RootFS.DiffIDs)), err
}
