package image

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
)

func TestPull(t *testing.T) {
	for _, rebase := range []bool{true, false} {
		b := newBench(t, rebase)
		l := tarOf(t, "a", 100)
		doc := b.remote.image(t, here(), l, tarOf(t, "b", 2000), l)
		ref := b.remote.tag(t, "r.example/x:1", doc)
		var said []string
		img, err := b.Pull(t.Context(), ref, PullOptions{Report: func(p Progress) { said = append(said, p.Status) }})
		if err != nil {
			t.Fatalf("rebase %v: %v", rebase, err)
		}
		if img.ID != ID(doc.Config.Digest) || img.Size != 2200 || len(img.Layers) != 3 {
			t.Errorf("rebase %v: got image %s of %d bytes, %d layers", rebase, img.ID, img.Size, len(img.Layers))
		}
		if n := b.snaps.count(snapshots.KindCommitted); n != 3 {
			t.Errorf("rebase %v: %d committed snapshots, want 3", rebase, n)
		}
		if n := b.left(snapshots.KindActive); n != 0 {
			t.Errorf("rebase %v: %d snapshots are left unfinished", rebase, n)
		}
		if got := said[len(said)-1]; got != "Status: Downloaded newer image for r.example/x:1" {
			t.Errorf("rebase %v: last line %q", rebase, got)
		}
		found, err := b.Find(t.Context(), "r.example/x:1")
		if err != nil || len(found.Digests) != 1 || found.Digests[0].Digest != doc.Descriptor.Digest {
			t.Errorf("rebase %v: Find: %v %v", rebase, found, err)
		}
		extracts := b.unpack.extracts
		if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil || b.unpack.extracts != extracts {
			t.Errorf("rebase %v: the second pull: %v, %d extractions more", rebase, err, b.unpack.extracts-extracts)
		}
		if problems, err := b.Check(t.Context(), false); err != nil || len(problems) > 0 {
			t.Errorf("rebase %v: check: %v %v", rebase, problems, err)
		}
	}
}

// TestPullStreams: with a snapshotter that rebases, layers are extracted while they come in,
// without their parents.
func TestPullStreams(t *testing.T) {
	b := newBench(t, true)
	ref := b.remote.tag(t, "x", b.remote.image(t, here(), tarOf(t, "a", 10), tarOf(t, "b", 10)))
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.unpack.parents, []string{"", ""}) {
		t.Errorf("layers were extracted above %q", b.unpack.parents)
	}
}

// TestPullNeedsParent: a layer that needs the ones below it is extracted again, above them.
func TestPullNeedsParent(t *testing.T) {
	b := newBench(t, true)
	b.unpack.needs = true
	ref := b.remote.tag(t, "x", b.remote.image(t, here(), tarOf(t, "a", 10), tarOf(t, "b", 10)))
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if b.unpack.extracts != 3 || b.unpack.parents[2] == "" {
		t.Errorf("%d extractions, above %q", b.unpack.extracts, b.unpack.parents)
	}
	if n := b.left(snapshots.KindActive); n != 0 {
		t.Errorf("%d snapshots are left unfinished", n)
	}
}

// TestPullResumes: a stream that breaks is read on, by the same pull and, after it gave up, by
// the next one, also of a store that was opened anew.
func TestPullResumes(t *testing.T) {
	b := newBench(t, true)
	// Random enough not to shrink: the hash of a counter.
	var data []byte
	for d := digest.FromString("seed"); len(data) < 40_000; d = digest.FromString(d.String()) {
		data = append(data, d.Encoded()...)
	}
	doc := b.remote.image(t, here(), rawTar(t, data))
	ref := b.remote.tag(t, "x", doc)
	blob := doc.Layers[0].Digest
	b.remote.breakAfter, b.remote.breaks = 1000, 2
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.remote.opened[blob]; !slices.Equal(got, []int64{0, 1000, 2000}) {
		t.Errorf("the blob was opened at %v", got)
	}

	// A stream that ends too early without an error is a broken one too.
	b = newBench(t, true)
	b.remote.tag(t, "x", b.remote.image(t, here(), rawTar(t, data)))
	b.remote.breakAfter, b.remote.breaks, b.remote.silent = 1000, 2, true
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.remote.opened[blob]; !slices.Equal(got, []int64{0, 1000, 2000}) {
		t.Errorf("after a silent end the blob was opened at %v", got)
	}

	b = newBench(t, true)
	b.remote.image(t, here(), rawTar(t, data))
	b.remote.tag(t, "x", doc)
	b.remote.breakAfter, b.remote.breaks = 1000, attempts
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err == nil {
		t.Fatal("a pull whose stream always breaks succeeded")
	}
	if _, err := b.Find(t.Context(), "x"); !errdefs.IsNotFound(err) {
		t.Errorf("a broken pull left an image: %v", err)
	}
	if err := b.meta.Collect(t.Context()); err != nil { // keeps what the lease holds
		t.Fatal(err)
	}
	b.remote.opened = map[digest.Digest][]int64{}
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := b.remote.opened[blob]; !slices.Equal(got, []int64{1000 * attempts}) {
		t.Errorf("the second pull opened the blob at %v, want to go on at %d", got, 1000*attempts)
	}
}

func rawTar(t *testing.T, data []byte) []byte {
	t.Helper()
	out := tarOf(t, "r", len(data))
	copy(out[512:], data)
	return out
}

// TestPullRefuses: what a registry sends is held to what it said.
func TestPullRefuses(t *testing.T) {
	a, z := tarOf(t, "a", 100), tarOf(t, "z", 100)
	cases := []struct {
		name  string
		spoil func(*testing.T, *fakeRemote) *manifest.Document
		class func(error) bool
	}{
		{"other bytes of the same length", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a)
			data := bytes.Clone(f.blobs[doc.Layers[0].Digest])
			data[len(data)-9] ^= 1 // in the deflate stream's end or the checksum
			f.blobs[doc.Layers[0].Digest] = data
			return doc
		}, nil},
		{"another layer", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a)
			f.blobs[doc.Layers[0].Digest] = zip(t, z)
			return doc
		}, nil},
		{"a shorter layer", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a)
			f.blobs[doc.Layers[0].Digest] = f.blobs[doc.Layers[0].Digest][:50]
			return doc
		}, nil},
		{"a diffID that is not the layer's", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a)
			other := f.image(t, here(), z)
			bad, err := makeManifest(*doc.Config, other.Layers)
			if err != nil {
				t.Fatal(err)
			}
			f.docs[bad.Descriptor.Digest] = bad
			return bad
		}, errdefs.IsInvalidArgument},
		{"a config with another number of layers", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a, z)
			bad, err := makeManifest(*doc.Config, doc.Layers[:1])
			if err != nil {
				t.Fatal(err)
			}
			f.docs[bad.Descriptor.Digest] = bad
			return bad
		}, errdefs.IsInvalidArgument},
		{"a config with other bytes", func(t *testing.T, f *fakeRemote) *manifest.Document {
			doc := f.image(t, here(), a)
			f.blobs[doc.Config.Digest] = bytes.ToUpper(f.blobs[doc.Config.Digest])
			return doc
		}, errdefs.IsDataLoss},
		{"another platform only", func(t *testing.T, f *fakeRemote) *manifest.Document {
			return f.index(t, "s390x")
		}, errdefs.IsNotFound},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, true)
			ref := b.remote.tag(t, "x", c.spoil(t, b.remote))
			_, err := b.Pull(t.Context(), ref, PullOptions{})
			if err == nil || c.class != nil && !c.class(err) {
				t.Fatalf("got %v", err)
			}
			if all, err := b.Images(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("images %v %v", all, err)
			}
			if n := b.left(snapshots.KindCommitted) + b.left(snapshots.KindActive); n > 0 {
				t.Errorf("%d snapshots are left", n)
			}
			good := b.remote.tag(t, "x", newGood(t, b.remote))
			if _, err := b.Pull(t.Context(), good, PullOptions{}); err != nil {
				t.Errorf("the next pull: %v", err)
			}
		})
	}
}

func newGood(t *testing.T, f *fakeRemote) *manifest.Document {
	return f.image(t, here(), tarOf(t, "good", 100))
}

// index is an index of one image for each architecture.
func (f *fakeRemote) index(t *testing.T, architectures ...string) *manifest.Document {
	t.Helper()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, a := range architectures {
		p := ocispec.Platform{OS: "linux", Architecture: a}
		d := target(f.image(t, p, tarOf(t, a, 10)))
		d.Platform = &p
		index.Manifests = append(index.Manifests, d)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := manifest.Parse(ocispec.MediaTypeImageIndex, raw)
	if err != nil {
		t.Fatal(err)
	}
	f.docs[doc.Descriptor.Digest] = doc
	return doc
}

// TestPullPlatform: the index is kept whole, with the images that were asked for.
func TestPullPlatform(t *testing.T) {
	b := newBench(t, true)
	arch := here().Architecture
	index := b.remote.index(t, "s390x", arch, "riscv64")
	ref := b.remote.tag(t, "x", index)
	img, err := b.Pull(t.Context(), ref, PullOptions{})
	if err != nil || img.Config.Architecture != arch {
		t.Fatalf("got %v %v", img, err)
	}
	other, err := b.Pull(t.Context(), ref, PullOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}})
	if err != nil || other.Config.Architecture != "riscv64" {
		t.Fatalf("got %v %v", other, err)
	}
	found, err := b.Find(t.Context(), "x")
	if err != nil || found.ID != img.ID || found.Targets[0].Digest != index.Descriptor.Digest {
		t.Errorf("Find: %v %v", found, err)
	}
	_, err = b.Pull(t.Context(), ref, PullOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "ppc64le"}})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "no matching manifest for linux/ppc64le in the manifest list entries") {
		t.Errorf("got %v", err)
	}
}

// TestPullMovedTag: the image that loses its tag stays, by its digest.
func TestPullMovedTag(t *testing.T) {
	b := newBench(t, true)
	old := b.remote.image(t, here(), tarOf(t, "a", 10))
	ref := b.remote.tag(t, "x", old)
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	b.remote.tag(t, "x", b.remote.image(t, here(), tarOf(t, "a", 10), tarOf(t, "b", 10)))
	if _, err := b.Pull(t.Context(), ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := b.Images(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("images %v %v", all, err)
	}
	if img := all[1]; img.ID != ID(old.Config.Digest) || len(img.Tags) != 0 || len(img.Digests) != 1 {
		t.Errorf("the old image is %+v", img)
	}
}

// TestTagMoves: an image that loses its only name is there as a dangling one, until it gets a
// name again.
func TestTagMoves(t *testing.T) {
	b := newBench(t, true)
	first, err := b.Import(t.Context(), bytes.NewReader(tarOf(t, "a", 10)), ImportOptions{Name: parse(t, "i")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Import(t.Context(), bytes.NewReader(tarOf(t, "b", 10)), ImportOptions{Name: parse(t, "i")}); err != nil {
		t.Fatal(err)
	}
	img, err := b.Find(t.Context(), string(first))
	if err != nil || !img.Dangling() {
		t.Fatalf("the first image: %v %v", img, err)
	}
	if err := b.Tag(t.Context(), string(first), parse(t, "j")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Remove(t.Context(), "j", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(t.Context(), string(first)); !errdefs.IsNotFound(err) {
		t.Errorf("after its only name was removed: %v", err)
	}
}

// TestPullDigestOfRepository: an image that is here by digest does not answer for another
// repository with the same digest.
func TestPullDigestOfRepository(t *testing.T) {
	b := newBench(t, true)
	doc := b.remote.image(t, here(), tarOf(t, "a", 10))
	if _, err := b.Pull(t.Context(), b.remote.tag(t, "x", doc), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(t.Context(), "x@"+doc.Descriptor.Digest.String()); err != nil {
		t.Error(err)
	}
	if _, err := b.Find(t.Context(), "y@"+doc.Descriptor.Digest.String()); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}
