package hostile

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
)

// Where the image is, and who may pull it.
const (
	Repository = "hostile/image"
	Tag        = "1"
	User       = "mallory"
	Password   = "correct-horse/battery+staple"
)

// BlobSize is the size of the image's one layer, in bytes: a tar of one file, a header block, 583 blocks of
// random bytes and the end mark.
const BlobSize = 512 + 583*512 + 1024

// Media types of the image.
const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

// Image is what the registry has: an index of one manifest of a config and a layer.
type Image struct {
	Index, Manifest, Config, Layer []byte
	more                           map[string][]byte // further documents by digest, with their media types in kinds
	kinds                          map[string]string
}

// Digest is the digest of some bytes.
func Digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// descriptor is the JSON form of one.
func descriptor(kind string, b []byte) map[string]any {
	return map[string]any{"mediaType": kind, "digest": Digest(b), "size": len(b)}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps, strings and numbers
	}
	return b
}

// newImage makes the image of a behaviour: the same each time, and another one for each name, so that a store
// that has one has none of another's bytes.
func newImage(name string) *Image {
	im := &Image{Layer: layer(name), more: make(map[string][]byte), kinds: make(map[string]string)}
	im.Config = []byte(`{"architecture":"` + runtime.GOARCH + `","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["` + Digest(im.Layer) + `"]}}`)
	im.Manifest = im.manifest("")
	im.Index = im.index(descriptor(manifestType, im.Manifest))
	return im
}

// layer is a tar of BlobSize bytes.
func layer(name string) []byte {
	data := make([]byte, BlobSize-512-1024)
	rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(data)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(data))}); err != nil {
		panic(err) // into memory, of constants
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// manifest is the image's manifest, with an annotation to make it another one.
func (im *Image) manifest(note string) []byte {
	return encode(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": descriptor("application/vnd.oci.image.config.v1+json", im.Config),
		"layers": []any{descriptor("application/vnd.oci.image.layer.v1.tar", im.Layer)}, "annotations": map[string]string{"note": note}})
}

func (im *Image) index(entries ...map[string]any) []byte {
	return encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": entries})
}

// add makes the registry have a further document.
func (im *Image) add(kind string, b []byte) map[string]any {
	im.more[Digest(b)], im.kinds[Digest(b)] = b, kind
	return descriptor(kind, b)
}

// document finds a document by tag or digest.
func (im *Image) document(name string) (kind string, b []byte) {
	switch name {
	case Tag, Digest(im.Index):
		return indexType, im.Index
	case Digest(im.Manifest):
		return manifestType, im.Manifest
	}
	return im.kinds[name], im.more[name]
}

// blob finds a blob by digest.
func (im *Image) blob(name string) []byte {
	switch name {
	case Digest(im.Config):
		return im.Config
	case Digest(im.Layer):
		return im.Layer
	}
	return nil
}
