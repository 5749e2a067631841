package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
)

// Orphans lists the blobs and ingests on disk that the database does not know, and removes
// them when asked to. Both are rare: Open sweeps. One of an operation under way may be among
// them.
func (s *Store) Orphans(ctx context.Context, remove bool) (found []string, err error) {
	s.busy.Lock()
	defer s.busy.Unlock()
	ctx = s.Context(ctx)
	known := s.Content()
	err = s.disk.Walk(ctx, func(info content.Info) error {
		_, err := known.Info(ctx, info.Digest)
		if errdefs.IsNotFound(err) {
			found = append(found, "blob "+info.Digest.String())
			return nil
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is no directory before the first blob
		return found, fmt.Errorf("comparing blobs: %w", err)
	}
	var onDisk []string
	if err := s.disk.WalkStatusRefs(ctx, func(ref string) error { onDisk = append(onDisk, ref); return nil }); err != nil {
		return found, fmt.Errorf("listing ingests on disk: %w", err)
	}
	inDB, err := known.ListStatuses(ctx)
	if err != nil {
		return found, fmt.Errorf("listing ingests: %w", err)
	}
	if extra := len(onDisk) - len(inDB); extra > 0 {
		found = append(found, fmt.Sprintf("%d ingests", extra))
	}
	if remove && len(found) > 0 {
		return found, s.sweep(ctx)
	}
	return found, nil
}
