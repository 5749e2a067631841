package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestImageLabels: what an image says in its labels and annotations is data (CVE-2014-6408, CVE-2026-53488). None of it
// becomes a label of the store, where labels rule what is kept and what is run.
func TestImageLabels(t *testing.T) {
	b := newBench(t, true)
	const mark = "of-the-image"
	reserved := map[string]string{}
	for _, k := range []string{
		"containerd.io/gc.root", "containerd.io/gc.expire", "containerd.io/gc.ref.content.x", "containerd.io/gc.ref.snapshot.fake", "containerd.io/restart.loguri", "containerd.io/restart.status",
		"containerd.io/snapshot.ref", "containerd.io/distribution.source.r.example", "containerd.io/uncompressed", "io.containerd.image.name", "io.cri-containerd.image", "com.docker.compose.project",
		labelSize, labelSource + "r.example", "hull/lease.keep", "hull/anything",
	} {
		reserved[k] = "binary:///" + mark
	}
	good := b.remote.image(t, here(), tarOf(t, "a", 10))
	var c ocispec.Image
	if err := json.Unmarshal(b.remote.blobs[good.Config.Digest], &c); err != nil {
		t.Fatal(err)
	}
	c.Config.Labels = reserved
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	config := b.remote.blob(raw, ocispec.MediaTypeImageConfig)
	config.Annotations = reserved
	layers := good.Layers
	layers[0].Annotations = reserved
	doc, err := makeManifest(config, layers)
	if err != nil {
		t.Fatal(err)
	}
	b.remote.docs[doc.Descriptor.Digest] = doc
	img, err := b.Pull(t.Context(), b.remote.tag(t, "x", doc), PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if img.Config.Config.Labels[labelSize] == "" {
		t.Error("a user does not see the image's labels")
	}
	ctx := b.meta.Context(t.Context())
	check := func(what string, labels map[string]string) {
		for k, v := range labels {
			if strings.Contains(k+v, mark) {
				t.Errorf("%s has the image's label %s=%s", what, k, v)
			}
		}
	}
	n := 0
	err = errors.Join(
		b.blobs.Walk(ctx, func(i content.Info) error { n++; check("blob "+i.Digest.String(), i.Labels); return nil }),
		b.snaps.Walk(ctx, func(_ context.Context, i snapshots.Info) error { n++; check("snapshot "+i.Name, i.Labels); return nil }),
	)
	names, lerr := b.records.List(ctx)
	for _, r := range names {
		n++
		check("name "+r.Name, r.Labels)
	}
	if err = errors.Join(err, lerr); err != nil || n < 5 {
		t.Errorf("%d records: %v", n, err)
	}
}

// TestPullDigestElsewhere: an image that is here under one name is not here under another one: the repository that is
// named must have it (moby 20.10.20, "ambiguous pull by digest").
func TestPullDigestElsewhere(t *testing.T) {
	b := newBench(t, true)
	doc := b.remote.image(t, here(), tarOf(t, "a", 10))
	if _, err := b.Pull(t.Context(), b.remote.tag(t, "r.example/mine:1", doc), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	delete(b.remote.docs, doc.Descriptor.Digest) // no repository has it any more
	for _, name := range []string{"r.example/other@", "r.example/other:1@", "r.example/mine:2@"} {
		if _, err := b.Pull(t.Context(), parse(t, name+doc.Descriptor.Digest.String()), PullOptions{}); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := b.Images(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Tags) != 1 || len(all[0].Digests) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	// And what a repository gives under a digest must be that.
	other := b.remote.image(t, here(), tarOf(t, "z", 10))
	b.remote.docs[doc.Descriptor.Digest] = other
	if _, err := b.Pull(t.Context(), parse(t, "r.example/mine@"+doc.Descriptor.Digest.String()), PullOptions{}); !errdefs.IsDataLoss(err) {
		t.Errorf("another document: %v", err)
	}
}

// TestDistributionVerifies: the platform of an image is read from the config that its manifest names.
func TestDistributionVerifies(t *testing.T) {
	b := newBench(t, true)
	doc := b.remote.image(t, here(), tarOf(t, "a", 10))
	ref := b.remote.tag(t, "x", doc)
	if _, p, err := b.Distribution(t.Context(), ref, Credentials{}); err != nil || len(p) != 1 || p[0].OS != "linux" {
		t.Errorf("%v, %v", p, err)
	}
	b.remote.blobs[doc.Config.Digest] = bytes.Replace(b.remote.blobs[doc.Config.Digest], []byte(`"linux"`), []byte(`"plan9"`), 1)
	if _, p, err := b.Distribution(t.Context(), ref, Credentials{}); !errdefs.IsDataLoss(err) {
		t.Errorf("another config: %v, %v", p, err)
	}
}

// TestLoadBounds: an archive of images takes no more memory and disk than its bytes are worth.
func TestLoadBounds(t *testing.T) {
	tarBytes := func(headers ...*tar.Header) []byte {
		var raw bytes.Buffer
		w := tar.NewWriter(&raw)
		for _, h := range headers {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		return raw.Bytes()
	}
	long := strings.Repeat("n", 1<<19)
	many := make([]*tar.Header, maxArchiveFiles+2)
	for i := range many {
		many[i] = &tar.Header{Typeflag: tar.TypeDir, Name: "d/"}
	}
	zeros := func() io.Reader { // 1 GiB of zeros in 1 MiB: more than deflate can
		head := tarBytes(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: 1 << 33})
		return io.MultiReader(bytes.NewReader(zstdFrame(head)), &repeating{[]byte{2, 0, 16, 0}})
	}
	for name, c := range map[string]struct {
		r    io.Reader
		want string
	}{
		"a long name":    {bytes.NewReader(tarBytes(&tar.Header{Typeflag: tar.TypeSymlink, Name: long, Linkname: "x"})), "a name of 524288 bytes"},
		"a long target":  {bytes.NewReader(tarBytes(&tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: long})), "a name of 524288 bytes"},
		"many files":     {bytes.NewReader(tarBytes(many...)), "more than 16384 files"},
		"a sparse file":  {bytes.NewReader(sparseTar), "is a sparse file"},
		"a decompressed": {zeros(), "more than 1100 for one"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			b.opts.Free = func() (int64, error) { return 1 << 40, nil }
			err := b.Load(t.Context(), c.r, nil, nil)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.300v, want something with %q", err, c.want)
			}
			if err := b.meta.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := onDisk(t, b); len(left) > 0 {
				t.Errorf("these are left: %v", left)
			}
		})
	}
}

// TestReserve: what comes in leaves some of the disk.
func TestReserve(t *testing.T) {
	data := rawTar(t, bytes.Repeat([]byte("x"), 1<<20))
	for name, bring := range map[string]func(b *bench) error{
		"pull": func(b *bench) error {
			_, err := b.Pull(b.t.Context(), b.remote.tag(t, "x", b.remote.image(t, here(), data)), PullOptions{})
			return err
		},
		"load": func(b *bench) error { return b.Load(b.t.Context(), bytes.NewReader(data), nil, nil) },
		"import": func(b *bench) error {
			_, err := b.Import(b.t.Context(), bytes.NewReader(data), ImportOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, true)
			b.opts.Free = func() (int64, error) { return reserve, nil }
			if err := bring(b); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v", err)
			}
			if err := b.meta.Collect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := onDisk(t, b); len(left) > 0 {
				t.Errorf("these are left: %v", left)
			}
		})
	}
}

// sparseTar is a member of GNU's old format whose map has no data for its terabyte.
var sparseTar = func() []byte {
	b := make([]byte, 1024+512)
	copy(b, "x")
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        S")
	copy(b[257:], "ustar  \x00")
	copy(b[483:], "17777777777\x00")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	return b
}()

// zstdFrame begins a frame of a raw block.
func zstdFrame(head []byte) []byte {
	raw := uint32(len(head)) << 3
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x50, byte(raw), byte(raw >> 8), byte(raw >> 16)}, head...)
}

// repeating is a stream of the same bytes without end.
type repeating struct{ block []byte }

func (r *repeating) Read(p []byte) (int, error) {
	n := len(p) - len(p)%len(r.block)
	for i := 0; i < n; i += len(r.block) {
		copy(p[i:], r.block)
	}
	return n, nil
}

// TestLoadAmbiguous: documents of an archive that two parsers may read differently are refused, as a registry's are.
func TestLoadAmbiguous(t *testing.T) {
	for _, doc := range []string{
		`[{"Config":"c","Layers":["a"],"LAYERS":["b"]}]`, `[{"Config":"c","Config":"d","Layers":[]}]`, `[]{}`, `{"Config":"c"}`,
	} {
		b := newBench(t, true)
		var raw bytes.Buffer
		w := tar.NewWriter(&raw)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Size: int64(len(doc))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(doc)); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := b.Load(t.Context(), &raw, nil, nil); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "manifest.json of the archive") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
