package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Problem is a difference between what the store says and what is on disk.
type Problem struct {
	Object   string // a name, a blob, a snapshot
	Detail   string
	Repaired bool
}

// Check compares the store with the disk: every blob's digest, every image's parts, every
// snapshot, and what nothing owns. With repair it removes what is damaged or has no owner; an
// image that lost a part is then pulled again whole. Operations that run at the same time make
// it see things that are under way.
func (s *Store) Check(ctx context.Context, repair bool) (found []Problem, err error) {
	ctx = s.meta.Context(ctx)
	if err := s.meta.Collect(ctx); err != nil {
		return nil, err
	}
	blobs, err := s.checkBlobs(ctx, repair)
	if err != nil {
		return nil, err
	}
	found = append(found, blobs...)
	orphans, err := s.meta.Orphans(ctx, repair)
	for _, o := range orphans {
		found = append(found, Problem{Object: o, Detail: "on disk, and nothing owns it", Repaired: repair})
	}
	if err != nil {
		return found, err
	}
	if s.opts.CheckSnapshots != nil {
		snaps, err := s.opts.CheckSnapshots(ctx, repair)
		found = append(found, snaps...)
		if err != nil {
			return found, err
		}
	}
	s.forget()
	images, err := s.checkImages(ctx)
	return append(found, images...), err
}

// checkBlobs reads every blob.
func (s *Store) checkBlobs(ctx context.Context, repair bool) (found []Problem, err error) {
	var bad []content.Info
	err = s.blobs.Walk(ctx, func(info content.Info) error {
		err := s.checkBlob(ctx, info)
		if err != nil && ctx.Err() == nil {
			bad = append(bad, info)
			found = append(found, Problem{Object: "blob " + info.Digest.String(), Detail: err.Error()})
			return nil
		}
		return err
	})
	if err != nil || !repair {
		return found, err
	}
	for i, info := range bad {
		if err := s.blobs.Delete(ctx, info.Digest); err != nil && !errdefs.IsNotFound(err) {
			return found, err
		}
		found[i].Repaired = true
	}
	if len(bad) > 0 {
		return found, s.meta.Collect(ctx) // takes the file away
	}
	return found, nil
}

func (s *Store) checkBlob(ctx context.Context, info content.Info) error {
	r, err := s.blobs.ReaderAt(ctx, ocispec.Descriptor{Digest: info.Digest})
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Size() != info.Size {
		return fmt.Errorf("it is %d bytes long, not %d", r.Size(), info.Size)
	}
	v := info.Digest.Verifier()
	if _, err := io.Copy(v, io.NewSectionReader(r, 0, r.Size())); err != nil {
		return err
	}
	if !v.Verified() {
		return errors.New("its bytes have another digest")
	}
	return nil
}

// checkImages looks for the parts of every image.
func (s *Store) checkImages(ctx context.Context) (found []Problem, err error) {
	records, err := s.records.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := s.checkImage(ctx, r.Target); err != nil {
			if ctx.Err() != nil {
				return found, err
			}
			found = append(found, Problem{Object: "image " + r.Name, Detail: err.Error()})
		}
	}
	return found, nil
}

func (s *Store) checkImage(ctx context.Context, target ocispec.Descriptor) error {
	img, err := s.read(ctx, target, s.host)
	if err != nil {
		return err
	}
	for _, b := range img.Manifest.Blobs() {
		if here, err := s.has(ctx, b.Digest); err != nil {
			return err
		} else if !here {
			return fmt.Errorf("its blob %s is not in the store", b.Digest)
		}
	}
	for _, l := range img.Layers {
		if _, err := s.snaps.Stat(ctx, string(l.Chain)); err != nil {
			return fmt.Errorf("its layer %s is not unpacked: %w", l.Chain, err)
		}
	}
	return nil
}
