package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	types "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/volume"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/image"
	store "github.com/hull-dev/hull/internal/volume"
)

// usage is the answer of /system/df: until 1.51 flat, since 1.52 by kind; 1.52 itself has both.
type usage struct {
	LayersSize  *int64               `json:"LayersSize,omitempty"`
	Images      *[]summary           `json:"Images,omitempty"`
	Containers  *[]listed            `json:"Containers,omitempty"`
	Volumes     *[]volume.Volume     `json:"Volumes,omitempty"`
	BuildCache  *[]build.CacheRecord `json:"BuildCache,omitempty"`
	BuilderSize *int64               `json:"BuilderSize,omitempty"` // before 1.42

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
	if want("container") {
		if err := s.containerUsage(r, &out); err != nil {
			return err
		}
	}
	if want("volume") {
		if err := s.volumeUsage(r, &out); err != nil {
			return err
		}
	}
	if want("build-cache") {
		if err := s.buildUsage(r, &out); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

// containerUsage counts the writable layers.
func (s *Server) containerUsage(r *request, out *usage) error {
	views, err := s.containers.List(r.Context(), engine.ListOptions{All: true})
	if err != nil {
		return err
	}
	d := container.DiskUsage{TotalCount: int64(len(views))}
	list := []listed{}
	for _, v := range views {
		l := r.summarize(v, time.Now())
		l.SizeRw = s.containers.SizeRw(r.Context(), v)
		l.SizeRootFs = l.SizeRw + s.imageSize(r, v)
		list = append(list, l)
		d.Items = append(d.Items, l.Summary)
		d.TotalSize += l.SizeRw
		if p := v.State.Phase; p == engine.Running || p == engine.Paused || p == engine.Restarting {
			d.ActiveCount++
		} else {
			d.Reclaimable += l.SizeRw
		}
	}
	if !r.since(53) {
		out.Containers = &list
	}
	if r.since(52) {
		if !r.flag("verbose") {
			d.Items = nil
		}
		out.ContainerUsage = &d
	}
	return nil
}

// volumeUsage counts the files of the volumes.
func (s *Server) volumeUsage(r *request, out *usage) error {
	all := s.volumes.List(store.Filter{})
	d := volume.DiskUsage{TotalCount: int64(len(all))}
	list := []volume.Volume{}
	for _, v := range all {
		size, users, err := s.volumes.Usage(r.Context(), v.Name)
		if err != nil {
			continue // it was removed
		}
		x := encodeVolume(v)
		x.UsageData = &volume.UsageData{Size: size, RefCount: int64(users)}
		list = append(list, x)
		d.TotalSize += size
		if users > 0 {
			d.ActiveCount++
		} else {
			d.Reclaimable += size
		}
	}
	d.Items = list
	if !r.since(53) {
		out.Volumes = &list
	}
	if r.since(52) {
		if !r.flag("verbose") {
			d.Items = nil
		}
		out.VolumeUsage = &d
	}
	return nil
}
