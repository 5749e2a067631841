package snapshot

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// Commitment is one commit of CommitAll: the active snapshot Key becomes the committed one Name.
type Commitment struct {
	Name, Key string
	Opts      []snapshots.Opt
}

// Commit makes a committed snapshot of an active one; see snapshots.Snapshotter. When it returns,
// the snapshot and all its bytes are durable.
func (s *Snapshotter) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return s.CommitAll(ctx, Commitment{name, key, opts})
}

// CommitAll commits several snapshots, all or none, parents before children, at the price of one
// sync: the layers of an image. Nothing may be mounted for writing on them any more.
func (s *Snapshotter) CommitAll(ctx context.Context, all ...Commitment) error {
	if err := s.commitAll(ctx, all); err != nil {
		var what []string
		for _, c := range all {
			what = append(what, fmt.Sprintf("%q as %q", c.Key, c.Name))
		}
		return fmt.Errorf("commit snapshot %s: %w", strings.Join(what, ", "), err)
	}
	return nil
}

func (s *Snapshotter) commitAll(ctx context.Context, all []Commitment) error {
	keys := make([]string, 0, len(all))
	for _, c := range all {
		if err := validName("name", c.Name); err != nil {
			return err
		}
		keys = append(keys, c.Key)
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.keys.lock(keys...)()

	// What will be refused is refused before the work.
	ids := make([]string, len(all))
	roots := make([]string, len(all))
	err = s.meta.WithTransaction(ctx, false, func(ctx context.Context) error {
		for i, c := range all {
			id, info, _, err := storage.GetInfo(ctx, c.Key)
			if err != nil {
				return err
			}
			if info.Kind != snapshots.KindActive {
				return fmt.Errorf("snapshot %q is not active: %w", c.Key, errdefs.ErrFailedPrecondition)
			}
			if _, _, _, err := storage.GetInfo(ctx, c.Name); err == nil {
				return fmt.Errorf("snapshot %q: %w", c.Name, errdefs.ErrAlreadyExists)
			}
			ids[i] = id
			if roots[i], err = rootFrom(ctx, c.Opts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	usages := make([]snapshots.Usage, len(all))
	for i, c := range all {
		dir, err := s.dir(ids[i])
		if err != nil {
			return err
		}
		if roots[i] != "" {
			err = s.takeRoot(dir, roots[i])
		}
		if err == nil {
			usages[i], err = s.driver.seal(ctx, dir, c.Name)
		}
		unix.Close(dir)
		if err != nil {
			return err
		}
	}
	s.at("commit.sealed")
	// Nothing is committed before its data is on disk: a power cut must not leave an image with
	// empty files (moby#49784, containerd#5854).
	if err := s.syncs.do(func() error { return linux.SyncFS(s.rootDir) }); err != nil {
		return err
	}
	s.at("commit.synced")
	err = s.meta.WithTransaction(ctx, true, func(ctx context.Context) error {
		for i, c := range all {
			if _, err := storage.CommitActive(ctx, c.Key, c.Name, usages[i], c.Opts...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.at("commit.recorded")
	for _, id := range ids {
		if err := s.settle(id); err != nil {
			s.log.Warn("a committed snapshot keeps what it does not need", "id", id, "error", err)
		}
	}
	return nil
}

func (s *Snapshotter) settle(id string) error {
	dir, err := s.dir(id)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return s.driver.settle(dir)
}
