package metadata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dropHalfMade deletes the ingests that a killed process had begun to make. containerd's store makes a
// directory, then small files, then "data"; one without data can be neither listed nor resumed, and
// fails every listing.
func dropHalfMade(content string) error {
	dir := filepath.Join(content, "ingest")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the ingests: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(path, "data")); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("deleting a half-made ingest: %w", err)
		}
	}
	return nil
}
