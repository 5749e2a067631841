package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// diskStore is containerd's content store in dir, with what the database's side needs of it: a
// writer that could not be made leaves nothing, the collector meets ingests that are being made
// without a fault, and there is a point before each blob that goes.
type diskStore struct {
	content.Store
	dir string
	at  func(point string)
}

// Delete implements content.Store.
func (d diskStore) Delete(ctx context.Context, blob digest.Digest) error {
	d.at("collect.blob")
	return d.Store.Delete(ctx, blob)
}

// Writer implements content.Store. containerd's leaves what it made of an ingest when the disk is
// full.
func (d diskStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := d.Store.Writer(ctx, opts...)
	if err == nil || errdefs.IsUnavailable(err) || errdefs.IsAlreadyExists(err) { // somebody else has it, or it is a blob
		return w, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if oerr := opt(&o); oerr != nil {
			return nil, errors.Join(err, oerr)
		}
	}
	if path := filepath.Join(d.dir, "ingest", digest.FromString(o.Ref).Encoded()); halfMade(path) {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return nil, err
}

// WalkStatusRefs is what the collector looks for, so as not to read each ingest whole.
func (d diskStore) WalkStatusRefs(_ context.Context, fn func(ref string) error) error {
	paths, err := ingests(d.dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		ref, err := os.ReadFile(filepath.Join(path, "ref"))
		if err != nil || halfMade(path) {
			continue // its maker is at it, or has given it up just now
		}
		if err := fn(string(ref)); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// ingests are the directories of those on disk, half-made ones too.
func ingests(content string) (paths []string, err error) {
	dir := filepath.Join(content, "ingest")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the ingests: %w", err)
	}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths, nil
}

// halfMade says whether an ingest can be neither listed nor resumed. containerd's store makes a
// directory, then small files, then "data"; after a power failure the small ones may be empty.
func halfMade(path string) bool {
	for _, name := range []string{"ref", "startedat", "updatedat", "data"} {
		info, err := os.Lstat(filepath.Join(path, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 && name != "data" {
			return true
		}
	}
	return false
}

// dropHalfMade deletes the ingests that a killed process had begun to make: one fails every listing.
func dropHalfMade(content string) error {
	paths, err := ingests(content)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if !halfMade(path) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("deleting a half-made ingest: %w", err)
		}
	}
	return nil
}
