package metadata

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestHalfMadeIngest: one that a killed process had begun to make, and that a lease keeps, can be listed and written again.
func TestHalfMadeIngest(t *testing.T) {
	dir := t.TempDir()
	s, shut := open(t, dir)
	ctx, _, err := s.KeepLease(t.Context(), "pull", 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Content().Writer(ctx, content.WithRef("layer"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	shut()
	data, err := filepath.Glob(filepath.Join(dir, "content", "ingest", "*", "data"))
	if err != nil || len(data) != 1 {
		t.Fatalf("ingests %v, %v", data, err)
	}
	if err := os.Remove(data[0]); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir)
	if left, err := s.Orphans(t.Context(), false); err != nil || len(left) > 0 {
		t.Errorf("orphans %v, %v", left, err)
	}
	if ctx, _, err = s.KeepLease(t.Context(), "pull", 1<<40); err != nil {
		t.Fatal(err)
	}
	if w, err = s.Content().Writer(ctx, content.WithRef("layer")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// full is a content store on a full disk: a writer fails after its directory and an empty file were made.
type full struct {
	content.Store
	dir string
}

func (f full) Writer(_ context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(f.dir, "ingest", digest.FromString(o.Ref).Encoded())
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(path, "ref"), nil, 0o600); err != nil {
		return nil, err
	}
	return nil, &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
}

// TestWriterFails: a writer that could not be made leaves nothing, and one that is being made is no fault of the others.
func TestWriterFails(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	swept(s)
	root := filepath.Join(dir, "content")
	d := diskStore{full{s.disk.Store, root}, root, func(string) {}}
	if _, err := d.Writer(t.Context(), content.WithRef("x")); err == nil {
		t.Error("a writer on a full disk")
	}
	if left, err := ingests(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.MkdirAll(filepath.Join(root, "ingest", "being-made"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Collect(t.Context()); err != nil {
		t.Errorf("collect: %v", err)
	}
	if left, err := s.Orphans(t.Context(), false); err != nil || len(left) > 0 {
		t.Errorf("orphans %v, %v", left, err)
	}
}

// TestSweepAgain: a sweep that failed is done as soon as it can be, without a restart.
func TestSweepAgain(t *testing.T) {
	dir := t.TempDir()
	blobs := filepath.Join(dir, "content", "blobs")
	if err := os.MkdirAll(filepath.Dir(blobs), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blobs, nil, 0o600); err != nil { // no blob can be made
		t.Fatal(err)
	}
	s, _ := open(t, dir)
	swept(s)
	if err := os.Remove(blobs); err != nil {
		t.Fatal(err)
	}
	data := []byte("nobody's")
	d := digest.FromBytes(data)
	if err := content.WriteBlob(t.Context(), s.disk, "x", bytes.NewReader(data), ocispec.Descriptor{Digest: d, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	s.Schedule()
	for range 500 {
		if _, err := s.disk.Info(t.Context(), d); errdefs.IsNotFound(err) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the blob that nothing owns is still there")
}

// swept waits for the first sweep, which has the lock.
func swept(s *Store) {
	s.busy.Lock()
	defer s.busy.Unlock()
}
