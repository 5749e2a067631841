package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"
)

func (a *App) containerLogs(ctx context.Context, args []string) error {
	o := newOptions()
	follow := o.flag("follow", 'f', "Follow log output")
	since := o.text("since", 0, "", "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
	until := o.text("until", 0, "", "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
	times := o.flag("timestamps", 't', "Show timestamps")
	details := o.flag("details", 0, "Show extra details provided to logs")
	tail := o.text("tail", 'n', "all", "Number of lines to show from the end of the logs")
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
	var c inspected
	if err := a.client.get(ctx, call{method: "GET", path: path + "/json"}, &c); err != nil {
		return err
	}
	q := url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {*tail}}
	for name, on := range map[string]bool{"follow": *follow, "timestamps": *times, "details": *details} {
		if on {
			q.Set(name, "1")
		}
	}
	for name, at := range map[string]string{"since": *since, "until": *until} {
		if at == "" {
			continue
		}
		stamp, err := timestamp(at, time.Now())
		if err != nil {
			return fmt.Errorf("invalid value for %q: %w", name, err)
		}
		q.Set(name, stamp)
	}
	body, err := a.client.do(ctx, call{method: "GET", path: "/containers/" + c.ID + "/logs", query: q})
	if err != nil {
		return err
	}
	defer body.Close()
	if c.Config.Tty {
		_, err = io.Copy(a.Out, body)
	} else {
		err = demux(a.Out, a.Err, body)
	}
	return err
}
