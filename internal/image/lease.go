package image

import (
	"context"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// hold says whether a blob is in the store and, if so, keeps it under the lease of ctx. The
// last look comes after the lease: a collection between the two then finds it.
func (s *Store) hold(ctx context.Context, d digest.Digest) (bool, error) {
	return s.holdResource(ctx, leases.Resource{ID: d.String(), Type: "content"}, func() error {
		_, err := s.blobs.Info(ctx, d)
		return err
	})
}

// holdChain is hold for a snapshot.
func (s *Store) holdChain(ctx context.Context, chain ChainID) (bool, error) {
	return s.holdResource(ctx, leases.Resource{ID: string(chain), Type: "snapshots/" + s.opts.Snapshotter}, func() error {
		_, err := s.snaps.Stat(ctx, string(chain))
		return err
	})
}

func (s *Store) holdResource(ctx context.Context, r leases.Resource, look func() error) (bool, error) {
	id, ok := leases.FromContext(ctx)
	if !ok {
		return false, errdefs.ErrFailedPrecondition.WithMessage("no lease for " + r.ID)
	}
	// What is not there costs no write to the database.
	if err := look(); err != nil {
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		return false, err
	}
	l := leases.Lease{ID: id}
	manager := s.meta.Leases()
	if err := manager.AddResource(ctx, l, r); err != nil {
		return false, err
	}
	err := look()
	if errdefs.IsNotFound(err) {
		return false, manager.DeleteResource(ctx, l, r)
	}
	return err == nil, err
}
