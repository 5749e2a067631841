package image

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/reference"
)

// ImportOptions of Import.
type ImportOptions struct {
	Name     reference.Reference // the zero value for none
	Source   string              // where the archive comes from, for a person to read; "" for "-"
	Message  string              // of the history; "" for "Imported from SOURCE"
	Platform *ocispec.Platform   // nil: this host's
	Changes  []string            // Dockerfile instructions: CMD, ENV, …
}

// imported is the config of an imported image: Docker shows the comment.
type imported struct {
	dockerspec.DockerOCIImage
	Comment string `json:"comment,omitempty"`
}

// Import makes an image of one layer from a root file system, a tar stream, plain or compressed.
// The layer keeps the bytes that came, unless they are compressed with xz or bzip2, which are no layer's.
func (s *Store) Import(ctx context.Context, r io.Reader, opts ImportOptions) (_ ID, err error) {
	var config imported
	if err := applyChanges(&config.Config, opts.Changes); err != nil {
		return "", err
	}
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	desc, x, err := s.importLayer(ctx, "", r)
	if err != nil {
		return "", err
	}
	committed := false
	defer func() {
		if !committed {
			s.drop(ctx, x)
		}
	}()
	platform := platforms.DefaultSpec()
	if opts.Platform != nil {
		platform = platforms.Normalize(*opts.Platform)
	}
	now := time.Now().UTC()
	config.Created = &now
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Comment = opts.Message
	if config.Comment == "" {
		config.Comment = "Imported from " + cmp.Or(opts.Source, "-")
	}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.Digest(x.DiffID)}}
	config.History = []ocispec.History{{Created: &now, Comment: config.Comment}}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	if err := s.commitLayer(ctx, x, ChainID(x.DiffID), "", true); err != nil {
		return "", err
	}
	committed = true
	c := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	doc, err := makeManifest(c, []ocispec.Descriptor{desc})
	if err != nil {
		return "", err
	}
	if err := s.writeSmall(ctx, c, raw, map[string]string{labelRefSnap + s.opts.Snapshotter: string(x.DiffID)}); err != nil {
		return "", err
	}
	if err := s.writeSmall(ctx, doc.Descriptor, doc.Raw, manifestLabels(doc)); err != nil {
		return "", err
	}
	if opts.Name == (reference.Reference{}) {
		err = s.nameNothing(ctx, target(doc))
	} else {
		err = s.setNames(ctx, target(doc), opts.Name.WithDefaultTag().String())
	}
	if err != nil {
		return "", err
	}
	if opts.Name != (reference.Reference{}) {
		s.publish("tag", c.Digest.String(), map[string]string{"name": opts.Name.WithDefaultTag().Familiar()})
	}
	s.publish("import", c.Digest.String(), map[string]string{"name": c.Digest.String()})
	return ID(c.Digest), nil
}

// Download opens what a URL holds, for Import; it is bounded in time, not in size (Remote's rules hold).
func (s *Store) Download(ctx context.Context, url string) (body io.ReadCloser, size int64, err error) {
	return s.opts.Remote.Download(ctx, url)
}

// importLayer puts the stream into the content store and a snapshot above parent, at once.
func (s *Store) importLayer(ctx context.Context, parent ChainID, r io.Reader) (desc ocispec.Descriptor, x *extraction, err error) {
	ref := "import-" + rand.Text()
	w, err := s.blobs.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return desc, nil, err
	}
	defer func() {
		w.Close()
		if err != nil {
			if x != nil {
				s.drop(ctx, x)
			}
			_ = s.blobs.Abort(context.WithoutCancel(ctx), ref) // the lease would end it too, later
		}
	}()
	r, stop, err := portable(r)
	if err != nil {
		return desc, nil, fmt.Errorf("reading the archive: %w", err)
	}
	defer stop()
	// Nothing at all is an empty file system, as with Docker.
	b := bufio.NewReader(r)
	if _, err := b.Peek(1); err == io.EOF {
		b.Reset(bytes.NewReader(make([]byte, 1024)))
	}
	in := newIntake(b, s.room(w), 0, func(int64) {})
	defer in.stop()
	x, err = s.extract(ctx, "import", parent, in, true)
	switch got := in.state(); {
	case got.wrote:
		return desc, x, fmt.Errorf("storing the archive: %w", got.err)
	case got.err != nil:
		return desc, x, fmt.Errorf("reading the archive: %w", got.err)
	}
	if err == nil && x.Orphan != nil {
		err = fmt.Errorf("unpacking: %w", x.Orphan)
	}
	if err != nil {
		return desc, x, err
	}
	if err = in.drain(); err != nil {
		return desc, x, err
	}
	n := in.state().n
	desc = ocispec.Descriptor{Digest: w.Digest(), Size: n}
	if err = w.Commit(ctx, n, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, x, err
	}
	s.opts.At("layer.stored")
	if x.Again {
		s.drop(ctx, x)
		if x, err = s.extractBlob(ctx, Layer{Blob: desc, Chain: "import"}, "", true); err != nil {
			return desc, nil, err
		}
	}
	desc.MediaType, err = s.layerType(ctx, desc)
	return desc, x, err
}
