package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	containerdlog "github.com/containerd/log"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/metadata"
	"github.com/hull-dev/hull/internal/reference"
)

// fakeSnaps is a snapshotter without files, which refuses what a real one would.
type fakeSnaps struct {
	mu  sync.Mutex
	all map[string]snapshots.Info
}

func (f *fakeSnaps) get(key string) (snapshots.Info, error) {
	i, ok := f.all[key]
	if !ok {
		return i, fmt.Errorf("snapshot %s: %w", key, errdefs.ErrNotFound)
	}
	return i, nil
}

func (f *fakeSnaps) Stat(_ context.Context, key string) (snapshots.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(key)
}

func (f *fakeSnaps) Update(_ context.Context, info snapshots.Info, _ ...string) (snapshots.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.get(info.Name)
	if err == nil {
		i.Labels = info.Labels
		f.all[info.Name] = i
	}
	return i, err
}

func (f *fakeSnaps) Usage(context.Context, string) (snapshots.Usage, error) {
	return snapshots.Usage{}, nil
}
func (f *fakeSnaps) Mounts(context.Context, string) ([]mount.Mount, error) { return nil, nil }
func (f *fakeSnaps) Close() error                                          { return nil }

func (f *fakeSnaps) make(kind snapshots.Kind, key, parent string, opts []snapshots.Opt) ([]mount.Mount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.all[key]; ok {
		return nil, errdefs.ErrAlreadyExists
	}
	if p, ok := f.all[parent]; parent != "" && (!ok || p.Kind != snapshots.KindCommitted) {
		return nil, fmt.Errorf("parent %q is not committed: %w", parent, errdefs.ErrInvalidArgument)
	}
	i := snapshots.Info{Kind: kind, Name: key, Parent: parent, Created: time.Now()}
	for _, o := range opts {
		if err := o(&i); err != nil {
			return nil, err
		}
	}
	f.all[key] = i
	return []mount.Mount{{Type: "fake", Source: key, Options: []string{parent}}}, nil
}

func (f *fakeSnaps) Prepare(_ context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return f.make(snapshots.KindActive, key, parent, opts)
}

func (f *fakeSnaps) View(_ context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return f.make(snapshots.KindView, key, parent, opts)
}

func (f *fakeSnaps) Commit(_ context.Context, name, key string, opts ...snapshots.Opt) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.get(key)
	if err != nil {
		return err
	}
	if _, ok := f.all[name]; ok {
		return errdefs.ErrAlreadyExists
	}
	was := i.Parent
	for _, o := range opts {
		if err := o(&i); err != nil {
			return err
		}
	}
	if was != "" && i.Parent != was {
		return fmt.Errorf("snapshot %q has a parent already: %w", key, errdefs.ErrInvalidArgument)
	}
	if p, ok := f.all[i.Parent]; i.Parent != "" && (!ok || p.Kind != snapshots.KindCommitted) {
		return fmt.Errorf("parent %q is not committed: %w", i.Parent, errdefs.ErrFailedPrecondition)
	}
	delete(f.all, key)
	i.Kind, i.Name = snapshots.KindCommitted, name
	f.all[name] = i
	return nil
}

func (f *fakeSnaps) Remove(_ context.Context, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.get(key); err != nil {
		return err
	}
	for _, i := range f.all {
		if i.Parent == key {
			return errdefs.ErrFailedPrecondition
		}
	}
	delete(f.all, key)
	return nil
}

func (f *fakeSnaps) Walk(ctx context.Context, fn snapshots.WalkFunc, _ ...string) error {
	f.mu.Lock()
	var all []snapshots.Info
	for _, i := range f.all {
		all = append(all, i)
	}
	f.mu.Unlock()
	for _, i := range all {
		if err := fn(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// count is the number of snapshots of a kind.
func (f *fakeSnaps) count(kind snapshots.Kind) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.all {
		if i.Kind == kind {
			n++
		}
	}
	return n
}

// fakeUnpacker counts bytes of tar files instead of writing them.
type fakeUnpacker struct {
	mu       sync.Mutex
	needs    bool     // the layers want their parents
	orphan   error    // with needs: why a layer without a parent is refused
	refuse   error    // what is said of each layer, without reading it
	parents  []string // of each extraction
	extracts int
}

func (u *fakeUnpacker) Unpack(_ context.Context, mounts []mount.Mount, r io.Reader, _ bool) (Unpacked, error) {
	if u.refuse != nil {
		return Unpacked{}, u.refuse
	}
	p, err := plain(r)
	if err != nil {
		return Unpacked{}, err
	}
	h := digest.Canonical.Digester()
	t := tar.NewReader(io.TeeReader(p, h.Hash()))
	out := Unpacked{}
	for {
		e, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, err
		}
		out.Size += e.Size
	}
	if _, err := io.Copy(h.Hash(), p); err != nil {
		return out, err
	}
	out.DiffID = DiffID(h.Digest())
	u.mu.Lock()
	defer u.mu.Unlock()
	u.extracts++
	u.parents = append(u.parents, mounts[0].Options[0])
	out.NeedsParent = u.needs && mounts[0].Options[0] == ""
	if out.NeedsParent {
		out.Orphan = u.orphan
	}
	return out, nil
}

// fakeRemote is a registry in memory.
type fakeRemote struct {
	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	docs  map[digest.Digest]*manifest.Document
	tags  map[string]digest.Digest // by canonical reference
	// breakAfter cuts each blob's stream after so many bytes, while breaks is positive.
	breakAfter int64
	breaks     int
	silent     bool                      // a cut stream just ends
	opened     map[digest.Digest][]int64 // offsets that blobs were opened at
	pushed     []string
	open       func() io.ReadCloser // of a layer, in place of blobs
}

func newRemote() *fakeRemote {
	return &fakeRemote{blobs: map[digest.Digest][]byte{}, docs: map[digest.Digest]*manifest.Document{}, tags: map[string]digest.Digest{}, opened: map[digest.Digest][]int64{}}
}

func (f *fakeRemote) Repository(_ context.Context, repo reference.Repository, _ Credentials) (Repository, error) {
	return fakeRepository{f, repo}, nil
}

func (f *fakeRemote) Download(context.Context, string) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader("downloaded")), 10, nil
}

func (f *fakeRemote) Login(_ context.Context, _ string, c Credentials) (string, error) {
	if c.Password != "right" {
		return "", errdefs.ErrUnauthenticated
	}
	return "", nil
}

type fakeRepository struct {
	*fakeRemote
	name reference.Repository
}

func (f fakeRepository) Fetch(_ context.Context, ref reference.Reference) (*manifest.Document, error) {
	d := ref.Digest
	if d == "" {
		d = f.tags[ref.String()]
	}
	if doc := f.docs[d]; doc != nil {
		return doc, nil
	}
	return nil, errdefs.ErrNotFound
}

func (f fakeRepository) FetchDocument(_ context.Context, desc ocispec.Descriptor) (*manifest.Document, error) {
	if doc := f.docs[desc.Digest]; doc != nil {
		return doc, nil
	}
	return nil, errdefs.ErrNotFound
}

func (f fakeRepository) OpenBlob(_ context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.blobs[desc.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	f.opened[desc.Digest] = append(f.opened[desc.Digest], offset)
	if f.open != nil && !isImageConfig(desc.MediaType) {
		return f.open(), nil
	}
	data = data[offset:]
	if f.breaks > 0 && int64(len(data)) > f.breakAfter {
		f.breaks--
		if f.silent {
			return io.NopCloser(bytes.NewReader(data[:f.breakAfter])), nil
		}
		return io.NopCloser(io.MultiReader(bytes.NewReader(data[:f.breakAfter]), broken{})), nil
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errdefs.ErrUnavailable.WithMessage("reset") }

func (f fakeRepository) Tags(context.Context) (out []string, err error) {
	for name := range f.tags {
		ref, err := reference.Parse(name)
		if err != nil {
			return nil, err
		}
		if ref.Repository == f.name {
			out = append(out, ref.Tag)
		}
	}
	return out, nil
}

func (f fakeRepository) PushBlob(_ context.Context, desc ocispec.Descriptor, _ string, open func(int64) (io.ReadCloser, error), _ func(int64)) (Pushed, error) {
	r, err := open(0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.blobs[desc.Digest]; ok {
		return PushedExists, nil
	}
	f.blobs[desc.Digest] = data
	return PushedNew, nil
}

func (f fakeRepository) PushDocument(_ context.Context, ref reference.Reference, doc *manifest.Document) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range doc.Blobs() {
		if _, ok := f.blobs[b.Digest]; !ok {
			return errors.New("the manifest comes before its blobs")
		}
	}
	for _, m := range doc.Manifests {
		if f.docs[m.Digest] == nil {
			return errors.New("the index comes before its manifests")
		}
	}
	f.docs[doc.Descriptor.Digest] = doc
	if ref.Tag != "" {
		f.tags[ref.String()] = doc.Descriptor.Digest
	}
	f.pushed = append(f.pushed, ref.Familiar())
	return nil
}

// bench is a store over fakes.
type bench struct {
	*Store
	t      testing.TB
	dir    string
	meta   *metadata.Store
	snaps  *fakeSnaps
	unpack *fakeUnpacker
	remote *fakeRemote
}

func newBench(t testing.TB, rebase bool) *bench {
	if err := containerdlog.SetLevel("error"); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: filepath.Join(memory(t), "meta"), snaps: &fakeSnaps{all: map[string]snapshots.Info{}}, unpack: &fakeUnpacker{}, remote: newRemote()}
	b.open(rebase)
	return b
}

// memory is a directory where fsync costs nothing, if there is one.
func memory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "hull-image-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (b *bench) open(rebase bool) {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	lock, err := metadata.Lock(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	b.meta, err = metadata.Open(b.t.Context(), lock, map[string]snapshots.Snapshotter{"fake": b.snaps}, log, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	meta := b.meta
	b.t.Cleanup(func() { meta.Close(); lock.Close() })
	b.Store, err = New(b.meta, Options{Snapshotter: "fake", Rebase: rebase, Unpacker: b.unpack, Remote: b.remote, Log: log})
	if err != nil {
		b.t.Fatal(err)
	}
	b.backoff = time.Millisecond
}

// left counts the snapshots of a kind after a collection.
func (b *bench) left(kind snapshots.Kind) int {
	b.t.Helper()
	if err := b.meta.Collect(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return b.snaps.count(kind)
}

// damage changes a byte of a blob on disk.
func damage(t *testing.T, b *bench, hex string) {
	t.Helper()
	path := filepath.Join(b.dir, "content", "blobs", "sha256", hex)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// onDisk lists the files of the content store, blobs and ingests.
func onDisk(t *testing.T, b *bench) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "content"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// tarOf is a layer with one file.
func tarOf(t testing.TB, name string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte{name[0]}, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image puts an image of layers into the registry and returns its manifest.
func (f *fakeRemote) image(t *testing.T, platform ocispec.Platform, layers ...[]byte) *manifest.Document {
	t.Helper()
	at := time.Date(2024, 1, 2, 3, 4, len(layers), 0, time.UTC)
	c := ocispec.Image{Created: &at, Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}}
	c.Config.Labels = map[string]string{"layers": fmt.Sprint(len(layers))}
	var descs []ocispec.Descriptor
	for i, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(l))
		c.History = append(c.History, ocispec.History{Created: &at, CreatedBy: fmt.Sprintf("step %d", i)})
		z := zip(t, l)
		descs = append(descs, f.blob(z, ocispec.MediaTypeImageLayerGzip))
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := makeManifest(f.blob(raw, ocispec.MediaTypeImageConfig), descs)
	if err != nil {
		t.Fatal(err)
	}
	f.docs[doc.Descriptor.Digest] = doc
	return doc
}

func (f *fakeRemote) blob(data []byte, mediaType string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	f.blobs[d.Digest] = data
	return d
}

func (f *fakeRemote) tag(t *testing.T, name string, doc *manifest.Document) reference.Reference {
	t.Helper()
	ref := parse(t, name)
	f.tags[ref.String()] = doc.Descriptor.Digest
	return ref
}

func parse(t *testing.T, name string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return ref.WithDefaultTag()
}

func here() ocispec.Platform { return platforms.DefaultSpec() }
