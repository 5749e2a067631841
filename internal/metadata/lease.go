package metadata

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// LabelKeep marks leases that outlive the process that made them: those of KeepLease, and those that
// others make with it through Leases.
const LabelKeep = "hull/lease.keep"

// releaseTime bounds the end of a lease whose operation was cancelled.
const releaseTime = 10 * time.Second

// Lease returns a context under which new blobs and snapshots are kept until release is
// called. release also works when ctx has ended.
func (s *Store) Lease(ctx context.Context) (leased context.Context, release func(), err error) {
	ctx = s.Context(ctx)
	l, err := s.Leases().Create(ctx, leases.WithRandomID())
	if err != nil {
		return nil, nil, fmt.Errorf("making a lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), func() { s.release(ctx, l) }, nil
}

// KeepLease is as Lease, but the lease has a name and stays until release is called or life
// has passed, also over restarts. A second call with the same name gets the same lease, with
// what the first one left.
func (s *Store) KeepLease(ctx context.Context, name string, life time.Duration) (leased context.Context, release func(), err error) {
	ctx = s.Context(ctx)
	manager := s.Leases()
	old, err := manager.List(ctx, "id=="+name)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the lease %s: %w", name, err)
	}
	// A lease cannot be made longer. One that may end under its user's feet is made anew.
	if len(old) == 1 && time.Since(old[0].CreatedAt) > life/2 {
		s.release(ctx, old[0])
	}
	l := leases.Lease{ID: name}
	_, err = manager.Create(ctx, leases.WithID(name), leases.WithLabel(LabelKeep, "1"), leases.WithExpiration(life))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, nil, fmt.Errorf("making the lease %s: %w", name, err)
	}
	return leases.WithLease(ctx, name), func() { s.release(ctx, l) }, nil
}

func (s *Store) release(ctx context.Context, l leases.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := s.Leases().Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
		s.log.Warn("ending a lease; the next start ends it", "lease", l.ID, "error", err)
	}
}

// endLeases ends what a killed process held.
func (s *Store) endLeases(ctx context.Context) error {
	all, err := s.Leases().List(ctx)
	if err != nil {
		return fmt.Errorf("listing leases: %w", err)
	}
	for _, l := range all {
		if l.Labels[LabelKeep] != "" {
			continue
		}
		if err := s.Leases().Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("ending the lease %s of an earlier process: %w", l.ID, err)
		}
	}
	return nil
}
