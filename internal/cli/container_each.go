package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// parallel is how many containers one command works on at a time.
const parallel = 50

// each runs op on objects, many at a time, and prints the names of those that went well, in
// order. Errors come at the end; forgive turns one into a line of its own.
func (a *App) each(ctx context.Context, names []string, forgive func(error) bool, op func(ctx context.Context, name string) error) error {
	results := make([]chan error, len(names))
	for i := range results {
		results[i] = make(chan error, 1)
	}
	slots := make(chan struct{}, parallel)
	go func() {
		for i, name := range names {
			slots <- struct{}{}
			go func() {
				results[i] <- op(ctx, name)
				<-slots
			}()
		}
	}()
	var errs []error
	for i, name := range names {
		err := <-results[i]
		switch {
		case err == nil:
			fmt.Fprintln(a.Out, name)
		case forgive != nil && forgive(err):
			fmt.Fprintln(a.Err, err)
		default:
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// simple is a verb without options that posts to each container.
func (a *App) simple(ctx context.Context, args []string, action string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	return a.postEach(ctx, args, action, nil)
}

// postEach posts an action to each container.
func (a *App) postEach(ctx context.Context, names []string, action string, q url.Values) error {
	return a.each(ctx, names, nil, func(ctx context.Context, name string) error {
		path, err := containerPath(name)
		if err != nil {
			return err
		}
		return a.client.post(ctx, path+"/"+action, q, nil, nil)
	})
}

func (a *App) containerPause(ctx context.Context, args []string) error {
	return a.simple(ctx, args, "pause")
}

func (a *App) containerUnpause(ctx context.Context, args []string) error {
	return a.simple(ctx, args, "unpause")
}

func (a *App) containerStop(ctx context.Context, args []string) error {
	return a.stopping(ctx, args, "stop")
}

func (a *App) containerRestart(ctx context.Context, args []string) error {
	return a.stopping(ctx, args, "restart")
}

// stopping is stop and restart, whose options are the same.
func (a *App) stopping(ctx context.Context, args []string, action string) error {
	o := newOptions()
	signal := o.text("signal", 's', "", "Signal to send to the container")
	timeout := o.number("timeout", 't', "int", 0, "Seconds to wait before killing the container")
	o.alias("time")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	old, now := o.changed("time"), o.changed("timeout")
	if old {
		fmt.Fprintln(a.Err, "Flag --time has been deprecated, use --timeout instead")
	}
	if old && now {
		return errors.New("conflicting options: cannot specify both --timeout and --time")
	}
	if err := a.client.agree(ctx); err != nil {
		return err
	}
	q := url.Values{}
	if old || now {
		q.Set("t", strconv.FormatInt(*timeout, 10))
	}
	if *signal != "" && a.client.has("1.42") {
		q.Set("signal", *signal)
	} else if *signal != "" {
		return fmt.Errorf("%q requires API version 1.42, but the Docker daemon API version is %s", "--signal", a.client.version)
	}
	return a.postEach(ctx, args, action, q)
}

func (a *App) containerKill(ctx context.Context, args []string) error {
	o := newOptions()
	signal := o.text("signal", 's', "", "Signal to send to the container")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	q := url.Values{}
	if *signal != "" {
		q.Set("signal", *signal)
	}
	return a.postEach(ctx, args, "kill", q)
}

func (a *App) containerRemove(ctx context.Context, args []string) error {
	o := newOptions()
	volumes := o.flag("volumes", 'v', "Remove anonymous volumes associated with the container")
	link := o.flag("link", 'l', "Remove the specified link")
	force := o.flag("force", 'f', "Force the removal of a running container (uses SIGKILL)")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 1, -1); err != nil {
		return err
	}
	q := url.Values{}
	for name, on := range map[string]bool{"v": *volumes, "link": *link, "force": *force} {
		if on {
			q.Set(name, "1")
		}
	}
	forgive := func(err error) bool { return *force && missing(err) }
	return a.each(ctx, args, forgive, func(ctx context.Context, name string) error {
		name = strings.Trim(name, "/")
		if name == "" {
			return errors.New("container name cannot be empty")
		}
		return a.client.get(ctx, call{method: "DELETE", path: "/containers/" + name, query: q}, nil)
	})
}

func (a *App) containerRename(ctx context.Context, args []string) error {
	args, err := newOptions().parse(args, false)
	if err != nil {
		return err
	}
	if err := a.need(args, 2, 2); err != nil {
		return err
	}
	old, name := strings.TrimSpace(args[0]), strings.TrimSpace(args[1])
	if old == "" || name == "" {
		return errors.New("Error: Neither old nor new names may be empty")
	}
	return a.client.post(ctx, "/containers/"+old+"/rename", url.Values{"name": {name}}, nil, nil)
}
