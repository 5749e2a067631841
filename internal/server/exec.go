package server

import (
	"context"
	"net/http"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/engine"
)

// exitTime is how long the end of an exec process may come after that of its output.
const exitTime = 2 * time.Second

func (s *Server) execCreate(w http.ResponseWriter, r *request, name string) error {
	var b container.ExecCreateRequest
	if err := r.body(&b, false); err != nil {
		return err
	}
	if _, err := detachKeys(b.DetachKeys); err != nil {
		return err
	}
	if !r.since(42) {
		b.ConsoleSize = nil
	}
	id, err := s.containers.ExecCreate(r.Context(), name, engine.ExecConfig{
		User: b.User, WorkingDir: b.WorkingDir, Privileged: b.Privileged, TTY: b.Tty,
		Stdin: b.AttachStdin, Stdout: b.AttachStdout, Stderr: b.AttachStderr, Env: b.Env, Cmd: b.Cmd, DetachKeys: b.DetachKeys, Size: b.ConsoleSize,
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, container.ExecCreateResponse{ID: id})
}

func (s *Server) execStart(w http.ResponseWriter, r *request, id string) error {
	var b container.ExecStartRequest
	if err := r.body(&b, true); err != nil {
		return err
	}
	ex, err := s.containers.ExecReady(id)
	if err != nil {
		return err
	}
	if !r.since(42) || !b.Tty {
		b.ConsoleSize = nil
	}
	if b.Detach {
		st, err := s.containers.ExecStart(r.Context(), id, true, b.ConsoleSize)
		if err != nil {
			return err
		}
		if st != nil {
			st.Close()
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	ctx := r.afterHijack()
	conn, err := hijack(w, r, r.streamType(ex.Config.TTY))
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close()
	st, err := s.containers.ExecStart(ctx, id, false, b.ConsoleSize)
	if err != nil {
		// The status is sent: the error goes where output would, and not into the log: it quotes the command line.
		text := []byte(err.Error() + "\r\n")
		if !ex.Config.TTY {
			head := frameHead(1, len(text))
			text = append(head[:], text...)
		}
		_, _ = conn.Write(text)
		conn.refuse()
		return nil
	}
	if st == nil {
		conn.refuse()
		return nil
	}
	var keys []byte
	if ex.Config.TTY {
		keys, _ = detachKeys(ex.Config.DetachKeys) // checked at creation
	}
	// A client asks for the exit code when the output has ended: by then it is known.
	conn.pump(st, ex.Config.Stdin, ex.Config.TTY, keys, func() {
		ctx, cancel := context.WithTimeout(ctx, exitTime)
		defer cancel()
		_, _ = s.containers.ExecWait(ctx, id) // one that closed its output and goes on is left alone
	})
	return nil
}

func (s *Server) execInspect(w http.ResponseWriter, _ *request, id string) error {
	ex, err := s.containers.ExecFind(id)
	if err != nil {
		return err
	}
	privileged := ex.Config.Privileged
	return writeJSON(w, http.StatusOK, container.ExecInspectResponse{
		ID: ex.ID, Running: ex.Running, ExitCode: ex.ExitCode,
		ProcessConfig: &container.ExecProcessConfig{
			Tty: ex.Config.TTY, Entrypoint: ex.Config.Cmd[0], Arguments: append([]string{}, ex.Config.Cmd[1:]...), Privileged: &privileged, User: ex.Config.User,
		},
		OpenStdin: ex.Config.Stdin, OpenStderr: ex.Config.Stderr, OpenStdout: ex.Config.Stdout,
		ContainerID: string(ex.Container), DetachKeys: []byte{}, Pid: ex.Pid,
	})
}

func (s *Server) execResize(w http.ResponseWriter, r *request, id string) error {
	width, height, err := r.size()
	if err != nil {
		return err
	}
	if err := s.containers.ExecResize(r.Context(), id, width, height); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
