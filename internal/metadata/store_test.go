package metadata

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	containerdlog "github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// open opens a store in dir until the test ends or close is called.
func open(t *testing.T, dir string) (s *Store, shut func()) {
	t.Helper()
	if err := containerdlog.SetLevel("error"); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), lock, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	shut = func() {
		if !done {
			done = true
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			lock.Close()
		}
	}
	t.Cleanup(shut)
	return s, shut
}

func TestLockOnce(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Lock(dir)
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "another hulld uses the data directory "+dir) {
		t.Errorf("a second lock: %v", err)
	}
}

func TestSchema(t *testing.T) {
	dir := t.TempDir()
	s, shut := open(t, dir)
	err := s.bolt.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketHull).Put(keySchema, binary.BigEndian.AppendUint32(nil, schema+1))
	})
	if err != nil {
		t.Fatal(err)
	}
	shut()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := Open(t.Context(), lock, nil, slog.New(slog.DiscardHandler), nil); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a newer schema: %v", err)
	}
}

func write(t *testing.T, ctx context.Context, s *Store, text string) digest.Digest {
	t.Helper()
	d := digest.FromString(text)
	err := content.WriteBlob(ctx, s.Content(), text, strings.NewReader(text), ocispec.Descriptor{Digest: d, Size: int64(len(text))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *Store) present(ctx context.Context, d digest.Digest) bool {
	_, err := s.Content().Info(s.Context(ctx), d)
	return err == nil
}

// TestLeases: a lease keeps, its end does not; one of a killed process ends with the next
// start, one that is to be kept does not.
func TestLeases(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s, shut := open(t, dir)
	one, release, err := s.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	a := write(t, one, s, "a")
	two, _, err := s.Lease(ctx) // never released: as if killed
	if err != nil {
		t.Fatal(err)
	}
	b := write(t, two, s, "b")
	three, _, err := s.KeepLease(ctx, "pull", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := write(t, three, s, "c")
	if err := s.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if !s.present(ctx, a) || !s.present(ctx, b) || !s.present(ctx, c) {
		t.Error("a lease did not keep its blob")
	}
	release()
	if err := s.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if s.present(ctx, a) || !s.present(ctx, b) {
		t.Error("the end of a lease took the wrong blob, or none")
	}
	shut()
	s, _ = open(t, dir)
	if err := s.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if s.present(ctx, b) || !s.present(ctx, c) {
		t.Errorf("after a restart: lease of the killed process %v, lease to keep %v", s.present(ctx, b), s.present(ctx, c))
	}
	if _, release, err = s.KeepLease(ctx, "pull", time.Hour); err != nil {
		t.Fatal(err)
	}
	release()
	if err := s.Collect(ctx); err != nil || s.present(ctx, c) {
		t.Errorf("the end of the kept lease: %v, blob %v", err, s.present(ctx, c))
	}
}

// TestSweep: a blob on disk that the database does not know goes at the next start.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s, shut := open(t, dir)
	if err := s.Collect(t.Context()); err != nil { // waits for the sweep of an empty store
		t.Fatal(err)
	}
	data := []byte("nobody's")
	d := digest.FromBytes(data)
	err := content.WriteBlob(t.Context(), s.disk, "x", bytes.NewReader(data), ocispec.Descriptor{Digest: d, Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.Orphans(t.Context(), false); err != nil || len(found) != 1 {
		t.Errorf("orphans %v %v", found, err)
	}
	shut()
	s, _ = open(t, dir)
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "content", "blobs", "sha256", d.Encoded())
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the blob is still there: %v", err)
	}
}
