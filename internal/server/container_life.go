package server

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
)

func (s *Server) containerStart(w http.ResponseWriter, r *request, name string) error {
	if r.FormValue("checkpoint") != "" {
		return errdefs.ErrNotImplemented.WithMessage("checkpoints are not there yet")
	}
	return done(w, s.containers.Start(r.Context(), name))
}

func (r *request) stopOptions() (o engine.StopOptions, err error) {
	if r.since(42) {
		o.Signal = r.FormValue("signal")
	}
	if t := r.FormValue("t"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil {
			return o, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		o.Timeout = &n
	}
	return o, nil
}

func (s *Server) containerStop(w http.ResponseWriter, r *request, name string) error {
	o, err := r.stopOptions()
	if err != nil {
		return err
	}
	return done(w, s.containers.Stop(r.Context(), name, o))
}

func (s *Server) containerRestart(w http.ResponseWriter, r *request, name string) error {
	o, err := r.stopOptions()
	if err != nil {
		return err
	}
	return done(w, s.containers.Restart(r.Context(), name, o))
}

func (s *Server) containerKill(w http.ResponseWriter, r *request, name string) error {
	return done(w, s.containers.Kill(r.Context(), name, r.FormValue("signal")))
}

func (s *Server) containerPause(w http.ResponseWriter, r *request, name string) error {
	return done(w, s.containers.Pause(r.Context(), name))
}

func (s *Server) containerUnpause(w http.ResponseWriter, r *request, name string) error {
	return done(w, s.containers.Unpause(r.Context(), name))
}

func (s *Server) containerRename(w http.ResponseWriter, r *request, name string) error {
	return done(w, s.containers.Rename(r.Context(), name, r.FormValue("name")))
}

// updateBody is container.UpdateConfig with what Docker has not: published ports are changed while the
// container runs. A port of PublishRemove without bindings loses all.
type updateBody struct {
	container.UpdateConfig
	PublishAdd    network.PortMap
	PublishRemove network.PortMap
}

func (s *Server) containerUpdate(w http.ResponseWriter, r *request, name string) error {
	var u updateBody
	if err := r.body(&u, false); err != nil {
		return err
	}
	if !r.since(40) {
		u.PidsLimit = nil
	}
	var warnings []string
	if publish := len(u.PublishAdd)+len(u.PublishRemove) > 0; !publish || !reflect.DeepEqual(u.UpdateConfig, container.UpdateConfig{}) {
		var err error
		if warnings, err = s.containers.Update(r.Context(), name, u.UpdateConfig); err != nil {
			return err
		}
	}
	if len(u.PublishAdd)+len(u.PublishRemove) > 0 {
		if err := s.containers.Publish(r.Context(), name, u.PublishAdd, u.PublishRemove); err != nil {
			return err
		}
	}
	if warnings == nil {
		warnings = []string{}
	}
	return writeJSON(w, http.StatusOK, container.UpdateResponse{Warnings: warnings})
}

func (s *Server) containerRemove(w http.ResponseWriter, r *request, name string) error {
	if r.flag("link") {
		return errdefs.ErrNotImplemented.WithMessage("a link cannot be removed from a container: remove the container")
	}
	return done(w, s.containers.Remove(r.Context(), name, engine.RemoveOptions{Force: r.flag("force"), Volumes: r.flag("v")}))
}

func (s *Server) containerPrune(w http.ResponseWriter, r *request) error {
	f, err := r.filters("until", "label", "label!")
	if err != nil {
		return err
	}
	o := engine.PruneOptions{Labels: f["label"], NotLabels: f["label!"]}
	if o.Until, err = f.until(); err != nil {
		return err
	}
	ids, freed, err := s.containers.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	out := container.PruneReport{ContainersDeleted: []string{}, SpaceReclaimed: uint64(freed)}
	for _, id := range ids {
		out.ContainersDeleted = append(out.ContainersDeleted, string(id))
	}
	if len(ids) == 0 {
		out.ContainersDeleted = nil
	}
	return writeJSON(w, http.StatusOK, out)
}

// size reads the h and w of a resize.
func (r *request) size() (width, height uint16, err error) {
	for key, to := range map[string]*uint16{"h": &height, "w": &width} {
		n, err := strconv.ParseUint(strings.TrimSpace(r.FormValue(key)), 10, 16)
		if err != nil {
			return 0, 0, errdefs.ErrInvalidArgument.WithMessage("invalid resize " + map[string]string{"h": "height", "w": "width"}[key] + ": " + err.Error())
		}
		*to = uint16(n)
	}
	return width, height, nil
}

func (s *Server) containerResize(w http.ResponseWriter, r *request, name string) error {
	width, height, err := r.size()
	if err != nil {
		return err
	}
	if err := s.containers.Resize(r.Context(), name, width, height); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
