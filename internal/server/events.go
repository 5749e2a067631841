package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	types "github.com/moby/moby/api/types/events"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/image"
	"github.com/hull-dev/hull/internal/reference"
)

// event is types.Message with the fields that versions before 1.52 had.
type event struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	types.Message
}

// span is the time that a client wants events of; a zero time is no bound.
type span struct{ since, until time.Time }

func (r *request) span(now time.Time) (s span, err error) {
	for _, v := range []struct {
		name string
		to   *time.Time
	}{{"since", &s.since}, {"until", &s.until}} {
		switch text := r.FormValue(v.name); text {
		case "":
		case "0": // seconds, not the duration
			*v.to = time.Unix(0, 0)
		default:
			if *v.to, err = image.ParseTime(text, now); err != nil {
				return s, err
			}
		}
	}
	if !s.until.IsZero() && s.until.Before(s.since) {
		return s, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("`since` time (%s) cannot be after `until` time (%s)", r.FormValue("since"), r.FormValue("until")))
	}
	return s, nil
}

// past says whether a remembered event is wanted: without bounds, none is.
func (s span) past(at time.Time) bool {
	return s != span{} && !at.Before(s.since) && (s.until.IsZero() || !at.After(s.until))
}

func (s *Server) events(w http.ResponseWriter, r *request) error {
	f, err := r.filters("type", "event", "image", "label", "container", "daemon", "network", "volume", "plugin", "scope", "service", "node", "secret", "config")
	if err != nil {
		return err
	}
	want, err := r.span(time.Now())
	if err != nil {
		return err
	}
	ctx := r.Context()
	if !want.until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, want.until)
		defer cancel()
	}
	past, future, lost := s.bus.Listen(ctx)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // the client waits for the headers
	send := func(e events.Event) {
		if !f.event(e) {
			return
		}
		raw, err := encode(encodeEvent(r, e))
		if err != nil {
			s.log.Warn("an event cannot be encoded", "type", e.Type, "action", e.Action, "error", err)
			return
		}
		_, _ = w.Write(append(raw, '\n'))
		_ = flush.Flush()
	}
	for _, e := range past {
		if want.past(e.Time) {
			send(e)
		}
	}
	for {
		select {
		case <-ctx.Done(): // first, so that a span that is over has no more
			return nil
		default:
		}
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

func encodeEvent(r *request, e events.Event) event {
	m := event{Message: types.Message{
		Type:     types.Type(e.Type),
		Action:   types.Action(e.Action),
		Actor:    types.Actor{ID: e.Actor.ID, Attributes: e.Actor.Attributes},
		Scope:    "local",
		Time:     e.Time.Unix(),
		TimeNano: e.Time.UnixNano(),
	}}
	if !r.since(52) && (e.Type == events.Image || e.Type == events.Container) {
		m.Status, m.ID = e.Action, e.Actor.ID
		if e.Type == events.Container {
			m.From = e.Actor.Attributes["image"]
		}
	}
	return m
}

// event says whether the filters take an event, with Docker's rules: an ID or a name of a kind
// may be given by its beginning; of labels all must be there; exec_start, exec_create and
// health_status stand for what follows the colon too.
func (f filters) event(e events.Event) bool {
	exact := func(key string, values ...string) bool {
		return len(f[key]) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(f[key], v) })
	}
	begins := func(key string, values ...string) bool {
		return len(f[key]) == 0 || slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(f[key], func(want string) bool { return strings.HasPrefix(v, want) })
		})
	}
	action := exact
	if slices.ContainsFunc(f["event"], func(a string) bool { return a == "health_status" || a == "exec_create" || a == "exec_start" }) {
		action = begins
	}
	for _, kind := range []string{"container", "daemon", "network", "volume", "plugin", "service", "node", "secret", "config"} {
		if !begins(kind, e.Actor.ID, e.Actor.Attributes["name"]) {
			return false
		}
	}
	name := e.Actor.Attributes["image"]
	if e.Type == events.Image {
		name = e.Actor.Attributes["name"]
	}
	return action("event", e.Action) && exact("type", string(e.Type)) && exact("scope", "local") &&
		exact("image", e.Actor.ID, name, withoutTag(e.Actor.ID), withoutTag(name)) && hasLabels(e.Actor.Attributes, f["label"])
}

// hasLabels says whether all of KEY or KEY=VALUE are there.
func hasLabels(have map[string]string, want []string) bool {
	for _, w := range want {
		key, value, exact := strings.Cut(w, "=")
		if v, ok := have[key]; !ok || exact && v != value {
			return false
		}
	}
	return true
}

// withoutTag is the repository of a name; what is none stays.
func withoutTag(name string) string {
	ref, err := reference.Parse(name)
	if err != nil {
		return name
	}
	return ref.Repository.Familiar()
}
