package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

func (a *App) containerStart(ctx context.Context, args []string) error {
	o := newOptions()
	attach := o.flag("attach", 'a', "Attach STDOUT/STDERR and forward signals")
	interactive := o.flag("interactive", 'i', "Attach container's STDIN")
	keys := o.text("detach-keys", 0, "", "Override the key sequence for detaching a container")
	checkpoint := o.text("checkpoint", 0, "", "Restore from this checkpoint")
	dir := o.text("checkpoint-dir", 0, "", "Use a custom checkpoint storage directory")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	q := url.Values{}
	if *checkpoint != "" {
		q.Set("checkpoint", *checkpoint)
	}
	if *dir != "" {
		q.Set("checkpoint-dir", *dir)
	}
	switch {
	case *attach || *interactive:
		if len(args) > 1 {
			return errors.New("you cannot start and attach multiple containers at once")
		}
		return a.startAttached(ctx, args[0], q, *interactive, *keys)
	case *checkpoint != "" && len(args) > 1:
		return errors.New("you cannot restore multiple containers at once")
	}
	var failed []string
	for _, name := range args {
		path, err := containerPath(name)
		if err == nil {
			err = a.client.post(ctx, path+"/start", q, nil, nil)
		}
		if err != nil {
			fmt.Fprintln(a.Err, err)
			failed = append(failed, name)
			continue
		}
		if *checkpoint == "" {
			fmt.Fprintln(a.Out, name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("Error: failed to start containers: %s", strings.Join(failed, ", "))
	}
	return nil
}

// startAttached starts a container and stays until it ends or the user detaches.
func (a *App) startAttached(ctx context.Context, name string, q url.Values, interactive bool, detachKeys string) error {
	path, err := containerPath(name)
	if err != nil {
		return err
	}
	var c inspected
	if err := a.client.get(ctx, call{method: "GET", path: path + "/json"}, &c); err != nil {
		return err
	}
	if !c.Config.Tty {
		defer a.forwardSignals(ctx, c.ID, false)()
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	text, keys, err := a.detachKeys(detachKeys)
	if err != nil {
		return err
	}
	s := &session{tty: c.Config.Tty, keys: keys, raw: a.rawTerminal}
	if interactive && c.Config.OpenStdin {
		s.in = a.In
	}
	s.out, s.err = a.outputs(true, true, c.Config.Tty)
	conn, err := a.client.hijack(ctx, attachCall(c.ID, s.in != nil, true, true, text))
	if err != nil {
		return err
	}
	defer conn.Close()
	joined := s.start(ctx, conn)
	status := a.waitExit(ctx, c.ID, c.HostConfig.AutoRemove)
	if err := a.client.post(ctx, "/containers/"+c.ID+"/start", q, nil, nil); err != nil {
		cancel()
		<-joined
		if c.HostConfig.AutoRemove {
			a.awaitRemoval(c.ID, status)
		}
		return err
	}
	if c.Config.Tty && isTerminal(a.Out) {
		a.followSize(ctx, "/containers/"+c.ID)
	}
	if err := <-joined; err != nil {
		if errors.Is(err, errDetached) {
			return nil
		}
		return err
	}
	return (<-status).err()
}

// inspected is what hull needs to know of a container before it attaches to it.
type inspected struct {
	ID    string `json:"Id"`
	State struct {
		Running, Paused, Restarting bool
	}
	Config     struct{ Tty, OpenStdin bool }
	HostConfig struct{ AutoRemove bool }
}

// containerPath is where the API has a container.
func containerPath(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", errors.New("invalid container name or ID: value is empty")
	}
	return "/containers/" + name, nil
}
