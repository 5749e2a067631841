package metadata

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
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
