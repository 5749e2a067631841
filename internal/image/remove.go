package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/hull-dev/hull/internal/reference"
)

// Removed is one line of what a removal did: one of the two is set.
type Removed struct {
	Untagged string // a name
	Deleted  string // an image's ID or a layer's chainID
}

// RemoveOptions of Remove.
type RemoveOptions struct {
	Force bool // also when the image has names in several repositories

	each bool // each name has an event
}

// Remove takes a name away from an image, and the image away with its last name; by its ID,
// all its names. Disk space comes back in the background.
func (s *Store) Remove(ctx context.Context, name string, opts RemoveOptions) ([]Removed, error) {
	ctx = s.meta.Context(ctx)
	s.names.Lock()
	defer s.names.Unlock()
	all, err := s.Images(ctx)
	if err != nil {
		return nil, err
	}
	img, by, err := among(all, name)
	if err != nil {
		return nil, err
	}
	opts.each = by.byID || by.ref.Digest != ""
	out, _, err := s.remove(ctx, all, img, by, opts)
	return out, err
}

// remove is Remove of an image among all. freed is the size of the layers that went with it.
func (s *Store) remove(ctx context.Context, all []*Image, img *Image, by found, opts RemoveOptions) (out []Removed, freed int64, err error) {
	names := slices.Concat(img.Tags, img.Digests)
	gone := names
	user := s.userOf(img.ID)
	switch {
	case !by.byID:
		if user != nil && !opts.Force && len(names) > 0 && oneName(img) {
			return nil, 0, errdefs.ErrConflict.WithMessage(fmt.Sprintf("conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", by.name, shortID(user.Container), img.ID.Short()))
		}
		gone = untagged(img, withoutTag(by.ref))
	case user != nil && user.Running:
		return nil, 0, inConflict(img, "cannot", "image is being used by running container "+shortID(user.Container))
	case opts.Force:
	case !oneName(img):
		return nil, 0, inConflict(img, "must", "image is referenced in multiple repositories")
	case user != nil:
		return nil, 0, inConflict(img, "must", "image is being used by stopped container "+shortID(user.Container))
	}
	last := len(gone) == len(names)
	if last && user != nil && (user.Running || !opts.Force) { // it loses its names, and stays
		last = false
		for _, t := range img.Targets {
			if err := s.addDangling(ctx, t); err != nil {
				return nil, 0, fmt.Errorf("untagging %s: %w", img.ID, err)
			}
		}
	}
	for _, ref := range gone {
		if err := s.records.Delete(ctx, ref.String()); err != nil && !errdefs.IsNotFound(err) {
			return out, 0, fmt.Errorf("untagging %s: %w", ref.Familiar(), err)
		}
		s.opts.At("remove.untagged")
		out = append(out, Removed{Untagged: ref.Familiar()})
		if !opts.each && ref.Digest != "" && hasTagIn(names, ref.Repository) {
			continue // a digest that goes with its tag: one event for both, as dockerd's
		}
		s.publish("untag", string(img.ID), eventAttributes(img.Config, string(img.ID)))
	}
	if !last {
		return out, 0, nil
	}
	for _, t := range img.Targets {
		if err := s.records.Delete(ctx, danglingName+t.Digest.String()); err != nil && !errdefs.IsNotFound(err) {
			return out, 0, fmt.Errorf("deleting %s: %w", img.ID, err)
		}
	}
	s.opts.At("remove.deleted")
	out = append(out, Removed{Deleted: string(img.ID)})
	s.publish("delete", string(img.ID), eventAttributes(img.Config, string(img.ID)))
	kept := make(map[ChainID]bool)
	for _, other := range all {
		if other != img {
			for _, l := range other.Layers {
				kept[l.Chain] = true
			}
		}
	}
	for _, l := range slices.Backward(img.Layers) {
		if kept[l.Chain] {
			break // and all below it
		}
		out = append(out, Removed{Deleted: string(l.Chain)})
		freed += l.Size
	}
	s.forget()
	s.meta.Schedule()
	return out, freed, nil
}

func hasTagIn(names []reference.Reference, repo reference.Repository) bool {
	return slices.ContainsFunc(names, func(n reference.Reference) bool { return n.Digest == "" && n.Repository == repo })
}

// inConflict is Docker's error of an image that is used; how is "must" or "cannot": be forced.
func inConflict(img *Image, how, why string) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("conflict: unable to delete %s (%s be forced) - %s", img.ID.Short(), how, why))
}

// untagged are the names that go with one: with the last tag of a repository, that
// repository's digests.
func untagged(img *Image, ref reference.Reference) []reference.Reference {
	gone := []reference.Reference{ref}
	if ref.Digest != "" {
		return gone
	}
	for _, t := range img.Tags {
		if t.Repository == ref.Repository && t != ref {
			return gone
		}
	}
	for _, d := range img.Digests {
		if d.Repository == ref.Repository {
			gone = append(gone, d)
		}
	}
	return gone
}

// oneName says whether an image has at most one name to a person: one tag with the digests of
// its repository, or digests of one repository.
func oneName(img *Image) bool {
	if len(img.Tags) > 1 {
		return false
	}
	repos := slices.Concat(img.Tags, img.Digests)
	for _, r := range repos {
		if r.Repository != repos[0].Repository {
			return false
		}
	}
	return true
}

// Prune removes images for which remove says yes and that no container uses. It reports the bytes of the layers that no
// image has any more.
func (s *Store) Prune(ctx context.Context, remove func(*Image) bool) (out []Removed, freed int64, err error) {
	ctx = s.meta.Context(ctx)
	s.names.Lock()
	defer s.names.Unlock()
	all, err := s.Images(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, img := range slices.Clone(all) {
		if !remove(img) || s.userOf(img.ID) != nil {
			continue
		}
		removed, n, err := s.remove(ctx, all, img, found{byID: true}, RemoveOptions{Force: true})
		out = append(out, removed...)
		freed += n
		if err != nil {
			return out, freed, err
		}
		all = slices.DeleteFunc(all, func(o *Image) bool { return o == img })
	}
	s.publish("prune", "", map[string]string{"reclaimed": fmt.Sprint(freed)})
	return out, freed, nil
}

// Usage is what the images take on disk.
type Usage struct {
	Layers int64                   // bytes of all layers, each once
	Shared map[ID]int64            // of each image, the bytes of layers that others have too
	Blobs  map[digest.Digest]int64 // size of each blob, compressed as it came
}

// Usage counts disk space.
func (s *Store) Usage(all []*Image) Usage {
	u := Usage{Shared: make(map[ID]int64), Blobs: make(map[digest.Digest]int64)}
	users := make(map[ChainID]int)
	for _, img := range all {
		for _, l := range img.Layers {
			users[l.Chain]++
			if users[l.Chain] == 1 {
				u.Layers += l.Size
			}
			u.Blobs[l.Blob.Digest] = l.Blob.Size
		}
	}
	for _, img := range all {
		for _, l := range img.Layers {
			if users[l.Chain] > 1 {
				u.Shared[img.ID] += l.Size
			}
		}
	}
	return u
}
