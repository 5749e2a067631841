package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/events"
)

func at(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// TestEventFilters: Docker's rules, for events of all kinds.
func TestEventFilters(t *testing.T) {
	f := &fake{}
	start := time.Now().Add(-time.Minute)
	for i, e := range []events.Event{
		{Type: events.Image, Action: "pull", Actor: events.Actor{ID: "r:5000/x:1", Attributes: map[string]string{"name": "r:5000/x", "l": "1"}}},
		{Type: events.Image, Action: "tag", Actor: events.Actor{ID: "sha256:ab", Attributes: map[string]string{"name": "x:2", "l": "2", "m": ""}}},
		{Type: events.Container, Action: "create", Actor: events.Actor{ID: "c0ffee", Attributes: map[string]string{"name": "web", "image": "x:2"}}},
		{Type: events.Container, Action: "exec_start: sh -c x", Actor: events.Actor{ID: "c0ffee", Attributes: map[string]string{"name": "web", "image": "x:2"}}},
		{Type: events.Network, Action: "connect", Actor: events.Actor{ID: "n1", Attributes: map[string]string{"name": "bridge", "container": "c0ffee"}}},
	} {
		e.Time = start.Add(time.Duration(i) * time.Second)
		f.bus.Publish(e)
	}
	all := "pull tag create exec_start: sh -c x connect"
	for _, c := range []struct{ query, filters, want string }{
		{"", "", ""}, // without bounds nothing of the past, and the test's own --until is the past
		{"since=" + at(start), "", all},
		{"since=" + at(start.Add(time.Second)), "", "tag create exec_start: sh -c x connect"},
		{"since=" + at(start) + "&until=" + at(start.Add(time.Second)), "", "pull tag"},
		{"until=" + at(start), "", "pull"},
		{"since=0", `{"type":{"image":true}}`, "pull tag"},
		{"since=0", `{"event":{"tag":true,"connect":true}}`, "tag connect"},
		{"since=0", `{"event":{"exec_start":true}}`, "exec_start: sh -c x"},
		{"since=0", `{"event":{"exec":true}}`, ""},
		{"since=0", `{"image":{"x:2":true}}`, "tag create exec_start: sh -c x"},
		{"since=0", `{"image":{"x":true}}`, "tag create exec_start: sh -c x"},
		{"since=0", `{"image":{"r:5000/x":true}}`, "pull"},
		{"since=0", `{"container":{"c0f":true}}`, "create exec_start: sh -c x"},
		{"since=0", `{"container":{"we":true}}`, "create exec_start: sh -c x"},
		{"since=0", `{"label":{"l":true}}`, "pull tag"},
		{"since=0", `{"label":{"l=2":true,"m":true}}`, "tag"},
		{"since=0", `{"label":{"l=2":true,"l=1":true}}`, ""},
		{"since=0", `{"scope":{"swarm":true}}`, ""},
		{"since=0", `{"scope":{"local":true},"type":{"network":true}}`, "connect"},
	} {
		query := c.query + "&filters=" + url.QueryEscape(c.filters)
		if !strings.Contains(query, "until=") {
			query += "&until=" + at(start.Add(5*time.Second))
			if c.query == "" {
				query = "until=" + at(start.Add(-time.Second))
			}
		}
		status, body, _ := ask(t, f, "GET", "/v1.41/events?"+query, nil)
		var got []string
		for line := range strings.Lines(body) {
			_, rest, _ := strings.Cut(line, `"Action":"`)
			action, _, _ := strings.Cut(rest, `"`)
			got = append(got, action)
		}
		if status != 200 || strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: %d, got %q, want %q", c.query, c.filters, status, got, c.want)
		}
	}
	status, body, _ := ask(t, f, "GET", "/events?since=20&until=10", nil)
	if status != 400 || !strings.Contains(body, "cannot be after") {
		t.Errorf("since after until: %d %s", status, body)
	}
}

// TestEventFields: versions before 1.52 have the fields of the first ones.
func TestEventFields(t *testing.T) {
	f := &fake{}
	now := time.Unix(1700000000, 5)
	f.bus.Publish(events.Event{Type: events.Container, Action: "start", Time: now, Actor: events.Actor{ID: "a", Attributes: map[string]string{"image": "i"}}})
	for version, want := range map[string]string{
		"1.51": `{"status":"start","id":"a","from":"i","Type":"container","Action":"start","Actor":{"ID":"a","Attributes":{"image":"i"}},"scope":"local","time":1700000000,"timeNano":1700000000000000005}`,
		"1.52": `{"Type":"container","Action":"start","Actor":{"ID":"a","Attributes":{"image":"i"}},"scope":"local","time":1700000000,"timeNano":1700000000000000005}`,
	} {
		if _, body, _ := ask(t, f, "GET", "/v"+version+"/events?until="+at(now), nil); body != want {
			t.Errorf("%s: %s\nwant %s", version, body, want)
		}
	}
}

// TestEventsFollow: events that come while a client listens are sent, until its time is over.
func TestEventsFollow(t *testing.T) {
	f := &fake{}
	time.AfterFunc(50*time.Millisecond, func() { f.bus.Publish(events.Event{Type: events.Image, Action: "tag"}) })
	status, body, _ := ask(t, f, "GET", "/events?until="+at(time.Now().Add(400*time.Millisecond)), nil)
	if status != 200 || !strings.Contains(body, `"Action":"tag"`) {
		t.Errorf("%d %s", status, body)
	}
}
