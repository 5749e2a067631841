package server

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/hull-dev/hull/internal/image"
)

// event is events.Message with the fields that versions before 1.52 had.
type event struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	events.Message
}

func (s *Server) events(w http.ResponseWriter, r *request) error {
	f, err := r.filters("type", "event", "image", "label", "container", "daemon", "network", "volume", "plugin", "scope", "service", "node", "secret", "config")
	if err != nil {
		return err
	}
	ctx := r.Context()
	now := time.Now()
	var since time.Time
	if v := r.FormValue("since"); v != "" {
		if since, err = image.ParseTime(v, now); err != nil {
			return err
		}
	}
	if v := r.FormValue("until"); v != "" {
		until, err := image.ParseTime(v, now)
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	past, future, lost := s.images.Events().Listen(ctx)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client waits for the headers
	send := func(e image.Event) {
		if !f.event(e) {
			return
		}
		raw, err := encode(encodeEvent(r, e))
		if err != nil {
			return
		}
		_, _ = w.Write(append(raw, '\n'))
		_ = flush.Flush()
	}
	until, _ := ctx.Deadline()
	for _, e := range past {
		if !since.IsZero() && !e.Time.Before(since) && (until.IsZero() || e.Time.Before(until)) {
			send(e)
		}
	}
	for {
		select {
		case e := <-future:
			send(e)
		case <-lost:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func encodeEvent(r *request, e image.Event) event {
	m := event{Message: events.Message{
		Type:     events.ImageEventType,
		Action:   events.Action(e.Action),
		Actor:    events.Actor{ID: e.ID, Attributes: e.Attributes},
		Scope:    "local",
		Time:     e.Time.Unix(),
		TimeNano: e.Time.UnixNano(),
	}}
	if !r.since(52) {
		m.Status, m.ID = e.Action, e.ID
	}
	return m
}

// event says whether the filters take an event. All events are of images and local.
func (f filters) event(e image.Event) bool {
	fits := func(key string, values ...string) bool {
		return len(f[key]) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(f[key], v) })
	}
	for _, other := range []string{"container", "daemon", "network", "volume", "plugin", "service", "node", "secret", "config"} {
		if len(f[other]) > 0 {
			return false
		}
	}
	labels := []string{}
	for k, v := range e.Attributes {
		labels = append(labels, k, k+"="+v)
	}
	return fits("type", "image") && fits("scope", "local") && fits("event", e.Action) &&
		fits("image", e.ID, e.Attributes["name"]) && fits("label", labels...)
}
