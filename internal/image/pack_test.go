package image

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestPushPlain: a plain layer goes to a registry compressed, the second time with what the first made;
// the image stays the same, and a registry that has it all gets no blob.
func TestPushPlain(t *testing.T) {
	b := newBench(t, true)
	ref := parse(t, "r.example/x:1")
	plainLayer := tarOf(t, "a", 20000)
	id, err := b.Import(t.Context(), bytes.NewReader(plainLayer), ImportOptions{Name: ref})
	if err != nil {
		t.Fatal(err)
	}
	to := newRemote()
	b.opts.Remote = to
	var pushed PushedTag
	for round := range 2 {
		err := b.Push(t.Context(), ref, PushOptions{Report: func(p Progress) {
			if tag, ok := p.Aux.(PushedTag); ok {
				pushed = tag
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(to.blobs) != 2 { // a config and a layer, the same each time
			t.Errorf("after push %d there are %d blobs", round, len(to.blobs))
		}
	}
	if got := to.tags["r.example/x:1"]; got.String() != pushed.Digest {
		t.Fatalf("the tag names %s, the push said %s", got, pushed.Digest)
	}
	doc := to.docs[digest.Digest(pushed.Digest)]
	if doc == nil || len(doc.Layers) != 1 || doc.Layers[0].MediaType != ocispec.MediaTypeImageLayerGzip {
		t.Fatalf("pushed %+v", doc)
	}
	z, err := gzip.NewReader(bytes.NewReader(to.blobs[doc.Layers[0].Digest]))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plainLayer) {
		t.Errorf("%d bytes came out of the layer, %v", len(got), err)
	}
	all, err := b.Images(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != id || len(all[0].Digests) != 1 || all[0].Digests[0].Digest.String() != pushed.Digest {
		t.Errorf("%d images, %+v, %v", len(all), all, err)
	}
	// The collector keeps the compressed form with the layer.
	if err := b.meta.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if here, err := b.has(b.meta.Context(t.Context()), doc.Layers[0].Digest); err != nil || !here {
		t.Errorf("the compressed layer is gone: %v", err)
	}
}
