package server

import (
	"net/http"

	"github.com/hull-dev/hull/internal/image"
)

// check compares the store with the disk.
func (s *Server) check(w http.ResponseWriter, r *request) error {
	found, err := s.images.Check(r.Context(), r.flag("repair"))
	if err != nil {
		return err
	}
	if found == nil {
		found = []image.Problem{}
	}
	return writeJSON(w, http.StatusOK, struct{ Problems []image.Problem }{found})
}
