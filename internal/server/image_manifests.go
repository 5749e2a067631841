package server

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	types "github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/image"
)

// platforms reads the values of a query parameter, each a platform as a string or as JSON, or, as some
// clients send it, a JSON list of them.
func (r *request) platforms(name string) ([]ocispec.Platform, error) {
	var out []ocispec.Platform
	for _, text := range r.Form[name] {
		if strings.HasPrefix(text, "[") {
			var list []json.RawMessage
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return nil, invalidPlatform(err)
			}
			for _, raw := range list {
				p, err := parsePlatform(strings.Trim(string(raw), `"`))
				if err != nil {
					return nil, err
				}
				out = append(out, *p)
			}
			continue
		}
		if text == "" {
			continue
		}
		p, err := parsePlatform(text)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, nil
}

// platform reads the query's platform: a string, or since 1.48 also JSON. nil for none.
func (r *request) platform(name string) (*ocispec.Platform, error) {
	all, err := r.platforms(name)
	switch {
	case err != nil || len(all) == 0:
		return nil, err
	case len(all) > 1:
		return nil, errdefs.ErrInvalidArgument.WithMessage("more than one platform")
	}
	return &all[0], nil
}

func parsePlatform(text string) (*ocispec.Platform, error) {
	if strings.HasPrefix(text, "{") {
		var p ocispec.Platform
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, invalidPlatform(err)
		}
		if p.OS == "" || p.Architecture == "" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid platform: os and architecture are required")
		}
		return &p, nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, invalidPlatform(err)
	}
	return &p, nil
}

func invalidPlatform(err error) error {
	return errdefs.ErrInvalidArgument.WithMessage("invalid platform: " + err.Error())
}

// image finds the one that a request names, for the platform of its query if it has one.
func (s *Server) image(r *request, name string) (*image.Image, error) {
	p, err := r.platform("platform")
	switch {
	case err != nil:
		return nil, err
	case p != nil:
		return s.images.FindFor(r.Context(), name, *p)
	}
	return s.images.Find(r.Context(), name)
}

// manifests are those of an image, in Docker's form.
func (s *Server) manifests(ctx context.Context, img *image.Image) ([]types.ManifestSummary, error) {
	all, err := s.images.Manifests(ctx, img)
	if err != nil {
		return nil, err
	}
	out := []types.ManifestSummary{}
	for _, m := range all {
		sum := types.ManifestSummary{ID: m.Descriptor.Digest.String(), Descriptor: m.Descriptor, Available: m.Available, Kind: types.ManifestKind(m.Kind)}
		sum.Size.Content, sum.Size.Total = m.Content, m.Content+m.Unpacked
		switch m.Kind {
		case image.KindImage:
			sum.ImageData = &types.ImageProperties{Platform: m.Platform, Containers: []string{}}
			sum.ImageData.Size.Unpacked = m.Unpacked
		case image.KindAttestation:
			sum.AttestationData = &types.AttestationProperties{For: m.For}
		}
		out = append(out, sum)
	}
	return out, nil
}
