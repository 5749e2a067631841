package server

import (
	"context"
	"net/http"
	"time"

	"github.com/hull-dev/hull/internal/engine"
)

func (s *Server) containerAttach(w http.ResponseWriter, r *request, name string) error {
	keys, err := r.keys()
	if err != nil {
		return err
	}
	want := engine.AttachRequest{Stdin: r.flag("stdin"), Stdout: r.flag("stdout"), Stderr: r.flag("stderr")}
	stream, logs := r.flag("stream"), r.flag("logs")
	v, err := s.containers.Find(name)
	if err != nil {
		return err
	}
	want.Stdin = want.Stdin && v.Config.OpenStdin
	var a *engine.Attachment
	if stream {
		// Before the answer: who reads it may start the container, and misses nothing.
		if a, err = s.containers.Attach(r.afterHijack(), name, want); err != nil {
			return err
		}
	}
	conn, err := hijack(w, r, r.streamType(v.Config.Tty))
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.afterHijack())
	defer cancel()
	if logs {
		opts := logOptions{stdout: want.Stdout, stderr: want.Stderr, q: engine.LogQuery{Tail: -1}}
		_ = s.containers.Logs(ctx, name, opts.q, func(e engine.LogEntry) error { return opts.write(conn, e, v.Config.Tty) })
	}
	if a == nil {
		conn.refuse()
		return nil
	}
	// While it waits for the start, a client that leaves is noticed.
	started := make(chan struct{})
	go func() {
		if conn.goneBefore(started) {
			cancel()
		}
	}()
	st, err := a.Stream(ctx)
	close(started)
	if err != nil {
		conn.refuse()
		return nil //nolint:nilerr // the container was removed, or the client left: the stream ends
	}
	if !v.Config.Tty {
		keys = nil
	}
	conn.pump(st, want.Stdin, v.Config.Tty, keys, nil)
	return nil
}

func (r *request) keys() ([]byte, error) { return detachKeys(r.FormValue("detachKeys")) }

// goneBefore says whether the peer went away before the channel was closed.
func (h *hijacked) goneBefore(started <-chan struct{}) bool {
	for {
		select {
		case <-started:
			return false
		case <-time.After(time.Second):
			if h.goneNow() {
				return true
			}
		}
	}
}
