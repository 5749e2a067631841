package server

import (
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
)

// route finds the handler of a request. Names of images have slashes in them, so they are what
// is left between a prefix and a suffix.
func (s *Server) route(r *request) handler {
	method := r.Method
	fixed := func(m, path string) bool { return m == method && path == r.path }
	switch {
	case method == http.MethodOptions:
		return func(http.ResponseWriter, *request) error { return nil }
	case (method == http.MethodGet || method == http.MethodHead) && r.path == "/_ping":
		return s.ping
	case fixed("GET", "/version"):
		return s.version
	case fixed("GET", "/info"):
		return s.info
	case fixed("GET", "/events"):
		return s.events
	case fixed("POST", "/auth"):
		return s.auth
	case fixed("GET", "/system/df"):
		return s.diskUsage
	case fixed("GET", "/containers/json"):
		return s.containerList
	case fixed("POST", "/containers/create"):
		return s.containerCreate
	case fixed("POST", "/containers/prune"):
		return s.containerPrune
	case fixed("POST", "/commit"):
		return s.commit
	case fixed("GET", "/volumes"):
		return s.volumeList
	case fixed("POST", "/volumes/create"):
		return s.volumeCreate
	case fixed("POST", "/volumes/prune"):
		return s.volumePrune
	case fixed("POST", "/hull/check"):
		return s.check
	case fixed("GET", "/images/json"):
		return s.imageList
	case fixed("POST", "/images/create"):
		return s.imageCreate
	case fixed("POST", "/images/load"):
		return s.imageLoad
	case fixed("GET", "/images/get"):
		return s.imageSave
	case fixed("GET", "/images/search"):
		return s.imageSearch
	case fixed("POST", "/images/prune"):
		return s.imagePrune
	}
	if name, ok := between(r.path, "/distribution/", "/json"); ok && method == http.MethodGet {
		return named(s.distribution, name)
	}
	if h := s.buildRoute(r); h != nil {
		return h
	}
	if h := s.imageRoute(r); h != nil {
		return h
	}
	if h := s.containerRoute(r); h != nil {
		return h
	}
	if h := s.volumeRoute(r); h != nil {
		return h
	}
	return s.notThere
}

// imageRoute finds the handlers of one image.
func (s *Server) imageRoute(r *request) handler {
	for _, route := range []struct {
		method, suffix string
		h              func(http.ResponseWriter, *request, string) error
	}{
		{"GET", "/json", s.imageInspect},
		{"GET", "/history", s.imageHistory},
		{"GET", "/get", s.imageSaveOne},
		{"POST", "/tag", s.imageTag},
		{"POST", "/push", s.imagePush},
		{"DELETE", "", s.imageDelete},
	} {
		if name, ok := between(r.path, "/images/", route.suffix); ok && route.method == r.Method {
			return named(route.h, name)
		}
	}
	return nil
}

// between cuts a non-empty name out of a path.
func between(path, prefix, suffix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return "", false
	}
	name, ok := strings.CutSuffix(rest, suffix)
	return name, ok && name != ""
}

func named(h func(http.ResponseWriter, *request, string) error, name string) handler {
	return func(w http.ResponseWriter, r *request) error { return h(w, r, name) }
}

// notThere answers for what Hull does not have yet, and for what does not exist.
func (s *Server) notThere(_ http.ResponseWriter, r *request) error {
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	if kind := objects(first); kind != "" && r.Method == http.MethodGet && rest != "" && rest != "json" {
		// That one is not there is the truth, and lets `docker inspect` go on to images.
		return errdefs.ErrNotFound.WithMessage("No such " + kind + ": " + strings.TrimSuffix(rest, "/json"))
	}
	switch first {
	case "containers", "exec", "networks", "build", "session", "grpc",
		"plugins", "swarm", "nodes", "services", "tasks", "secrets", "configs":
		return errdefs.ErrNotImplemented.WithMessage("/" + first + " is not there yet")
	}
	return errdefs.ErrNotFound.WithMessage("page not found")
}

// objects is the name of one of a kind that Docker has and hulld has not yet.
func objects(kind string) string {
	switch kind {
	case "containers", "networks", "volumes", "plugins", "nodes", "services", "tasks", "secrets", "configs":
		return strings.TrimSuffix(kind, "s")
	}
	return ""
}
