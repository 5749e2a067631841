package server

import (
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	types "github.com/moby/moby/api/types/image"

	"github.com/hull-dev/hull/internal/image"
)

// summary is types.Summary with what older versions had too.
type summary struct {
	types.Summary
	VirtualSize *int64 `json:"VirtualSize,omitempty"` // before 1.44
}

func (s *Server) imageList(w http.ResponseWriter, r *request) error {
	f, err := r.filters("dangling", "label", "label!", "before", "since", "until", "reference")
	if err != nil {
		return err
	}
	if old := r.FormValue("filter"); old != "" && !r.since(41) { // a parameter that 1.41 dropped
		f["reference"] = append(f["reference"], old)
	}
	filter, err := f.imageFilter(time.Now())
	if err != nil {
		return err
	}
	if r.flag("identity") && !r.flag("manifests") {
		return errdefs.ErrInvalidArgument.WithMessage("identity requires manifests=1")
	}
	all, err := s.images.Images(r.Context())
	if err != nil {
		return err
	}
	match, err := filter.Compile(all)
	if err != nil {
		return err
	}
	var usage *image.Usage
	if r.flag("shared-size") {
		u := s.images.Usage(all)
		usage = &u
	}
	out := []summary{}
	for _, img := range all {
		if !match(img) {
			continue
		}
		sum := summarize(r, img, filter, usage)
		if r.flag("manifests") && r.since(47) {
			if sum.Manifests, err = s.manifests(r.Context(), img); err != nil {
				return err
			}
		}
		out = append(out, sum)
	}
	return writeJSON(w, http.StatusOK, out)
}

// summarize makes the line of an image. usage may be nil: shared sizes are then unknown.
func summarize(r *request, img *image.Image, filter image.Filter, usage *image.Usage) summary {
	sum := summary{Summary: types.Summary{
		ID:          string(img.ID),
		Created:     seconds(img.Created()),
		Labels:      img.Config.Config.Labels,
		Containers:  -1,
		SharedSize:  -1,
		Size:        img.Size,
		RepoTags:    []string{},
		RepoDigests: []string{},
	}}
	if r.since(48) {
		sum.Descriptor = &img.Targets[0]
	}
	for _, t := range img.Tags {
		if filter.Names(t) {
			sum.RepoTags = append(sum.RepoTags, t.Familiar())
		}
	}
	for _, d := range img.Digests {
		if filter.Names(d) {
			sum.RepoDigests = append(sum.RepoDigests, d.Familiar())
		}
	}
	if usage != nil {
		sum.SharedSize = usage.Shared[img.ID]
	}
	if !r.since(43) && img.Dangling() {
		sum.RepoTags, sum.RepoDigests = []string{"<none>:<none>"}, []string{"<none>@<none>"}
	}
	if !r.since(44) {
		sum.VirtualSize = &img.Size
	}
	return sum
}

// seconds are those since 1970; an image without a time is of the year 1, as with Docker.
func seconds(t time.Time) int64 { return t.Unix() }
