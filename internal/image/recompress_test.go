package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/ulikunitz/xz"
)

func xzOf(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 20}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bzipped is "hello\n" as bzip2; nothing here writes it.
var bzipped = "QlpoOTFBWSZTWcHAgOIAAAFBAAAQAkSgADDNAMNGKZcXckU4UJDBwIDi"

func TestPortable(t *testing.T) {
	bz, err := base64.StdEncoding.DecodeString(bzipped)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in     []byte
		gzip   bool
		failed bool
	}{
		"plain": {[]byte("hello\n"), false, false}, "gzip": {zip(t, []byte("hello\n")), false, false}, "xz": {xzOf(t, []byte("hello\n")), true, false},
		"bzip2": {bz, true, false}, "empty": {nil, false, false}, "cut xz": {xzOf(t, []byte("hello\n"))[:40], true, true}, "cut bzip2": {bz[:20], true, true},
	} {
		r, stop, err := portable(bytes.NewReader(c.in))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, err := io.ReadAll(r)
		stop()
		if (err != nil) != c.failed || bytes.HasPrefix(out, magicGzip) != (c.gzip || name == "gzip") && !c.failed || !c.gzip && !bytes.Equal(out, c.in) {
			t.Errorf("%s: %x, %v", name, out, err)
		}
	}
	// One who stops reading leaves nothing running.
	r, stop, err := portable(bytes.NewReader(xzOf(t, make([]byte, 10<<20))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	stop()
}

// TestForeignLayers: xz archives are read, and no image has layers that others cannot read.
func TestForeignLayers(t *testing.T) {
	b := newBench(t, true)
	layer := tarOf(t, "a", 100)
	if _, err := b.Import(t.Context(), bytes.NewReader(xzOf(t, layer)), ImportOptions{Name: parse(t, "i:1")}); err != nil {
		t.Fatal(err)
	}
	img, err := b.Find(t.Context(), "i:1")
	if err != nil || img.Layers[0].Blob.MediaType != ocispec.MediaTypeImageLayerGzip {
		t.Fatalf("imported %+v, %v", img, err)
	}
	// A saved image whose layers are compressed with xz, in an archive that is, too.
	data := xzOf(t, dockerArchive(t, "x:1", xzOf(t, layer), layer))
	if err := b.Load(t.Context(), bytes.NewReader(data), nil, nil); err != nil {
		t.Fatal(err)
	}
	if img, err = b.Find(t.Context(), "x:1"); err != nil || img.Layers[0].Blob.MediaType != ocispec.MediaTypeImageLayerGzip {
		t.Fatalf("loaded %+v, %v", img, err)
	}
}

// dockerArchive is a `docker save` of an image of one layer, which is in the archive as packed.
func dockerArchive(t *testing.T, name string, packed, layer []byte) []byte {
	t.Helper()
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, here().Architecture, sha256.Sum256(layer))
	list, err := json.Marshal([]savedImage{{Config: "c.json", RepoTags: []string{name}, Layers: []string{"l.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		data []byte
	}{{"l.tar", packed}, {"c.json", []byte(config)}, {"manifest.json", list}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
