package server

import (
	"net/http"
	"time"

	types "github.com/moby/moby/api/types/image"

	"github.com/hull-dev/hull/internal/image"
)

func (s *Server) imagePrune(w http.ResponseWriter, r *request) error {
	f, err := r.filters("dangling", "label", "label!", "until")
	if err != nil {
		return err
	}
	filter, err := f.imageFilter(time.Now())
	if err != nil {
		return err
	}
	// dangling=true, the default, takes only images without a name; false takes all, as no
	// container can use one yet.
	onlyDangling := filter.Dangling == nil || *filter.Dangling
	filter.Dangling = nil
	match, err := filter.Compile(nil)
	if err != nil {
		return err
	}
	removed, freed, err := s.images.Prune(r.Context(), func(img *image.Image) bool {
		return match(img) && (!onlyDangling || img.Dangling())
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, types.PruneReport{ImagesDeleted: deleted(removed), SpaceReclaimed: uint64(freed)})
}

func deleted(removed []image.Removed) []types.DeleteResponse {
	out := []types.DeleteResponse{}
	for _, d := range removed {
		out = append(out, types.DeleteResponse{Untagged: d.Untagged, Deleted: d.Deleted})
	}
	return out
}
