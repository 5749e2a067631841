package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hull-dev/hull/internal/manifest"
)

const (
	// labelPacked of a plain layer is the digest of its gzip form, which stays as long as the layer:
	// the next push finds it.
	labelPacked    = "hull/packed.gzip"
	labelRefPacked = labelRefBlob + "packed"
	// packLevel is gzip's. Above it a layer takes twice the time for some hundredths of its size.
	packLevel = 3
	// packers are layers that are compressed at a time.
	packers = 2
)

// packedType is the media type of a plain layer's gzip form, "" for what is no plain layer.
func packedType(mediaType string) string {
	switch mediaType {
	case ocispec.MediaTypeImageLayer:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2Layer:
		return images.MediaTypeDockerSchema2LayerGzip
	}
	return ""
}

// packed is the manifest of doc's image with its plain layers (of import, load, commit) compressed, as it
// goes to a registry; doc itself when it has none. The image is the same: a config names plain layers. ctx
// carries the lease of the new blobs.
func (s *Store) packed(ctx context.Context, doc *manifest.Document) (*manifest.Document, error) {
	if doc.Config == nil || !isImageConfig(doc.Config.MediaType) {
		return doc, nil
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(doc.Raw, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", doc.Descriptor.Digest, err)
	}
	if m.MediaType == "" {
		m.MediaType = doc.Descriptor.MediaType
	}
	changed := false
	g, ctx2 := errgroup.WithContext(ctx)
	g.SetLimit(packers)
	for i, l := range m.Layers {
		to := packedType(l.MediaType)
		if to == "" {
			continue
		}
		changed = true
		g.Go(func() error {
			d, size, err := s.packLayer(ctx2, l)
			if err != nil {
				return fmt.Errorf("compressing the layer %s: %w", short(l.Digest), err)
			}
			m.Layers[i].MediaType, m.Layers[i].Digest, m.Layers[i].Size = to, d, size
			return nil
		})
	}
	if err := g.Wait(); err != nil || !changed {
		return doc, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	out, err := manifest.Parse(m.MediaType, raw)
	if err != nil {
		return nil, err
	}
	return out, s.writeSmall(ctx, out.Descriptor, out.Raw, manifestLabels(out))
}

// packLayer makes sure that the gzip form of a plain layer is in the store.
func (s *Store) packLayer(ctx context.Context, layer ocispec.Descriptor) (digest.Digest, int64, error) {
	unlock, err := s.busy.lock(ctx, "pack "+layer.Digest.String())
	if err != nil {
		return "", 0, err
	}
	defer unlock()
	info, err := s.blobs.Info(ctx, layer.Digest)
	if err != nil {
		return "", 0, err
	}
	if d := digest.Digest(info.Labels[labelPacked]); d != "" {
		here, err := s.hold(ctx, d)
		if err != nil {
			return "", 0, err
		}
		if here {
			have, err := s.blobs.Info(ctx, d)
			return d, have.Size, err
		}
	}
	r, err := s.blobs.ReaderAt(ctx, layer)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	ref := "pack-" + layer.Digest.String()
	w, err := s.blobs.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return "", 0, err
	}
	defer w.Close()
	if err := w.Truncate(0); err != nil { // of a push that was killed
		return "", 0, err
	}
	size := &sizing{w: s.room(w)}
	z, err := gzip.NewWriterLevel(size, packLevel)
	if err != nil {
		return "", 0, err
	}
	in := &ending{ctx, io.NewSectionReader(r, 0, r.Size())}
	_, err = io.Copy(z, in)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return "", 0, err
	}
	d := w.Digest()
	if err := w.Commit(ctx, size.n, d); err != nil && !errdefs.IsAlreadyExists(err) {
		return "", 0, err
	}
	s.opts.At("push.packed")
	return d, size.n, s.addLabels(ctx, layer.Digest, map[string]string{labelPacked: d.String(), labelRefPacked: d.String()})
}

// sizing counts what is written.
type sizing struct {
	w io.Writer
	n int64
}

func (s *sizing) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}

// ending is a reader that ends with its context.
type ending struct {
	ctx context.Context
	r   io.Reader
}

func (e *ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}
