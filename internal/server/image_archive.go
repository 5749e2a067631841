package server

import (
	"net/http"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/image"
)

func (s *Server) imageLoad(w http.ResponseWriter, r *request) error {
	want, err := r.platforms("platform")
	if err != nil {
		return err
	}
	out := newStream(w)
	out.quiet = r.flag("quiet")
	return out.fail(s.images.Load(r.Context(), r.Body, want, out.report))
}

func (s *Server) imageSave(w http.ResponseWriter, r *request) error {
	var names []string
	for _, n := range r.Form["names"] {
		names = append(names, strings.Split(n, ",")...)
	}
	if len(names) == 0 {
		return errdefs.ErrInvalidArgument.WithMessage("no image is named")
	}
	return s.save(w, r, names)
}

func (s *Server) imageSaveOne(w http.ResponseWriter, r *request, name string) error {
	return s.save(w, r, []string{name})
}

func (s *Server) save(w http.ResponseWriter, r *request, names []string) error {
	want, err := r.platforms("platform")
	if err != nil {
		return err
	}
	a, err := s.images.Save(r.Context(), names, want)
	if err != nil {
		return err
	}
	defer a.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	w.WriteHeader(http.StatusOK)
	if err := a.Write(w); err != nil {
		s.log.Warn("saving images broke off", "names", names, "error", err)
		panic(http.ErrAbortHandler) // so that the client does not take half an archive for a whole one
	}
	return nil
}

// imageSearch refuses: searching is a service of one registry and no part of its protocol.
func (s *Server) imageSearch(http.ResponseWriter, *request) error {
	return errdefs.ErrNotImplemented.WithMessage("hulld does not search registries: the distribution specification has no search")
}

func (s *Server) imageDelete(w http.ResponseWriter, r *request, name string) error {
	if want, err := r.platforms("platforms"); err != nil {
		return err
	} else if len(want) > 0 {
		removed, err := s.images.RemovePlatforms(r.Context(), name, want)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, deleted(removed))
	}
	removed, err := s.images.Remove(r.Context(), name, image.RemoveOptions{Force: r.flag("force")})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, deleted(removed))
}
