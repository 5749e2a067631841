package image

import (
	"context"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

type (
	// ID is the digest of an image's config.
	ID digest.Digest
	// DiffID is the digest of one layer as a plain tar.
	DiffID digest.Digest
	// ChainID names a stack of layers.
	ChainID digest.Digest
)

// Short is the form that tables show: twelve hexadecimal digits.
func (id ID) Short() string { return short(digest.Digest(id)) }

// short is the first twelve hexadecimal digits of a digest.
func short(d digest.Digest) string {
	h := d.Encoded()
	return h[:min(12, len(h))]
}

// Image is one image as it was when asked for. Nobody changes it after.
type Image struct {
	ID      ID
	Targets []ocispec.Descriptor // what its names point to; the first is the newest
	// Chosen is the descriptor of Manifest when a platform was asked for (FindFor); else nil.
	Chosen *ocispec.Descriptor
	// Manifest is the pick for the platform; its bytes are as they came.
	Manifest  *manifest.Document
	Config    *ocispec.Image // the zero image for an artifact
	RawConfig []byte
	Tags      []reference.Reference // by name
	Digests   []reference.Reference // repository@digest, by name
	Layers    []Layer               // the lowest first
	Size      int64                 // bytes of all layers' files
	TaggedAt  time.Time             // when a name was last set
}

// Layer is one layer of an image.
type Layer struct {
	Blob  ocispec.Descriptor
	Diff  DiffID
	Chain ChainID
	Size  int64 // bytes of its files; 0 when it was not unpacked
	// NoSetID says that it is known to have no file with a set-id bit or a file capability.
	NoSetID bool
}

// Dangling says whether the image has no tag and no digest.
func (i *Image) Dangling() bool { return len(i.Tags) == 0 && len(i.Digests) == 0 }

// Progress is one step of a long operation, for a person to see. Without an ID it is a line of
// its own.
type Progress struct {
	ID             string // of a layer, short
	Status         string // Docker's words: "Downloading", "Pull complete"
	Current, Total int64  // bytes; both 0 when there is nothing to count
	Stream         bool   // Status is output as it is, with its own line ends
	Aux            any    // for programs: what was pushed
}

// Report takes progress. It is called from several goroutines.
type Report func(Progress)

// Credentials are for one registry. All empty is anonymous.
type Credentials struct {
	Username, Password           string
	IdentityToken, RegistryToken string
}

// String keeps secrets out of logs and errors (SECURITY.md R17).
func (c Credentials) String() string {
	if c == (Credentials{}) {
		return "anonymous"
	}
	return "credentials"
}

// GoString is String, for %#v.
func (c Credentials) GoString() string { return c.String() }

// Remote opens repositories of registries.
type Remote interface {
	Repository(ctx context.Context, repo reference.Repository, auth Credentials) (Repository, error)
	// Login checks credentials against a registry and returns an identity token if it gave one.
	Login(ctx context.Context, domain string, auth Credentials) (identityToken string, err error)
	// Download opens what a URL holds that a user named. size is -1 when it is not known.
	Download(ctx context.Context, url string) (body io.ReadCloser, size int64, err error)
}

// Repository is one repository of a registry. What it returns is checked: documents and blobs
// have the digest, size and media type of their descriptors, or the error says that they do
// not.
type Repository interface {
	manifest.Fetcher
	// Fetch gets the document of a tag or digest.
	Fetch(ctx context.Context, ref reference.Reference) (*manifest.Document, error)
	// OpenBlob reads a blob from offset. The reader may fail in the middle; the caller may
	// then open again further on.
	OpenBlob(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)
	Tags(ctx context.Context) ([]string, error)
	// PushBlob uploads a blob unless the repository has it, or can take it from the repository
	// from of the same registry (empty: none). open reads the blob from an offset.
	PushBlob(ctx context.Context, desc ocispec.Descriptor, from string, open func(offset int64) (io.ReadCloser, error), sent func(n int64)) (Pushed, error)
	PushDocument(ctx context.Context, ref reference.Reference, doc *manifest.Document) error
}

// Pushed says how a blob came into a repository.
type Pushed int

// The ways of Pushed.
const (
	PushedNew Pushed = iota
	PushedExists
	PushedMounted
)

// Unpacker extracts layers into the file systems of snapshots: the one caged extractor.
type Unpacker interface {
	// Unpack reads the layer r, plain or compressed, to its end. What r holds is hostile.
	// bottom says that there is no layer below. An r that is an io.Seeker may be read twice.
	Unpack(ctx context.Context, mounts []mount.Mount, r io.Reader, bottom bool) (Unpacked, error)
}

// Unpacked is what Unpack found out on the way.
type Unpacked struct {
	DiffID DiffID
	Size   int64 // bytes of all regular files and of symbolic links' targets
	SetID  bool  // a file has a set-id bit or a capability
	// NeedsParent says that an entry's directory is not in this layer, so that the layer has to
	// be extracted above the ones below it: one of them may have a link in that place.
	NeedsParent bool
	// NoRoot says that the layer gives its root directory no attributes: those below do.
	NoRoot bool
	// Orphan is why the layer cannot be the lowest one; nil if it can.
	Orphan error
	// Again says that the layer has to be unpacked once more, from an r that can be read twice.
	// Nothing else is known of it.
	Again bool
}
