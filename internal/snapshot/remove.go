package snapshot

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"golang.org/x/sys/unix"
)

// Remove removes a snapshot; see snapshots.Snapshotter. When it returns, the key can be used
// again; the disk space comes back in the background (Cleanup waits for it). FailedPrecondition:
// it has children.
func (s *Snapshotter) Remove(ctx context.Context, key string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.keys.lock(key)()
	return s.remove(ctx, key)
}

// remove is Remove for those who hold the key.
func (s *Snapshotter) remove(ctx context.Context, key string) error {
	var id string
	err := s.meta.WithTransaction(ctx, true, func(ctx context.Context) (err error) {
		id, _, err = storage.Remove(ctx, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove snapshot %q: %w", key, err)
	}
	s.at("remove.recorded")
	// The snapshot is gone; a directory that stays is found by the next sweep.
	s.driver.forget(id)
	if err := s.discard(s.snapsDir, id); err != nil {
		s.log.Warn("the directory of a removed snapshot stays for now", "id", id, "error", err)
	}
	s.at("remove.renamed")
	return nil
}

// Cleanup deletes what removed snapshots left, and waits for it; see snapshots.Cleaner.
func (s *Snapshotter) Cleanup(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.trash.empty(ctx)
}

// discard moves an entry of a directory of the store into the trash. One that is not there is no
// error.
func (s *Snapshotter) discard(dir int, name string) error {
	for {
		err := unix.Renameat2(dir, name, s.trashDir, s.trash.name(), unix.RENAME_NOREPLACE)
		switch err {
		case nil:
			s.trash.kick()
			return nil
		case unix.ENOENT:
			return nil
		case unix.EEXIST, unix.EINTR:
			continue
		}
		return fmt.Errorf("move %s to the trash: %w", name, err)
	}
}
