package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/moby/buildkit/executor"

	"github.com/hull-dev/hull/internal/shim"
	"github.com/hull-dev/hull/internal/spec"
	"github.com/hull-dev/hull/internal/userdb"
)

// Exec implements executor.Executor: one more process in an instruction's container, for frontends and
// debuggers.
func (s *steps) Exec(ctx context.Context, name string, p executor.ProcessInfo) error {
	s.mu.Lock()
	st := s.running[name]
	s.mu.Unlock()
	if st == nil {
		return fmt.Errorf("container %q not found", name)
	}
	select {
	case <-st.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if st.shim == nil || st.err != nil {
		return errors.Join(fmt.Errorf("container %q has stopped", name), st.err)
	}
	o := spec.ExecOptions{Args: p.Meta.Args, Env: p.Meta.Env, WorkingDir: p.Meta.Cwd, TTY: p.Meta.Tty}
	if p.Meta.User != "" {
		found, err := userdb.LookupUserSpec(int(st.root.Fd()), p.Meta.User)
		if err != nil {
			return fmt.Errorf("unable to find %w", err)
		}
		o.User = &spec.User{UID: found.UID, GID: found.GID, Groups: found.Groups}
	}
	process := spec.Exec(st.doc.spec.Process, o)
	raw, err := json.Marshal(process)
	if err != nil {
		return err
	}
	id := newID()
	_, stream, err := st.shim.Exec(ctx, shim.ExecRequest{ID: id, Process: raw, Stdin: p.Stdin != nil, Stdout: true, Stderr: true, Patience: shim.Patient})
	if err != nil {
		return exitError(ctx, shim.Exit{Code: startCode(err)}, err, p.Meta.ValidExitCodes)
	}
	defer stream.Close()
	exit, err := s.follow(ctx, st, id, stream, p)
	if err == nil || ctx.Err() != nil {
		err = exitError(ctx, exit, err, p.Meta.ValidExitCodes)
	}
	return err
}
