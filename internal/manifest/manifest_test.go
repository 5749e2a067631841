package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	dgA  = string(digest.FromString("a"))
	dgB  = string(digest.FromString("b"))
	conf = fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":1}`, dgA)
	lay  = fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"%s","size":1}`, dgB)
	man  = fmt.Sprintf(`{"mediaType":"%s","digest":"%s","size":1,"platform":{"architecture":"amd64","os":"linux"}}`, OCIManifest, dgB)
	good = `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + conf + `,"layers":[` + lay + `],"annotations":{"a":"1","A":"2"}}`
	idx  = `{"schemaVersion":2,"manifests":[` + man + `]}`
)

func TestParseGood(t *testing.T) {
	d, err := Parse(OCIManifest+"; charset=utf-8", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if d.Descriptor.Digest != digest.FromString(good) || d.Descriptor.Size != int64(len(good)) || len(d.Blobs()) != 2 || d.Annotations["A"] != "2" || d.ArtifactType != "" {
		t.Errorf("got %+v", d)
	}
	for _, as := range []string{OCIIndex, "", "application/json"} {
		if d, err = Parse(as, []byte(idx)); err != nil || d.Descriptor.MediaType != OCIIndex || len(d.Manifests) != 1 || d.Blobs() != nil {
			t.Errorf("index as %q: got %+v, %v", as, d, err)
		}
	}
	artifact := `{"schemaVersion":2,"config":{"mediaType":"application/vnd.example.sbom+json","digest":"` + dgA + `","size":1},"layers":[]}`
	if d, err = Parse(OCIManifest, []byte(artifact)); err != nil || d.ArtifactType != "application/vnd.example.sbom+json" {
		t.Errorf("artifact: got %+v, %v", d, err)
	}
}

// hostile documents, each with a word that its error must have.
var hostile = []struct{ name, as, doc, want string }{
	{"both kinds", OCIManifest, `{"schemaVersion":2,"config":` + conf + `,"layers":[],"manifests":[` + man + `]}`, "both"},
	{"both kinds, empty lists", OCIIndex, `{"schemaVersion":2,"layers":[],"manifests":[]}`, "both"},
	{"index served as manifest", OCIManifest, idx, "no field config"},
	{"manifest served as index", OCIIndex, `{"schemaVersion":2,"config":` + conf + `,"layers":[]}`, "no field manifests"},
	{"swapped media type", OCIIndex, good, "served as"},
	{"Docker's type served as OCI's", OCIManifest, strings.Replace(good, OCIManifest, DockerManifest, 1), "served as"},
	{"folded key", OCIManifest, strings.Replace(good, `"layers"`, `"layers":[],"LAYERS"`, 1), "but for case"},
	{"folded key alone", OCIManifest, strings.Replace(good, `"layers"`, `"Layers"`, 1), "but for case"},
	{"folded by Unicode", OCIManifest, strings.Replace(good, `"layers"`, "\"layers\":[],\"layer\u017f\"", 1), "but for case"},
	{"escaped key", OCIManifest, strings.Replace(good, `"layers"`, `"layers":[],"l\u0061yers"`, 1), "twice"},
	{"folded key in a descriptor", OCIManifest, strings.Replace(good, `"size"`, `"Size":9,"size"`, 1), "but for case"},
	{"folded unknown keys", OCIManifest, strings.Replace(good, `{"schema`, `{"x":1,"X":2,"schema`, 1), "twice"},
	{"duplicate annotation", OCIManifest, strings.Replace(good, `"A":"2"`, `"a":"2"`, 1), "twice"},
	{"trailing document", OCIManifest, good + good, "follows"},
	{"trailing garbage", OCIManifest, good + "x", "follows"},
	{"array", OCIManifest, "[" + good + "]", "not a JSON object"},
	{"empty", OCIManifest, "", "ends"},
	{"cut", OCIManifest, good[:len(good)-5], "ends"},
	{"null", OCIManifest, "null", "not a JSON object"},
	{"not UTF-8", OCIManifest, strings.Replace(good, `"a":"1"`, "\"a\":\"\xff\"", 1), "UTF-8"},
	{"deep", OCIManifest, `{"schemaVersion":2,"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`, "deeper"},
	{"big", OCIManifest, `{"schemaVersion":2,"x":"` + strings.Repeat("x", MaxSize) + `"}`, "limit"},
	{"100,000 layers", OCIManifest, `{"schemaVersion":2,"config":` + conf + `,"layers":[{}` + strings.Repeat(`,{}`, 100_000) + `]}`, "list of more than 20000"},
	{"10,000 layers", OCIManifest, `{"schemaVersion":2,"config":` + conf + `,"layers":[{}` + strings.Repeat(`,{}`, 10_000) + `]}`, "layers, the limit"},
	{"many manifests", OCIIndex, `{"schemaVersion":2,"manifests":[{}` + strings.Repeat(`,{}`, 2000) + `]}`, "manifests, the limit"},
	{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`, "schema 1"},
	{"schema 1 unsaid", "", `{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
	{"null layers beside manifests", OCIIndex, strings.Replace(idx, `"manifests"`, `"layers":null,"manifests"`, 1), "both"},
	{"schema 1 and 2", OCIManifest, strings.Replace(good, `"config"`, `"fsLayers":[],"config"`, 1), "schema 1"},
	{"no schema version", OCIManifest, strings.Replace(good, `"schemaVersion":2,`, "", 1), "schemaVersion"},
	{"HTML", "text/html", "<html>", "not an image's"},
	{"bad content type", "a/b/c;;", good, "not valid"},
	{"other type inside", "", strings.Replace(good, OCIManifest, "text/html", 1), "not an image's"},
	{"negative size", OCIManifest, strings.Replace(good, `"size":1`, `"size":-1`, 1), "size -1"},
	{"huge size", OCIManifest, strings.Replace(good, `"size":1`, `"size":9223372036854775808`, 1), "where it should not"},
	{"size as text", OCIManifest, strings.Replace(good, `"size":1`, `"size":"1"`, 1), "where it should not"},
	{"path digest", OCIManifest, strings.Replace(good, dgA, "sha256:../../../../etc/passwd", 1), "digest"},
	{"upper case digest", OCIManifest, strings.Replace(good, dgA, "sha256:"+strings.ToUpper(dgA[7:]), 1), "digest"},
	{"no digest", OCIManifest, strings.Replace(good, dgA, "", 1), "digest"},
	{"media type with a line", OCIManifest, strings.Replace(good, "vnd.oci.image.config", `vnd\r\nX: y`, 1), "media type"},
	{"no media type", OCIManifest, strings.Replace(good, `"mediaType":"application/vnd.oci.image.config.v1+json",`, "", 1), "media type"},
	{"digest of two sizes", OCIManifest, strings.Replace(good, "["+lay, "["+lay+","+strings.Replace(lay, `"size":1`, `"size":2`, 1), 1), "twice"},
	{"digest of two types", OCIManifest, strings.Replace(good, "["+lay, "["+lay+","+strings.Replace(lay, `gzip`, `zstd`, 1), 1), "twice"},
	{"wrong embedded data", OCIManifest, strings.Replace(good, `"size":1`, `"data":"Yg==","size":1`, 1), "data"},
	{"no config", OCIManifest, `{"schemaVersion":2,"layers":[]}`, "no config"},
	{"bad subject", OCIManifest, strings.Replace(good, `"config"`, `"subject":{"mediaType":"x"},"config"`, 1), "subject"},
}

func TestParseHostile(t *testing.T) {
	for _, c := range hostile {
		d, err := Parse(c.as, []byte(c.doc))
		switch {
		case err == nil:
			t.Errorf("%s: accepted as %v", c.name, d.Descriptor)
		case !errdefs.IsInvalidArgument(err):
			t.Errorf("%s: %v is not of the class invalid argument", c.name, err)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: got %q, want something with %q", c.name, err, c.want)
		case len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("%s: the error is not one clear line: %.900q", c.name, err)
		}
	}
}

func TestParseConfig(t *testing.T) {
	ok := `{"architecture":"amd64","os":"linux","config":{"User":"1","Labels":{"n":"1","N":"2"}},"rootfs":{"type":"layers","diff_ids":["` + dgA + `"]},"moby.x":{"y":1}}`
	c, err := ParseConfig([]byte(ok))
	if err != nil || c.Config.Labels["N"] != "2" || len(c.RootFS.DiffIDs) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	for name, bad := range map[string]string{
		"duplicate":  strings.Replace(ok, `"User":"1"`, `"User":"1","user":"0"`, 1),
		"diffID":     strings.Replace(ok, dgA, "sha256:..", 1),
		"rootfs":     strings.Replace(ok, `"layers"`, `"base"`, 1),
		"many":       strings.Replace(ok, `["`+dgA, `["`+strings.Repeat(dgA+`","`, MaxLayers)+dgA, 1),
		"big":        strings.Replace(ok, `"1"`, `"`+strings.Repeat("x", MaxSize)+`"`, 1),
		"wrong type": strings.Replace(ok, `"linux"`, `[]`, 1),
	} {
		if _, err := ParseConfig([]byte(bad)); !errdefs.IsInvalidArgument(err) || len(err.Error()) > 500 {
			t.Errorf("%s: got %.600v", name, err)
		}
	}
}

// endless is a fetcher whose every index has another index in it.
type endless struct {
	n    int
	wide int
}

func (e *endless) FetchDocument(context.Context, ocispec.Descriptor) (*Document, error) {
	return e.next(), nil
}

func (e *endless) next() *Document {
	e.n++
	d := &Document{Descriptor: ocispec.Descriptor{MediaType: OCIIndex, Digest: digest.FromString(fmt.Sprint(e.n))}}
	for i := range max(e.wide, 1) {
		d.Manifests = append(d.Manifests, ocispec.Descriptor{MediaType: OCIIndex, Digest: digest.FromString(fmt.Sprint("child", e.n, i))})
	}
	return d
}

func TestWalkIsBounded(t *testing.T) {
	for wide, want := range map[int]string{1: "nested deeper", 900: "nested deeper"} {
		e := &endless{wide: wide}
		err := Walk(t.Context(), e, e.next(), nil, func(*Document) error { return nil })
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || e.n > MaxNesting {
			t.Errorf("wide %d: got %v after %d documents", wide, err, e.n)
		}
	}
	e := &endless{}
	if err := Walk(t.Context(), e, e.next(), func(ocispec.Descriptor) bool { return false }, func(*Document) error { return nil }); err != nil || e.n != 1 {
		t.Errorf("a child that is not kept was followed: %v, %d", err, e.n)
	}
	tree := make(tree)
	root := tree.add(OCIIndex, tree.add(OCIIndex, tree.leaves(0)...), tree.add(OCIIndex, tree.leaves(1)...), tree.add(OCIIndex, tree.leaves(2)...),
		tree.add(OCIIndex, tree.leaves(3)...), tree.add(OCIIndex, tree.leaves(4)...))
	if err := Walk(t.Context(), tree, tree[root.Digest], nil, func(*Document) error { return nil }); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("five thousand manifests: got %v", err)
	}
	var order []digest.Digest
	one := tree.add(OCIManifest)
	top := tree.add(OCIIndex, one, tree.add(OCIIndex, one))
	if err := Walk(t.Context(), tree, tree[top.Digest], nil, func(d *Document) error { order = append(order, d.Descriptor.Digest); return nil }); err != nil ||
		len(order) != 3 || order[0] != one.Digest || order[2] != top.Digest {
		t.Errorf("got %v, %v: want each once, children first", order, err)
	}
	other := one
	other.MediaType = DockerManifest
	twice := tree.add(OCIIndex, one, tree.add(OCIIndex, other))
	if err := Walk(t.Context(), tree, tree[twice.Digest], nil, func(*Document) error { return nil }); err == nil || !strings.Contains(err.Error(), "both as") {
		t.Errorf("one digest as two types: got %v", err)
	}
}

// tree is a fetcher of documents made by add.
type tree map[digest.Digest]*Document

func (s tree) FetchDocument(_ context.Context, d ocispec.Descriptor) (*Document, error) {
	return s[d.Digest], nil
}

func (s tree) add(kind string, children ...ocispec.Descriptor) ocispec.Descriptor {
	raw, _ := json.Marshal([]any{kind, children, len(s)})
	d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(raw)}
	s[d.Digest] = &Document{Descriptor: d, Manifests: children}
	return d
}

func (s tree) leaves(int) (out []ocispec.Descriptor) {
	for range MaxManifests {
		out = append(out, s.add(OCIManifest))
	}
	return out
}

func FuzzParse(f *testing.F) {
	f.Add(OCIManifest, []byte(good))
	f.Add("", []byte(idx))
	for _, h := range hostile {
		if len(h.doc) < 4096 {
			f.Add(h.as, []byte(h.doc))
		}
	}
	f.Fuzz(func(t *testing.T, as string, raw []byte) {
		d, err := Parse(as, raw)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) || len(err.Error()) > 1000 {
				t.Fatalf("class or length of %q", err)
			}
			return
		}
		// What was accepted is read alike by a parser that knows no case folding, and again as what it was found to be.
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(raw, &exact); err != nil {
			t.Fatal(err)
		}
		_, config := exact["config"]
		_, manifests := exact["manifests"]
		if IsManifest(d.Descriptor.MediaType) != config || IsIndex(d.Descriptor.MediaType) != manifests {
			t.Fatalf("%q was read as %s", raw, d.Descriptor.MediaType)
		}
		if again, err := Parse(d.Descriptor.MediaType, raw); err != nil || again.Descriptor.Digest != d.Descriptor.Digest {
			t.Fatalf("%q reads as %s once and not again: %v", raw, d.Descriptor.MediaType, err)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := ParseConfig(raw); err != nil && (!errdefs.IsInvalidArgument(err) || len(err.Error()) > 1000) {
			t.Fatalf("class or length of %q", err)
		}
	})
}
