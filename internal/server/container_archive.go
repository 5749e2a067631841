package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/engine"
)

// archivePath is the path that a copy is about.
func (r *request) archivePath() (string, error) {
	p := r.FormValue("path")
	if p == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage("bad parameter: 'path' cannot be empty")
	}
	return p, nil
}

// statHeader tells what is copied, in Docker's header.
func statHeader(w http.ResponseWriter, st container.PathStat) error {
	raw, err := json.Marshal(st)
	if err != nil {
		return err
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(raw))
	return nil
}

func (s *Server) containerStat(w http.ResponseWriter, r *request, name string) error {
	p, err := r.archivePath()
	if err != nil {
		return err
	}
	st, err := s.containers.Stat(r.Context(), name, p)
	if err != nil {
		return err
	}
	return statHeader(w, st)
}

func (s *Server) containerCopyOut(w http.ResponseWriter, r *request, name string) error {
	p, err := r.archivePath()
	if err != nil {
		return err
	}
	begun := false
	err = s.containers.CopyOut(r.Context(), name, p, func(st container.PathStat) io.Writer {
		begun = true
		_ = statHeader(w, st) // a PathStat is always JSON
		w.Header().Set("Content-Type", "application/x-tar")
		return w
	})
	return s.broken(err, begun)
}

// broken is the error of a stream: once bytes were sent, the connection is cut, so that the client does
// not take what came for all.
func (s *Server) broken(err error, begun bool) error {
	if err != nil && begun {
		s.log.Warn("an archive was not sent to its end", "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

func (s *Server) containerCopyIn(w http.ResponseWriter, r *request, name string) error {
	p, err := r.archivePath()
	if err != nil {
		return err
	}
	o := engine.CopyOptions{NoOverwriteDirNonDir: r.flag("noOverwriteDirNonDir"), AsUser: r.flag("copyUIDGID")}
	if err := s.containers.CopyIn(r.Context(), name, p, r.Body, o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) containerExport(w http.ResponseWriter, r *request, name string) error {
	begun := false
	err := s.containers.Export(r.Context(), name, func() io.Writer {
		begun = true
		w.Header().Set("Content-Type", "application/octet-stream")
		return w
	})
	return s.broken(err, begun)
}

func (s *Server) containerChanges(w http.ResponseWriter, r *request, name string) error {
	all, err := s.containers.Changes(r.Context(), name)
	if err != nil {
		return err
	}
	out := make([]container.FilesystemChange, 0, len(all))
	for _, c := range all {
		out = append(out, container.FilesystemChange{Kind: container.ChangeType(c.Kind), Path: c.Path})
	}
	return writeJSON(w, http.StatusOK, out)
}
