package main

import (
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	timed, weighed := benchCase{goal: 10 * time.Millisecond}, benchCase{bytes: 1 << 20}
	for _, c := range []struct {
		of              *benchCase
		median, minimum float64
		want            string
	}{
		{&timed, 9e6, 8e6, "≤ 10.0 ms met"},
		{&timed, 11e6, 9e6, "≤ 10.0 ms met at best"},
		{&timed, 12e6, 11e6, "≤ 10.0 ms missed"},
		{&weighed, 1 << 20, 1 << 20, "≤ 1.00 MiB met"},
		{&weighed, 2 << 20, 2 << 20, "≤ 1.00 MiB missed"},
		{&benchCase{}, 1, 1, ""},
	} {
		if got := c.of.verdict(c.median, c.minimum); got != c.want {
			t.Errorf("median %v, minimum %v: got %q, want %q", c.median, c.minimum, got, c.want)
		}
	}
}

// TestTable: the ratio is to the better of the others, and only hull has one.
func TestTable(t *testing.T) {
	with := func(name string, d ...time.Duration) *engine {
		e := &engine{name: name, samples: map[string][]sample{}}
		for _, x := range d {
			e.samples[cases[0].name] = append(e.samples[cases[0].name], sample{wall: x})
		}
		return e
	}
	b := bench{engines: []*engine{with("hull", 5*ms, 4*ms, 6*ms), with("docker", 50*ms), with("podman", 20*ms)}}
	rows := b.table()
	if len(rows) != 3 || rows[0].ratio != "0.25" || rows[0].minimum != "4.0 ms" || rows[1].ratio != "" || rows[0].goal != "≤ 10.0 ms met" {
		t.Errorf("%+v", rows)
	}
}
