package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// watchExit is waitExit for daemons before 1.30, whose wait has no conditions: events tell of the
// end. Before 1.25 daemons do not remove a container by themselves, so that is done here.
func (a *App) watchExit(ctx context.Context, id string, removed bool) <-chan exitStatus {
	status := make(chan exitStatus, 1)
	filters, err := filterQuery([]string{"type=container", "container=" + id})
	var events io.ReadCloser
	if err == nil {
		events, err = a.client.do(ctx, call{method: "GET", path: "/events", query: url.Values{"filters": {filters}}})
	}
	if err != nil {
		status <- exitStatus{failure: err}
		return status
	}
	go func() {
		defer events.Close()
		status <- a.readExit(ctx, events, id, removed)
	}()
	return status
}

func (a *App) readExit(ctx context.Context, events io.Reader, id string, removed bool) exitStatus {
	var s exitStatus
	for dec := json.NewDecoder(events); ; {
		var e struct {
			Status string
			Actor  struct{ Attributes map[string]string }
		}
		if err := dec.Decode(&e); err != nil {
			return exitStatus{failure: fmt.Errorf("reading events: %w", err)}
		}
		switch e.Status {
		case "die":
			code, err := strconv.Atoi(e.Actor.Attributes["exitCode"])
			if err != nil {
				return exitStatus{failure: fmt.Errorf("reading events: exit code %q", e.Actor.Attributes["exitCode"])}
			}
			s.code = code
			if removed && !a.client.has("1.25") {
				err := a.client.get(ctx, call{method: "DELETE", path: "/containers/" + id, query: url.Values{"v": {"1"}}}, nil)
				return exitStatus{code: code, failure: err}
			}
			if !removed {
				return s
			}
		case "detach":
			return exitStatus{}
		case "destroy":
			return s
		}
	}
}
