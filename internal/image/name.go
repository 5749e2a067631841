package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/reference"
)

// setNames points names to a target. A target that loses its last name by this stays as a
// dangling image.
func (s *Store) setNames(ctx context.Context, to ocispec.Descriptor, names ...string) error {
	s.names.Lock()
	defer s.names.Unlock()
	for _, name := range names {
		s.opts.At("name.before")
		if err := s.setName(ctx, to, name); err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
		s.opts.At("name.after")
	}
	return nil
}

func (s *Store) setName(ctx context.Context, to ocispec.Descriptor, name string) error {
	old, err := s.records.Get(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		_, err = s.records.Create(ctx, images.Image{Name: name, Target: to})
		return s.undangle(ctx, to, err)
	case err != nil:
		return err
	case old.Target.Digest == to.Digest:
		return nil
	}
	// First the old image gets its new name: a crash in between leaves one name too many, which
	// does not show.
	if err := s.dangle(ctx, old.Target, name); err != nil {
		return err
	}
	_, err = s.records.Update(ctx, images.Image{Name: name, Target: to}, "target")
	return s.undangle(ctx, to, err)
}

// dangle gives a target that is about to lose a name, its last one, a dangling name.
func (s *Store) dangle(ctx context.Context, old ocispec.Descriptor, except string) error {
	records, err := s.records.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Target.Digest == old.Digest && r.Name != except {
			return nil
		}
	}
	return s.addDangling(ctx, old)
}

// addDangling gives a target a dangling name.
func (s *Store) addDangling(ctx context.Context, target ocispec.Descriptor) error {
	_, err := s.records.Create(ctx, images.Image{Name: danglingName + target.Digest.String(), Target: target})
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// undangle takes the dangling name away from a target that got a real one, unless that failed.
func (s *Store) undangle(ctx context.Context, to ocispec.Descriptor, failed error) error {
	if failed != nil {
		return failed
	}
	err := s.records.Delete(ctx, danglingName+to.Digest.String())
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Tag gives an image one more name.
func (s *Store) Tag(ctx context.Context, source string, name reference.Reference) error {
	if name.Digest != "" {
		return errdefs.ErrInvalidArgument.WithMessage("refusing to create a tag with a digest reference")
	}
	if digest.Algorithm(name.Repository.Familiar()).Available() {
		return errdefs.ErrInvalidArgument.WithMessage("refusing to create an ambiguous tag using digest algorithm as name")
	}
	name = name.WithDefaultTag()
	ctx, release, err := s.meta.Lease(ctx)
	if err != nil {
		return err
	}
	defer release()
	img, by, err := s.find(ctx, source)
	if err != nil {
		return err
	}
	to := img.Targets[0]
	if by.ref != (reference.Reference{}) {
		r, err := s.records.Get(ctx, withoutTag(by.ref).String())
		if err != nil {
			return err
		}
		to = r.Target
	}
	// Held until the name is there, so that a removal in between cannot leave a name without
	// an image.
	if here, err := s.hold(ctx, to.Digest); err != nil || !here {
		return firstError(err, errdefs.ErrNotFound.WithMessage("No such image: "+shorten(source)))
	}
	if err := s.setNames(ctx, to, name.String()); err != nil {
		return err
	}
	s.publish("tag", string(img.ID), eventAttributes(img.Config, name.Familiar()))
	return nil
}

// withoutTag is the reference as the store names it: a digest needs no tag.
func withoutTag(ref reference.Reference) reference.Reference {
	if ref.Digest != "" {
		ref.Tag = ""
	}
	return ref
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
