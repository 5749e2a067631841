package server

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/containerd/errdefs"
	types "github.com/moby/moby/api/types/volume"

	"github.com/hull-dev/hull/internal/volume"
)

// Volumes is what the server needs of the volumes.
type Volumes interface {
	List(f volume.Filter) []volume.Volume
	Get(name string) (volume.Volume, error)
	Create(o volume.CreateOptions) (volume.Volume, error)
	Remove(name string, force bool) error
	Prune(ctx context.Context, f volume.Filter, all bool) ([]string, int64, error)
	Usage(ctx context.Context, name string) (size int64, users int, err error)
}

// volumeRoute finds the handlers of one volume.
func (s *Server) volumeRoute(r *request) handler {
	name, ok := between(r.path, "/volumes/", "")
	if !ok {
		return nil
	}
	switch r.Method {
	case http.MethodGet:
		return named(s.volumeInspect, name)
	case http.MethodDelete:
		return named(s.volumeRemove, name)
	case http.MethodPut:
		return named(s.volumeUpdate, name)
	}
	return nil
}

func encodeVolume(v volume.Volume) types.Volume {
	out := types.Volume{
		Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, Labels: v.Labels, Options: v.Options, Scope: "local",
		CreatedAt: v.Created.Format(time.RFC3339),
	}
	return out
}

func (s *Server) volumeFilter(r *request, keys ...string) (f volume.Filter, err error) {
	raw, err := r.filters(keys...)
	if err != nil {
		return f, err
	}
	if f.Dangling, err = raw.flag("dangling"); err != nil {
		return f, err
	}
	for _, n := range raw["name"] {
		if _, err := regexp.Compile(n); err != nil {
			return f, errdefs.ErrInvalidArgument.WithMessage("invalid filter 'name=" + n + "': " + err.Error())
		}
	}
	f.Names, f.Drivers, f.Labels, f.NotLabels = raw["name"], raw["driver"], raw["label"], raw["label!"]
	return f, nil
}

func (s *Server) volumeList(w http.ResponseWriter, r *request) error {
	f, err := s.volumeFilter(r, "dangling", "driver", "label", "label!", "name")
	if err != nil {
		return err
	}
	out := types.ListResponse{Volumes: []types.Volume{}}
	for _, v := range s.volumes.List(f) {
		out.Volumes = append(out.Volumes, encodeVolume(v))
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) volumeCreate(w http.ResponseWriter, r *request) error {
	var b types.CreateRequest
	if err := r.body(&b, false); err != nil {
		return err
	}
	if b.ClusterVolumeSpec != nil {
		return errdefs.ErrNotImplemented.WithMessage("there are no cluster volumes")
	}
	v, err := s.volumes.Create(volume.CreateOptions{Name: b.Name, Driver: b.Driver, Labels: b.Labels, Options: b.DriverOpts})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, encodeVolume(v))
}

func (s *Server) volumeInspect(w http.ResponseWriter, _ *request, name string) error {
	v, err := s.volumes.Get(name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, encodeVolume(v))
}

func (s *Server) volumeRemove(w http.ResponseWriter, r *request, name string) error {
	err := s.volumes.Remove(name, r.flag("force"))
	if errdefs.IsNotFound(err) && r.flag("force") {
		err = nil
	}
	return done(w, err)
}

func (s *Server) volumeUpdate(http.ResponseWriter, *request, string) error {
	return errdefs.ErrUnavailable.WithMessage("This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
}

func (s *Server) volumePrune(w http.ResponseWriter, r *request) error {
	raw, err := r.filters("label", "label!", "all")
	if err != nil {
		return err
	}
	all, err := raw.flag("all")
	if err != nil {
		return err
	}
	f := volume.Filter{Labels: raw["label"], NotLabels: raw["label!"]}
	// Before 1.42 named volumes went too.
	names, freed, err := s.volumes.Prune(r.Context(), f, !r.since(42) || all != nil && *all)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, types.PruneReport{VolumesDeleted: names, SpaceReclaimed: uint64(freed)})
}
