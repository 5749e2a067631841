package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// Versions of the API, the part after "1.".
const (
	MinVersion = 24
	MaxVersion = 56
)

// Images is what the server needs of the image store.
type Images interface {
	Images(ctx context.Context) ([]*image.Image, error)
	Find(ctx context.Context, name string) (*image.Image, error)
	FindFor(ctx context.Context, name string, platform ocispec.Platform) (*image.Image, error)
	Manifests(ctx context.Context, img *image.Image) ([]image.ManifestInfo, error)
	Pull(ctx context.Context, ref reference.Reference, opts image.PullOptions) (*image.Image, error)
	PullAll(ctx context.Context, repo reference.Repository, opts image.PullOptions) error
	Push(ctx context.Context, ref reference.Reference, opts image.PushOptions) error
	PushAll(ctx context.Context, repo reference.Repository, opts image.PushOptions) error
	Load(ctx context.Context, r io.Reader, want []ocispec.Platform, report image.Report) error
	Save(ctx context.Context, names []string, want []ocispec.Platform) (*image.Archive, error)
	Download(ctx context.Context, url string) (body io.ReadCloser, size int64, err error)
	Import(ctx context.Context, r io.Reader, opts image.ImportOptions) (image.ID, error)
	Tag(ctx context.Context, source string, name reference.Reference) error
	Remove(ctx context.Context, name string, opts image.RemoveOptions) ([]image.Removed, error)
	RemovePlatforms(ctx context.Context, name string, want []ocispec.Platform) ([]image.Removed, error)
	Prune(ctx context.Context, remove func(*image.Image) bool) ([]image.Removed, int64, error)
	Usage(all []*image.Image) image.Usage
	Distribution(ctx context.Context, ref reference.Reference, auth image.Credentials) (ocispec.Descriptor, []ocispec.Platform, error)
	Login(ctx context.Context, domain string, auth image.Credentials) (identityToken string, err error)
	Check(ctx context.Context, repair bool) ([]image.Problem, error)
}

// Facts are what hulld says of itself.
type Facts struct {
	ID          string // of this data root
	Version     string
	Commit      string
	Snapshotter string
	DataRoot    string
	Debug       bool
	Mirrors     []string    // of docker.io
	Insecure    []string    // registries, by host or network
	Info        system.Info // what /info says of the host and the settings
}

// Server is the handler of the API.
type Server struct {
	images     Images
	containers Containers
	volumes    Volumes
	builds     Builds
	bus        *events.Bus
	facts      Facts
	log        *slog.Logger
}

// WithBuilds lets the server build images.
func (s *Server) WithBuilds(b Builds) *Server {
	s.builds = b
	return s
}

// New makes the handler. bus is where all parts of the engine say what happened.
func New(images Images, containers Containers, volumes Volumes, bus *events.Bus, facts Facts, log *slog.Logger) *Server {
	return &Server{images: images, containers: containers, volumes: volumes, bus: bus, facts: facts, log: log}
}

// request is one request, with what is left of its path after the version.
type request struct {
	*http.Request
	version int    // the part after "1."
	path    string // "/images/json"
}

// since says whether the client's version is 1.minor or newer.
func (r *request) since(minor int) bool { return r.version >= minor }

// flag reads a boolean of the query as Docker does.
func (r *request) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.FormValue(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// handler answers a request or returns an error, of which the answer is made. After it wrote
// something it returns nil.
type handler func(w http.ResponseWriter, r *request) error

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	h := w.Header()
	h.Set("Api-Version", fmt.Sprintf("1.%d", MaxVersion))
	h.Set("Docker-Experimental", "false")
	h.Set("Ostype", "linux")
	h.Set("Server", "Hull/"+s.facts.Version+" (linux)")
	r := &request{Request: hr}
	err := r.readVersion()
	if err == nil {
		// A body is never a form: query parameters only, so that an archive is not read as one.
		hr.Form = hr.URL.Query()
		err = s.route(r)(w, r)
	}
	if err != nil {
		s.log.Debug("request failed", "method", hr.Method, "path", hr.URL.Path, "error", err)
		writeError(w, err)
	}
}

// readVersion takes the version off the path.
func (r *request) readVersion() error {
	r.version, r.path = MaxVersion, r.URL.Path
	rest, ok := strings.CutPrefix(r.path, "/v1.")
	if !ok {
		return nil
	}
	digits, rest, ok := strings.Cut(rest, "/")
	minor, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil {
		return nil // no version: no such path
	}
	r.version, r.path = int(minor), "/"+rest
	switch {
	case r.version < MinVersion:
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("client version 1.%d is too old. Minimum supported API version is 1.%d, please upgrade your client to a newer version", r.version, MinVersion))
	case r.version > MaxVersion:
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("client version 1.%d is too new. Maximum supported API version is 1.%d", r.version, MaxVersion))
	}
	return nil
}

// encode is JSON without a line's end, in which '<' stands as it is: Docker's clients show
// "<none>".
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// writeJSON answers with an object.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n')) // a client that is gone needs no answer
	return nil
}
