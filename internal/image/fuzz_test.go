package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzSaved: manifest.json of an archive is read alike by every parser, or refused.
func FuzzSaved(f *testing.F) {
	for _, s := range []string{
		`[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]`, `[]`, ` [null]`, `{}`, `[{"Layers":["a"],"LAYERS":["b"]}]`,
		`[{"Config":"a","Config":"b"}]`, `[],"x":[]`, `[{"Config":1}]`, `[{"RepoTags":[` + strings.Repeat(`"a",`, 2000) + `"a"]}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		saved, err := parseSaved(raw)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) || len(err.Error()) > 1000 {
				t.Fatalf("class or length of %q", err)
			}
			return
		}
		var exact []map[string]json.RawMessage
		if err := json.Unmarshal(raw, &exact); err != nil || len(exact) != len(saved) {
			t.Fatalf("%q has %d images, or %d: %v", raw, len(saved), len(exact), err)
		}
	})
}

// archiveOf is a tar of files, name and content in turn.
func archiveOf(f *testing.F, files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzLoad: whatever an archive of images has in it, the store can be read and emptied after it.
func FuzzLoad(f *testing.F) {
	layer := string(tarOf(f, "a", 10))
	config := `{"os":"linux","architecture":"` + here().Architecture + `","rootfs":{"type":"layers","diff_ids":["` + digest.FromString(layer).String() + `"]}}`
	f.Add(archiveOf(f, "c.json", config, "l/layer.tar", layer, "manifest.json", `[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]`))
	doc, err := makeManifest(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))},
		[]ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(layer), Size: int64(len(layer))}})
	if err != nil {
		f.Fatal(err)
	}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{doc.Descriptor}})
	if err != nil {
		f.Fatal(err)
	}
	layout := archiveOf(f, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", string(index),
		blobPath(digest.FromString(config)), config, blobPath(digest.FromString(layer)), layer, blobPath(doc.Descriptor.Digest), string(doc.Raw))
	f.Add(layout)
	f.Add(zip(f, layout))
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	b := newBench(f, true)
	if err := b.Load(f.Context(), bytes.NewReader(layout), nil, nil); err != nil {
		f.Fatalf("the good layout: %v", err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := b.Load(t.Context(), bytes.NewReader(raw), nil, nil)
		all, lerr := b.Images(t.Context())
		if lerr != nil {
			t.Fatalf("the images cannot be listed: %v", lerr)
		}
		if err != nil && len(err.Error()) > 2000 {
			t.Fatalf("length of %q", err)
		}
		for _, img := range all {
			if len(img.Config.RootFS.DiffIDs) != len(img.Layers) {
				t.Fatalf("image %s of %d layers has %d", img.ID, len(img.Config.RootFS.DiffIDs), len(img.Layers))
			}
			if _, err := b.Remove(t.Context(), string(img.ID), RemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzChanges: the instructions of an import make a config that reads back, or are refused.
func FuzzChanges(f *testing.F) {
	for _, s := range []string{"CMD [\"a\"]", "ENV a=b c=\"d e\"", "ENV a b", "LABEL x='y z'", "EXPOSE 80/tcp 53/udp", "VOLUME [\"/a\"]", "VOLUME /a /b", "USER 1:2", "WORKDIR x", "ONBUILD RUN x", "STOPSIGNAL 9", "FROM x", "CMD", "ENTRYPOINT x\nCMD y", "LABEL a=\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c dockerspec.DockerOCIImageConfig
		if err := applyChanges(&c, strings.Split(text, "\n")); err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		for _, e := range c.Env {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
				t.Fatalf("%q sets %q: such an entry names a variable of somebody else", text, e)
			}
		}
		if _, err := json.Marshal(c); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
