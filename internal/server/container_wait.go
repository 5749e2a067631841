package server

import (
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/engine"
)

func (s *Server) containerWait(w http.ResponseWriter, r *request, name string) error {
	cond := engine.WaitNotRunning
	if v := r.FormValue("condition"); v != "" && r.since(30) {
		switch cond = engine.WaitCondition(v); cond {
		case engine.WaitNotRunning, engine.WaitNextExit, engine.WaitRemoved:
		default:
			return errdefs.ErrInvalidArgument.WithMessage(`invalid condition: "` + v + `"`)
		}
	}
	exited, err := s.containers.Wait(r.Context(), name, cond)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	if r.since(30) {
		// The headers say that the wait has begun: a client starts the container only then.
		w.WriteHeader(http.StatusOK)
		_ = flush.Flush()
	}
	select {
	case e := <-exited:
		out := container.WaitResponse{StatusCode: int64(e.Code)}
		if e.Err != "" {
			out.Error = &container.WaitExitError{Message: e.Err}
		}
		raw, err := encode(out)
		if err != nil {
			return err
		}
		_, _ = w.Write(append(raw, '\n'))
	case <-r.Context().Done():
	}
	return nil
}
