package cli

import (
	"context"
	"errors"
)

func (a *App) containerAttach(ctx context.Context, args []string) error {
	o := newOptions()
	noInput := o.flag("no-stdin", 0, "Do not attach STDIN")
	proxy := o.boolean("sig-proxy", 0, true, "Proxy all received signals to the process")
	keys := o.text("detach-keys", 0, "", "Override the key sequence for detaching a container")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, 1); err != nil {
		return err
	}
	path, err := containerPath(args[0])
	if err != nil {
		return err
	}
	if err := a.client.agree(ctx); err != nil {
		return err
	}
	// The wait begins first: a container that ends meanwhile is not missed.
	outer := context.WithoutCancel(ctx)
	status := a.startWait(outer, path, "")
	c, err := a.attachable(ctx, path)
	if err != nil {
		return err
	}
	if err := a.checkTTY(!*noInput, c.Config.Tty); err != nil {
		return err
	}
	path = "/containers/" + c.ID
	if *proxy && !c.Config.Tty {
		defer a.forwardSignals(ctx, c.ID, false)()
		ctx = outer
	}
	text, keyBytes, err := a.detachKeys(*keys)
	if err != nil {
		return err
	}
	s := &session{tty: c.Config.Tty, keys: keyBytes, raw: a.rawTerminal}
	if !*noInput && c.Config.OpenStdin {
		s.in = a.In
	}
	s.out, s.err = a.outputs(true, true, c.Config.Tty)
	conn, err := a.client.hijack(ctx, attachCall(c.ID, s.in != nil, true, true, text))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := a.attachable(ctx, path); err != nil {
		return err // it ended before the streams were joined, which would never end
	}
	if c.Config.Tty && isTerminal(a.Out) {
		// A change of size, and back, makes a shell show its prompt again.
		h, w := a.windowSize()
		_ = a.resizeTo(ctx, path, h+1, w+1)
		a.followSize(ctx, path)
	}
	if err := s.run(ctx, conn); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	ended := <-status
	if ended.failure != nil {
		return ended.failure
	}
	return ended.err()
}

// attachable looks at a container that hull is to attach to.
func (a *App) attachable(ctx context.Context, path string) (*inspected, error) {
	var c inspected
	if err := a.client.get(ctx, call{method: "GET", path: path + "/json"}, &c); err != nil {
		return nil, err
	}
	switch {
	case !c.State.Running:
		return nil, errors.New("You cannot attach to a stopped container, start it first")
	case c.State.Paused:
		return nil, errors.New("You cannot attach to a paused container, unpause it first")
	case c.State.Restarting:
		return nil, errors.New("You cannot attach to a restarting container, wait until it is running")
	}
	return &c, nil
}
