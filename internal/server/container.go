package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/image"
)

// Containers is what the server needs of the engine.
type Containers interface {
	Create(ctx context.Context, r engine.CreateRequest) (*engine.CreateResult, error)
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string, o engine.StopOptions) error
	Restart(ctx context.Context, name string, o engine.StopOptions) error
	Kill(ctx context.Context, name, signal string) error
	Pause(ctx context.Context, name string) error
	Unpause(ctx context.Context, name string) error
	Rename(ctx context.Context, name, to string) error
	Update(ctx context.Context, name string, u container.UpdateConfig) ([]string, error)
	Publish(ctx context.Context, name string, add, remove network.PortMap) error
	Connect(ctx context.Context, nw, name string, ep *network.EndpointSettings) error
	Disconnect(ctx context.Context, nw, name string) error
	Remove(ctx context.Context, name string, o engine.RemoveOptions) error
	Prune(ctx context.Context, o engine.PruneOptions) ([]engine.ID, int64, error)
	Wait(ctx context.Context, name string, cond engine.WaitCondition) (<-chan engine.Exit, error)
	Find(name string) (*engine.View, error)
	Views() []*engine.View
	List(ctx context.Context, o engine.ListOptions) ([]*engine.View, error)
	SizeRw(ctx context.Context, v *engine.View) int64
	Logs(ctx context.Context, name string, q engine.LogQuery, f func(engine.LogEntry) error) error
	Attach(ctx context.Context, name string, r engine.AttachRequest) (*engine.Attachment, error)
	Resize(ctx context.Context, name string, width, height uint16) error
	Processes(ctx context.Context, name string) ([]int, *engine.View, error)
	Stats(ctx context.Context, name string) (json.RawMessage, *engine.View, error)

	Stat(ctx context.Context, name, file string) (container.PathStat, error)
	CopyOut(ctx context.Context, name, file string, begin func(container.PathStat) io.Writer) error
	CopyIn(ctx context.Context, name, dir string, r io.Reader, o engine.CopyOptions) error
	Export(ctx context.Context, name string, begin func() io.Writer) error
	Changes(ctx context.Context, name string) ([]engine.Change, error)
	Commit(ctx context.Context, name string, o engine.CommitOptions) (image.ID, error)

	ExecCreate(ctx context.Context, name string, c engine.ExecConfig) (string, error)
	ExecReady(id string) (engine.Exec, error)
	ExecStart(ctx context.Context, id string, detach bool, size *[2]uint) (engine.Stream, error)
	ExecFind(id string) (engine.Exec, error)
	ExecWait(ctx context.Context, id string) (engine.Exec, error)
	ExecResize(ctx context.Context, id string, width, height uint16) error
}

// maxBody bounds the body of a request that is an object, in bytes.
const maxBody = 16 << 20

// containerRoute finds the handlers of one container and of exec processes.
func (s *Server) containerRoute(r *request) handler {
	for _, route := range []struct {
		method, prefix, suffix string
		h                      func(http.ResponseWriter, *request, string) error
	}{
		{"GET", "/containers/", "/json", s.containerInspect},
		{"GET", "/containers/", "/logs", s.containerLogs},
		{"GET", "/containers/", "/top", s.containerTop},
		{"GET", "/containers/", "/stats", s.containerStats},
		{"GET", "/containers/", "/attach/ws", s.containerAttachWS},
		{"GET", "/containers/", "/changes", s.containerChanges},
		{"GET", "/containers/", "/export", s.containerExport},
		{"HEAD", "/containers/", "/archive", s.containerStat},
		{"GET", "/containers/", "/archive", s.containerCopyOut},
		{"PUT", "/containers/", "/archive", s.containerCopyIn},
		{"POST", "/containers/", "/start", s.containerStart},
		{"POST", "/containers/", "/stop", s.containerStop},
		{"POST", "/containers/", "/restart", s.containerRestart},
		{"POST", "/containers/", "/kill", s.containerKill},
		{"POST", "/containers/", "/pause", s.containerPause},
		{"POST", "/containers/", "/unpause", s.containerUnpause},
		{"POST", "/containers/", "/wait", s.containerWait},
		{"POST", "/containers/", "/attach", s.containerAttach},
		{"POST", "/containers/", "/resize", s.containerResize},
		{"POST", "/containers/", "/rename", s.containerRename},
		{"POST", "/containers/", "/update", s.containerUpdate},
		{"POST", "/containers/", "/exec", s.execCreate},
		{"DELETE", "/containers/", "", s.containerRemove},
		{"GET", "/exec/", "/json", s.execInspect},
		{"POST", "/exec/", "/start", s.execStart},
		{"POST", "/exec/", "/resize", s.execResize},
	} {
		if name, ok := between(r.path, route.prefix, route.suffix); ok && route.method == r.Method && !strings.Contains(strings.TrimPrefix(name, "/"), "/") {
			return named(route.h, name)
		}
	}
	return nil
}

// body reads the request's object into v. optional: there may be none.
func (r *request) body(v any, optional bool) error {
	if optional && (r.Body == nil || r.ContentLength == 0) {
		return nil
	}
	if ct := r.Header.Get("Content-Type"); ct != "" || !optional {
		kind, _, err := mime.ParseMediaType(ct)
		if err != nil || kind != "application/json" {
			if ct == "" {
				ct = "malformed Content-Type header (): mime: no media type"
			} else {
				ct = "unsupported Content-Type header (" + ct + "): must be 'application/json'"
			}
			return errdefs.ErrInvalidArgument.WithMessage(ct)
		}
	}
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody+1))
	switch err := d.Decode(v); {
	case errors.Is(err, io.EOF) && optional:
		return nil
	case errors.Is(err, io.EOF):
		return errdefs.ErrInvalidArgument.WithMessage("invalid JSON: got EOF while reading request body")
	case d.InputOffset() > maxBody:
		return errdefs.ErrInvalidArgument.WithMessage("the request's body is too long")
	case err != nil:
		return errdefs.ErrInvalidArgument.WithMessage("invalid JSON: " + err.Error())
	}
	if d.More() {
		return errdefs.ErrInvalidArgument.WithMessage("unexpected content after JSON")
	}
	return nil
}

// done is the answer of what has nothing to say, 204, or 304 when nothing was to be done.
func done(w http.ResponseWriter, err error) error {
	switch {
	case errors.Is(err, engine.ErrNotModified):
		w.WriteHeader(http.StatusNotModified)
	case err != nil:
		return err
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}
