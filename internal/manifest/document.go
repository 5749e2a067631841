package manifest

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/reference"
)

// Media types of documents. Docker's are of its image manifest version 2, schema 2.
const (
	OCIManifest    = ocispec.MediaTypeImageManifest
	OCIIndex       = ocispec.MediaTypeImageIndex
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Limits of a document. The distribution specification asks registries to take manifests of 4 MiB; Docker's storage
// takes 125 layers, so a thousand is no image.
const (
	MaxSize      = 4 << 20
	MaxLayers    = 1000
	MaxManifests = 1000
	MaxDepth     = 32
	maxMediaType = 255 // RFC 6838: 127 bytes on each side of the slash
)

// Accept lists the media types that Parse reads, in the order of preference, for a request's Accept header.
func Accept() []string { return []string{OCIManifest, OCIIndex, DockerManifest, DockerIndex} }

// IsIndex says whether a media type is that of an index.
func IsIndex(mediaType string) bool { return mediaType == OCIIndex || mediaType == DockerIndex }

// IsManifest says whether a media type is that of a manifest of one image or artifact.
func IsManifest(mediaType string) bool {
	return mediaType == OCIManifest || mediaType == DockerManifest
}

// Document is a manifest or an index.
type Document struct {
	Descriptor   ocispec.Descriptor // media type, digest and size of Raw, and the artifact type
	Raw          []byte
	Config       *ocispec.Descriptor  // nil in an index
	Layers       []ocispec.Descriptor // in a manifest, the lowest first
	Manifests    []ocispec.Descriptor // in an index
	Subject      *ocispec.Descriptor  // what this document refers to, or nil
	ArtifactType string               // "" for an image
	Annotations  map[string]string
}

// Blobs are the config and the layers of a manifest.
func (d *Document) Blobs() []ocispec.Descriptor {
	if d.Config == nil {
		return nil
	}
	return append([]ocispec.Descriptor{*d.Config}, d.Layers...)
}

// wire is every field of the four documents that Hull reads.
type wire struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// wireFields are the names of wire and of what is in it: a key that is one of them but for case is refused.
var wireFields = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
	"digest", "size", "urls", "data", "platform", "architecture", "os", "os.version", "os.features", "variant",
	"fsLayers", "signatures",
}

// Parse reads a document that was served, or is kept, as mediaType. An empty or general mediaType (JSON, octets) leaves it
// to the document to say what it is.
func Parse(mediaType string, raw []byte) (*Document, error) {
	if len(raw) > MaxSize {
		return nil, invalid("the manifest has %d bytes, the limit is %d", len(raw), MaxSize)
	}
	served, err := servedAs(mediaType)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(raw, wireFields, mapsOfManifests); err != nil {
		return nil, invalid("the manifest is not valid: %v", err)
	}
	var w wire
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, invalid("the manifest is not valid: %v", plainJSON(err))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, invalid("the manifest is not valid: %v", plainJSON(err))
	}
	kind, err := kindOf(served, &w, fields)
	if err != nil {
		return nil, err
	}
	d := &Document{Raw: raw, Config: w.Config, Layers: w.Layers, Manifests: w.Manifests, Subject: w.Subject, ArtifactType: w.ArtifactType, Annotations: w.Annotations}
	d.Descriptor = ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(raw), Size: int64(len(raw)), ArtifactType: w.ArtifactType}
	if d.ArtifactType == "" && kind == OCIManifest && !isImageConfig(d.Config.MediaType) {
		// The image specification's rule for manifests without the field: the config's media type is the artifact's.
		d.ArtifactType = d.Config.MediaType
		d.Descriptor.ArtifactType = d.ArtifactType
	}
	return d, d.check()
}

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == "application/vnd.docker.container.image.v1+json"
}

// servedAs is the media type that a Content-Type header names, without parameters, or "" if it names none of use.
func servedAs(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", invalid("the manifest's media type %.80q is not valid", contentType)
	}
	switch t {
	case OCIManifest, OCIIndex, DockerManifest, DockerIndex:
		return t, nil
	case "application/json", "application/octet-stream", "text/plain":
		return "", nil
	case "application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws":
		return "", invalid("the image is of Docker's schema 1, which names its layers without their sizes; it has to be pushed again by a newer Docker")
	}
	return "", invalid("the manifest is of the media type %.80q, which is not an image's", t)
}

// kindOf decides what a document is from what it was served as, what it says and which fields it has. They must agree:
// a document that can be read as two things is refused (CVE-2021-41190).
func kindOf(served string, w *wire, fields map[string]json.RawMessage) (string, error) {
	has := func(names ...string) bool { // null counts: another parser may look for the field only
		return slices.ContainsFunc(names, func(n string) bool { _, ok := fields[n]; return ok })
	}
	index, image := has("manifests"), has("config", "layers")
	switch {
	case has("fsLayers", "signatures"):
		return "", invalid("the manifest has fields of Docker's schema 1, which names its layers without their sizes")
	case index && image:
		return "", invalid("the document has both the fields of an index (manifests) and those of a manifest (config, layers)")
	case served != "" && w.MediaType != "" && served != w.MediaType:
		return "", invalid("the document was served as %s and says that it is %.80q", served, w.MediaType)
	case w.SchemaVersion != 2:
		return "", invalid("the manifest's schemaVersion is %d, want 2", w.SchemaVersion)
	}
	kind := served
	if kind == "" {
		kind = w.MediaType
	}
	if kind == "" { // OCI lets documents leave it out
		kind = OCIManifest
		if index {
			kind = OCIIndex
		}
	}
	switch {
	case !IsIndex(kind) && !IsManifest(kind):
		return "", invalid("the document says that it is %.80q, which is not an image's manifest or index", kind)
	case IsIndex(kind) && !index:
		return "", invalid("the document is of the media type of an index and has no field manifests")
	case IsManifest(kind) && !image:
		return "", invalid("the document is of the media type of a manifest and has no field config or layers")
	case IsManifest(kind) && w.Config == nil:
		return "", invalid("the manifest has no config")
	}
	return kind, nil
}

// check holds the descriptors of a document to the contract.
func (d *Document) check() error {
	if len(d.Layers) > MaxLayers {
		return invalid("the manifest has %d layers, the limit is %d", len(d.Layers), MaxLayers)
	}
	if len(d.Manifests) > MaxManifests {
		return invalid("the index has %d manifests, the limit is %d", len(d.Manifests), MaxManifests)
	}
	seen := make(map[digest.Digest]*ocispec.Descriptor, len(d.Layers)+len(d.Manifests)+2)
	one := func(what string, x *ocispec.Descriptor) error {
		if err := CheckDescriptor(*x); err != nil {
			return invalid("the %s of the manifest: %v", what, err)
		}
		if len(x.Data) > 0 && (int64(len(x.Data)) != x.Size || !verify(x.Digest, x.Data)) {
			return invalid("the %s of the manifest holds data that has not its digest %s and size %d", what, x.Digest, x.Size)
		}
		x.Data = nil // the content is read from the store, by digest, in every case
		// The config may be of a type of its own: artifacts have {} both as that and as an empty layer.
		if y, ok := seen[x.Digest]; ok && (y.Size != x.Size || y.MediaType != x.MediaType && y != d.Config) {
			return invalid("the manifest names %s twice, as %s of %d bytes and as %s of %d bytes", x.Digest, y.MediaType, y.Size, x.MediaType, x.Size)
		}
		seen[x.Digest] = x
		return nil
	}
	if d.Config != nil {
		if err := one("config", d.Config); err != nil {
			return err
		}
	}
	for i := range d.Layers {
		if err := one(fmt.Sprintf("layer %d", i), &d.Layers[i]); err != nil {
			return err
		}
	}
	for i := range d.Manifests {
		if err := one(fmt.Sprintf("entry %d", i), &d.Manifests[i]); err != nil {
			return err
		}
	}
	if d.Subject != nil {
		return one("subject", d.Subject)
	}
	return nil
}

// CheckDescriptor holds a descriptor's digest, size and media type to their grammars.
func CheckDescriptor(x ocispec.Descriptor) error {
	if err := reference.CheckDigest(x.Digest); err != nil {
		return err
	}
	if x.Size < 0 {
		return invalid("%s has the size %d", x.Digest, x.Size)
	}
	kind, sub, ok := strings.Cut(x.MediaType, "/")
	if !ok || len(x.MediaType) > maxMediaType || !restricted(kind) || !restricted(sub) {
		return invalid("%s has the media type %.80q, which is not valid", x.Digest, x.MediaType)
	}
	return nil
}

// restricted says whether s is a restricted-name of RFC 6838, section 4.2.
func restricted(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("!#$&-^_.+", rune(c))) {
			return false
		}
	}
	return s != ""
}

func verify(d digest.Digest, data []byte) bool { return d.Algorithm().FromBytes(data) == d }
