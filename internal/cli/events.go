package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// event is one line of /events, with the fields of Docker's --format.
type event struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
	Scope    string `json:"scope,omitempty"`
	Time     int64  `json:"time,omitempty"`
	TimeNano int64  `json:"timeNano,omitempty"`
}

// events prints what happens until --until or an interrupt.
func (a *App) events(ctx context.Context, args []string) error {
	o := newOptions()
	since := o.text("since", 0, "", "Show all events created since timestamp")
	until := o.text("until", 0, "", "Stream events until this timestamp")
	filters := o.list("filter", 'f', "Filter output based on conditions provided")
	format := o.text("format", 0, "", "Format output using a custom template")
	args, err := o.parse(args, false)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		return misused("events takes no arguments")
	}
	f, err := filterQuery(*filters)
	if err != nil {
		return err
	}
	q := url.Values{}
	for k, v := range map[string]string{"since": *since, "until": *until, "filters": f} {
		if v != "" {
			q.Set(k, v)
		}
	}
	body, err := a.client.do(ctx, call{method: "GET", path: "/events", query: q})
	if err != nil {
		return err
	}
	defer body.Close()
	show := func(e *event) error {
		_, err := fmt.Fprintln(a.Out, clean(e.String()))
		return err
	}
	if *format != "" {
		print, err := lineFormat(a.Out, *format)
		if err != nil {
			return err
		}
		show = func(e *event) error { return print(e) }
	}
	for dec := json.NewDecoder(body); ; {
		var e event
		switch err := dec.Decode(&e); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading the events of hulld: %w", err)
		}
		if err := show(&e); err != nil {
			return err
		}
	}
}

// String is Docker's line: time, type, action, ID and attributes.
func (e *event) String() string {
	var b strings.Builder
	at := time.Unix(0, e.TimeNano)
	if e.TimeNano == 0 {
		at = time.Unix(e.Time, 0)
	}
	fmt.Fprintf(&b, "%s %s %s %s", at.Format("2006-01-02T15:04:05.000000000Z07:00"), e.Type, e.Action, e.Actor.ID)
	for i, k := range slices.Sorted(maps.Keys(e.Actor.Attributes)) {
		sep := ", "
		if i == 0 {
			sep = " ("
		}
		fmt.Fprintf(&b, "%s%s=%s", sep, k, e.Actor.Attributes[k])
	}
	if len(e.Actor.Attributes) > 0 {
		b.WriteByte(')')
	}
	return b.String()
}
