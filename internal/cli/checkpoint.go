package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// checkpointArgs reads the option and arguments that the checkpoint verbs share.
func (a *App) checkpointArgs(o *options, args []string, n int) (path string, rest []string, q url.Values, err error) {
	dir := o.text("checkpoint-dir", 0, "", "Use a custom checkpoint storage directory")
	if args, err = o.parse(args, false); err != nil {
		return "", nil, nil, err
	}
	if err := a.need(args, n, n); err != nil {
		return "", nil, nil, err
	}
	path, err = containerPath(args[0])
	q = url.Values{}
	if *dir != "" {
		q.Set("dir", *dir)
	}
	return path + "/checkpoints", args[1:], q, err
}

func (a *App) checkpointCreate(ctx context.Context, args []string) error {
	o := newOptions()
	leave := o.flag("leave-running", 0, "Leave the container running after checkpoint")
	path, rest, q, err := a.checkpointArgs(o, args, 2)
	if err != nil {
		return err
	}
	body := struct {
		CheckpointID  string
		CheckpointDir string
		Exit          bool
	}{rest[0], q.Get("dir"), !*leave}
	if err := a.client.post(ctx, path, nil, body, nil); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, rest[0])
	return nil
}

func (a *App) checkpointList(ctx context.Context, args []string) error {
	path, _, q, err := a.checkpointArgs(newOptions(), args, 1)
	if err != nil {
		return err
	}
	var list []struct{ Name string }
	if err := a.client.get(ctx, call{method: "GET", path: path, query: q}, &list); err != nil {
		return err
	}
	lines := make([][]string, len(list))
	for i, c := range list {
		lines[i] = []string{c.Name}
	}
	return table(a.Out, []string{"CHECKPOINT NAME"}, lines)
}

func (a *App) checkpointRemove(ctx context.Context, args []string) error {
	path, rest, q, err := a.checkpointArgs(newOptions(), args, 2)
	if err != nil {
		return err
	}
	if rest[0] == "" {
		return errors.New("invalid checkpoint name: value is empty")
	}
	return a.client.get(ctx, call{method: "DELETE", path: path + "/" + rest[0], query: q}, nil)
}

func checkpointVerbs() []verb {
	return []verb{
		{"checkpoint create", "[OPTIONS] CONTAINER CHECKPOINT", "Create a checkpoint from a running container", (*App).checkpointCreate},
		{"checkpoint ls", "[OPTIONS] CONTAINER", "List checkpoints for a container", (*App).checkpointList},
		{"checkpoint list", "[OPTIONS] CONTAINER", "List checkpoints for a container", (*App).checkpointList},
		{"checkpoint rm", "[OPTIONS] CONTAINER CHECKPOINT", "Remove a checkpoint", (*App).checkpointRemove},
		{"checkpoint remove", "[OPTIONS] CONTAINER CHECKPOINT", "Remove a checkpoint", (*App).checkpointRemove},
	}
}
