package server

import (
	"net/http"
	"slices"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	types "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/volume"

	"github.com/hull-dev/hull/internal/image"
)

// usage is the answer of /system/df: until 1.51 flat, since 1.52 by kind; 1.52 itself has both.
type usage struct {
	LayersSize  *int64     `json:"LayersSize,omitempty"`
	Images      *[]summary `json:"Images,omitempty"`
	Containers  *[]any     `json:"Containers,omitempty"`
	Volumes     *[]any     `json:"Volumes,omitempty"`
	BuildCache  *[]any     `json:"BuildCache,omitempty"`
	BuilderSize *int64     `json:"BuilderSize,omitempty"` // before 1.42

	ImageUsage      *types.DiskUsage     `json:"ImageUsage,omitempty"`
	ContainerUsage  *container.DiskUsage `json:"ContainerUsage,omitempty"`
	VolumeUsage     *volume.DiskUsage    `json:"VolumeUsage,omitempty"`
	BuildCacheUsage *build.DiskUsage     `json:"BuildCacheUsage,omitempty"`
}

func (s *Server) diskUsage(w http.ResponseWriter, r *request) error {
	kinds := r.Form["type"]
	want := func(kind string) bool { return len(kinds) == 0 || slices.Contains(kinds, kind) }
	var out usage
	if want("image") {
		all, err := s.images.Images(r.Context())
		if err != nil {
			return err
		}
		u := s.images.Usage(all)
		list := []summary{}
		for _, img := range all {
			sum := summarize(r, img, image.Filter{}, &u)
			sum.Containers = 0
			list = append(list, sum)
		}
		if !r.since(53) {
			out.LayersSize, out.Images = &u.Layers, &list
		}
		if r.since(52) {
			d := types.DiskUsage{TotalCount: int64(len(all)), TotalSize: u.Layers, Reclaimable: u.Layers}
			if r.flag("verbose") {
				for _, sum := range list {
					d.Items = append(d.Items, sum.Summary)
				}
			}
			out.ImageUsage = &d
		}
	}
	if r.since(52) { // there are none
		if want("container") {
			out.ContainerUsage = &container.DiskUsage{}
		}
		if want("volume") {
			out.VolumeUsage = &volume.DiskUsage{}
		}
		if want("build-cache") {
			out.BuildCacheUsage = &build.DiskUsage{}
		}
	}
	if !r.since(53) {
		// There are none, and a client of these versions wants the lists.
		if want("container") {
			out.Containers = &[]any{}
		}
		if want("volume") {
			out.Volumes = &[]any{}
		}
		if want("build-cache") {
			out.BuildCache = &[]any{}
			if !r.since(42) {
				out.BuilderSize = new(int64)
			}
		}
	}
	return writeJSON(w, http.StatusOK, out)
}
