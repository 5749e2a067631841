package server

import (
	"net/http"

	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/reference"
)

func (s *Server) commit(w http.ResponseWriter, r *request) error {
	o := engine.CommitOptions{Author: r.FormValue("author"), Comment: r.FormValue("comment"), Changes: r.Form["changes"], Pause: r.FormValue("pause") == "" || r.flag("pause")}
	if r.ContentLength != 0 {
		var c *container.Config
		if err := r.body(&c, true); err != nil {
			return err
		}
		o.Config = c
	}
	if repo := r.FormValue("repo"); repo != "" {
		if tag := r.FormValue("tag"); tag != "" {
			repo += ":" + tag
		}
		ref, err := reference.Parse(repo)
		if err != nil {
			return err
		}
		o.Name = ref
	}
	id, err := s.containers.Commit(r.Context(), r.FormValue("container"), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, container.CommitResponse{ID: string(id)})
}
