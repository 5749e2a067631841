package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	registrytypes "github.com/moby/moby/api/types/registry"
	"google.golang.org/protobuf/proto"

	"github.com/hull-dev/hull/internal/build"
)

// Builds is what the server needs of the builder.
type Builds interface {
	Build(ctx context.Context, r *build.Request, trace func(*controlapi.StatusResponse) error) (id string, err error)
	Cancel(id string)
	Session(w http.ResponseWriter, r *http.Request) error
	GRPC(w http.ResponseWriter, r *http.Request) error
	Prune(ctx context.Context, o build.PruneOptions) (types.CachePruneReport, error)
	DiskUsage(ctx context.Context) ([]types.CacheRecord, error)
}

// maxRegistryConfig bounds the credentials for all registries, in bytes as sent.
const maxRegistryConfig = 512 << 10

// buildRoute finds the handlers of builds.
func (s *Server) buildRoute(r *request) handler {
	if r.Method != http.MethodPost || s.builds == nil {
		return nil
	}
	switch r.path {
	case "/build":
		return s.build
	case "/build/prune":
		return s.buildPrune
	case "/build/cancel":
		return s.buildCancel
	case "/session":
		return func(w http.ResponseWriter, r *request) error { return s.builds.Session(w, r.Request) }
	case "/grpc":
		return func(w http.ResponseWriter, r *request) error { return s.builds.GRPC(w, r.Request) }
	}
	return nil
}

// build runs a build whose context comes with the request, or by a BuildKit client's session.
func (s *Server) build(w http.ResponseWriter, r *request) error {
	req, err := r.buildRequest()
	if err != nil {
		return err
	}
	// Output comes before the context has been read to its end.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		return fmt.Errorf("answering while reading: %w", err)
	}
	out := newStream(w)
	if r.FormValue("version") == string(types.BuilderBuildKit) {
		return s.buildKit(r, req, out)
	}
	quiet := r.flag("q")
	held := &heldText{}
	c := &build.Classic{Out: textOf(out.stdout), Err: textOf(out.stdout)}
	if quiet {
		c.Out, c.Err = held, held
	}
	id, err := s.builds.Build(r.Context(), req, c.Trace)
	if err != nil {
		if quiet && held.Len() > 0 {
			out.stdout(held.String())
		}
		return out.fail(err)
	}
	if quiet {
		out.stdout(id + "\n")
		return nil
	}
	if id == "" {
		return nil
	}
	if r.since(30) {
		out.aux("", types.Result{ID: id})
	}
	short := strings.TrimPrefix(id, "sha256:")
	out.stdout(" ---> " + short[:min(12, len(short))] + "\n")
	out.stdout("Successfully built " + short[:min(12, len(short))] + "\n")
	for _, t := range req.Tags {
		if ref, _, err := imageName(t, ""); err == nil {
			out.stdout("Successfully tagged " + ref.WithDefaultTag().Familiar() + "\n")
		}
	}
	return nil
}

// buildKit tells a BuildKit client what happens.
func (s *Server) buildKit(r *request, req *build.Request, out *stream) error {
	id, err := s.builds.Build(r.Context(), req, func(status *controlapi.StatusResponse) error {
		raw, err := proto.Marshal(status)
		if err != nil {
			return err
		}
		out.aux("moby.buildkit.trace", raw)
		return nil
	})
	if err != nil {
		return out.fail(err)
	}
	if id != "" {
		out.aux("moby.image.id", types.Result{ID: id})
	}
	return nil
}

// buildRequest reads the query.
func (r *request) buildRequest() (*build.Request, error) {
	b := &build.Request{
		Dockerfile: r.FormValue("dockerfile"), Target: r.FormValue("target"), Remote: r.FormValue("remote"), Tags: r.Form["t"],
		NoCache: r.flag("nocache"), Pull: r.flag("pull"), Network: r.FormValue("networkmode"), ExtraHosts: r.Form["extrahosts"],
		Platform: r.FormValue("platform"), CgroupParent: r.FormValue("cgroupparent"), Session: r.FormValue("session"), ID: r.FormValue("buildid"),
	}
	if b.Remote == "" || strings.HasPrefix(b.ID, "upload-request:") {
		b.Body = r.Body
	}
	if r.flag("squash") {
		return nil, errdefs.ErrInvalidArgument.WithMessage("squash is only supported with experimental mode")
	}
	if len(r.Form["securityopt"]) > 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("security options are not supported on linux")
	}
	if v := r.FormValue("version"); v != "" && v != "1" && v != "2" {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid version %q", v))
	}
	for key, into := range map[string]any{"buildargs": &b.Args, "labels": &b.Labels, "cachefrom": &b.CacheFrom, "ulimits": &b.Ulimits, "outputs": &b.Outputs} {
		if v := r.FormValue(key); v != "" {
			if err := json.Unmarshal([]byte(v), into); err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error reading %s: %v", key, err))
			}
		}
	}
	if v := r.FormValue("shmsize"); v != "" {
		var err error
		if b.ShmSize, err = strconv.ParseInt(v, 10, 64); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("error reading shmsize: " + err.Error())
		}
	}
	// What cannot be read is nobody's, as with Docker; it is never repeated in an error.
	if h := r.Header.Get("X-Registry-Config"); h != "" && len(h) < maxRegistryConfig {
		if raw, err := base64.URLEncoding.DecodeString(h); err == nil {
			_ = json.Unmarshal(raw, &b.Auth)
		}
	}
	if b.Auth == nil {
		b.Auth = map[string]registrytypes.AuthConfig{}
	}
	return b, nil
}

func (s *Server) buildCancel(w http.ResponseWriter, r *request) error {
	id := r.FormValue("id")
	if id == "" {
		return errdefs.ErrInvalidArgument.WithMessage("build ID not provided")
	}
	s.builds.Cancel(id)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) buildPrune(w http.ResponseWriter, r *request) error {
	f, err := r.filters("id", "parent", "type", "description", "inuse", "shared", "private", "until", "unused-for")
	if err != nil {
		return err
	}
	o := build.PruneOptions{All: r.flag("all"), Filters: f}
	for _, key := range []string{"until", "unused-for"} {
		if v := f[key]; len(v) > 0 {
			if o.KeepFor, err = time.ParseDuration(v[0]); err != nil {
				return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s': %v", key, err))
			}
			delete(f, key)
		}
	}
	for key, into := range map[string]*int64{"keep-storage": &o.ReservedSpace, "reserved-space": &o.ReservedSpace, "max-used-space": &o.MaxUsedSpace, "min-free-space": &o.MinFreeSpace} {
		v := r.FormValue(key)
		if v == "" {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is in bytes and expects an integer, got %v", key, v))
		}
		if *into == 0 {
			*into = n
		}
	}
	report, err := s.builds.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

// heldText keeps output until it is known whether it is wanted, its last part if it is long.
type heldText struct{ strings.Builder }

const maxHeld = 1 << 20

func (h *heldText) Write(p []byte) (int, error) {
	if h.Len()+len(p) > maxHeld {
		h.Reset()
	}
	return h.Builder.Write(p)
}

// textOf is a writer of stream lines.
type textOf func(text string)

func (t textOf) Write(p []byte) (int, error) {
	t(string(p))
	return len(p), nil
}

var _ io.Writer = textOf(nil)

// stdout writes a line of output.
func (s *stream) stdout(text string) {
	s.line(progressLine{Message: jsonstream.Message{Stream: text}})
}

// aux writes a message for programs.
func (s *stream) aux(id string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		return
	}
	s.line(struct {
		ID  string          `json:"id,omitempty"`
		Aux json.RawMessage `json:"aux"`
	}{id, raw})
}

// buildUsage counts the results of builds that are kept.
func (s *Server) buildUsage(r *request, out *usage) error {
	list := []types.CacheRecord{}
	if s.builds != nil {
		got, err := s.builds.DiskUsage(r.Context())
		if err != nil {
			return err
		}
		list = append(list, got...)
	}
	d := types.DiskUsage{TotalCount: int64(len(list))}
	for _, c := range list {
		d.TotalSize += c.Size
		if c.InUse {
			d.ActiveCount++
		} else if !c.Shared {
			d.Reclaimable += c.Size
		}
	}
	if !r.since(53) {
		out.BuildCache = &list
		if !r.since(42) {
			out.BuilderSize = &d.TotalSize
		}
	}
	if r.since(52) {
		if r.flag("verbose") {
			d.Items = list
		}
		out.BuildCacheUsage = &d
	}
	return nil
}
