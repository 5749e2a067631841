package image

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
)

// wrongBytes puts an image into a registry whose one layer comes as other bytes.
func wrongBytes(t *testing.T, b *bench, other func([]byte) []byte) (doc *manifest.Document, heal func()) {
	doc = b.remote.image(t, here(), rawTar(t, bytes.Repeat([]byte("some bytes of a layer\n"), 3000)))
	blob := doc.Layers[0].Digest
	good := b.remote.blobs[blob]
	b.remote.blobs[blob] = other(bytes.Clone(good))
	return doc, func() { b.remote.blobs[blob] = good }
}

// TestPullWrongBytes: bytes that are not the blob's are refused, and the next pull begins without
// them, also when the stream broke before their digest was known.
func TestPullWrongBytes(t *testing.T) {
	flipped := func(data []byte) []byte { data[20] ^= 1; return data }
	for name, breaks := range map[string]bool{"whole": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			doc, heal := wrongBytes(t, b, flipped)
			ref := b.remote.tag(t, "x", doc)
			if wrong := b.remote.blobs[doc.Layers[0].Digest]; breaks {
				b.remote.open = func() io.ReadCloser {
					part := wrong[:25]
					wrong = wrong[25:]
					return io.NopCloser(io.MultiReader(bytes.NewReader(part), broken{}))
				}
			}
			if _, err := b.Pull(t.Context(), ref, PullOptions{}); err == nil {
				t.Fatal("accepted")
			}
			heal()
			b.remote.open = nil
			if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
				t.Errorf("the next pull: %v", err)
			}
			if problems, err := b.Check(t.Context(), false); err != nil || len(problems) > 0 {
				t.Errorf("check: %v %v", problems, err)
			}
		})
	}
}

// TestPullLonger: a blob with bytes after its end is refused.
func TestPullLonger(t *testing.T) {
	b := newBench(t, true)
	doc, heal := wrongBytes(t, b, func(data []byte) []byte { return append(data, 0) })
	ref := b.remote.tag(t, "x", doc)
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); !errdefs.IsDataLoss(err) {
		t.Errorf("got %v", err)
	}
	heal()
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Errorf("the next pull: %v", err)
	}
}

// TestPullRefusedLayer: nothing is kept of a layer with the right digest that cannot be unpacked.
func TestPullRefusedLayer(t *testing.T) {
	b := newBench(t, true)
	bad := b.remote.blob([]byte("this is no tar archive"), ocispec.MediaTypeImageLayer)
	good := b.remote.image(t, here(), tarOf(t, "a", 10))
	doc, err := makeManifest(*good.Config, []ocispec.Descriptor{bad})
	if err != nil {
		t.Fatal(err)
	}
	b.remote.docs[doc.Descriptor.Digest] = doc
	b.unpack.refuse = errdefs.ErrInvalidArgument.WithMessage("no archive")
	if _, err := b.Pull(t.Context(), b.remote.tag(t, "x", doc), PullOptions{}); err == nil || !strings.Contains(err.Error(), "no archive") {
		t.Fatalf("got %v", err)
	}
	if err := b.meta.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := onDisk(t, b); len(left) > 0 {
		t.Errorf("these files are left: %v", left)
	}
}

// suspect is a stream that remembers whether it was distrusted.
type suspect struct {
	io.Reader
	distrusted *int
}

func (s suspect) Close() error   { return nil }
func (s suspect) Distrust() bool { *s.distrusted++; return true }

// TestPullDistrust: a host that gave wrong bytes is left for another one, in the same pull.
func TestPullDistrust(t *testing.T) {
	b := newBench(t, true)
	doc, _ := wrongBytes(t, b, func(data []byte) []byte { data[20] ^= 1; return data })
	blob := doc.Layers[0].Digest
	good := bytes.Clone(b.remote.blobs[blob])
	good[20] ^= 1
	told := 0
	b.remote.open = func() io.ReadCloser {
		if told > 0 {
			return io.NopCloser(bytes.NewReader(good))
		}
		return suspect{bytes.NewReader(b.remote.blobs[blob]), &told}
	}
	if _, err := b.Pull(t.Context(), b.remote.tag(t, "x", doc), PullOptions{}); err != nil || told != 1 {
		t.Errorf("distrusted %d times: %v", told, err)
	}
}

// TestOrphan: what a layer needs of the ones below it must be there: the lowest has none.
func TestOrphan(t *testing.T) {
	b := newBench(t, true)
	b.unpack.needs, b.unpack.orphan = true, errdefs.ErrInvalidArgument.WithMessage("nothing to link to")
	_, err := b.Pull(t.Context(), b.remote.tag(t, "x", b.remote.image(t, here(), tarOf(t, "a", 10))), PullOptions{})
	if err == nil || !strings.Contains(err.Error(), "nothing to link to") {
		t.Errorf("pull: %v", err)
	}
	if _, err = b.Import(t.Context(), bytes.NewReader(tarOf(t, "a", 10)), ImportOptions{}); err == nil || !strings.Contains(err.Error(), "nothing to link to") {
		t.Errorf("import: %v", err)
	}
}
