package server

import (
	"context"
	"net/http"

	"golang.org/x/net/websocket"

	"github.com/hull-dev/hull/internal/engine"
)

// containerAttachWS is containerAttach for browsers: the streams come as they are in binary messages,
// output and errors in one.
func (s *Server) containerAttachWS(w http.ResponseWriter, r *request, name string) error {
	keys, err := r.keys()
	if err != nil {
		return err
	}
	v, err := s.containers.Find(name)
	if err != nil {
		return err
	}
	// Without a word about streams all are wanted.
	want := engine.AttachRequest{Stdin: r.flag("stdin") && v.Config.OpenStdin, Stdout: r.flag("stdout"), Stderr: r.flag("stderr")}
	if !want.Stdin && !want.Stdout && !want.Stderr {
		want = engine.AttachRequest{Stdin: v.Config.OpenStdin, Stdout: true, Stderr: true}
	}
	var a *engine.Attachment
	if r.flag("stream") {
		if a, err = s.containers.Attach(r.Context(), name, want); err != nil {
			return err
		}
	}
	// Its own handshake checks no origin: who can reach the socket may do all that there is.
	websocket.Server{Handler: func(conn *websocket.Conn) {
		defer conn.Close()
		conn.PayloadType = websocket.BinaryFrame
		ctx, cancel := context.WithCancel(r.afterHijack())
		defer cancel()
		if r.flag("logs") {
			opts := logOptions{stdout: want.Stdout, stderr: want.Stderr, q: engine.LogQuery{Tail: -1}}
			_ = s.containers.Logs(ctx, name, opts.q, func(e engine.LogEntry) error { return opts.write(conn, e, true) })
		}
		if a == nil {
			return
		}
		st, err := a.Stream(ctx)
		if err != nil {
			return // the container was removed, or hulld stops
		}
		defer st.Close()
		go func() {
			if err := copyIn(st, conn, keys); err != nil {
				st.Close() // detached, or gone
				return
			}
			_ = st.CloseWrite()
		}()
		_ = copyOut(conn, st, true) // one of the two is gone: that is the end
	}}.ServeHTTP(w, r.Request)
	return nil
}
