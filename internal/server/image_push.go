package server

import (
	"net/http"

	"github.com/hull-dev/hull/internal/image"
)

func (s *Server) imagePush(w http.ResponseWriter, r *request, name string) error {
	platform, err := r.platform("platform")
	if err != nil {
		return err
	}
	ref, whole, err := imageName(name, r.FormValue("tag"))
	if err != nil {
		return err
	}
	out := newStream(w)
	opts := image.PushOptions{Platform: platform, Auth: r.credentials(), Report: out.report}
	if whole {
		return out.fail(s.images.PushAll(r.Context(), ref.Repository, opts))
	}
	return out.fail(s.images.Push(r.Context(), ref, opts))
}

func (s *Server) imageTag(w http.ResponseWriter, r *request, name string) error {
	ref, _, err := imageName(r.FormValue("repo"), r.FormValue("tag"))
	if err != nil {
		return err
	}
	if err := s.images.Tag(r.Context(), name, ref); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}
