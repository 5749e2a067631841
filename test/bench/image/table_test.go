package main

import (
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		st         step
		mine, peer time.Duration
		want       string
	}{
		{step{goal: 0.5}, 49 * time.Millisecond, 100 * time.Millisecond, "≤ 0.50 met"},
		{step{goal: 0.5}, 51 * time.Millisecond, 100 * time.Millisecond, "≤ 0.50 missed"},
		{step{goal: 0.5}, 51 * time.Millisecond, 0, ""},
		{step{limit: 10}, 9 * time.Millisecond, 0, "≤ 10 ms met"},
		{step{limit: 10}, 11 * time.Millisecond, 0, "≤ 10 ms missed"},
		{step{}, time.Second, time.Second, ""},
	} {
		if got := verdict(c.st, c.mine, c.peer); got != c.want {
			t.Errorf("%+v, %v of %v: got %q, want %q", c.st, c.mine, c.peer, got, c.want)
		}
	}
}

// TestBest: the best is a peer's, never hulld's own.
func TestBest(t *testing.T) {
	all := map[string][]sample{
		"hulld":  {{wall: 1}},
		"docker": {{wall: 9}, {wall: 5}, {wall: 7}},
		"podman": {{wall: 8}},
	}
	if got := best(all, wall); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	if got := best(map[string][]sample{"hulld": {{wall: 1}}}, wall); got != 0 {
		t.Errorf("without peers: %d", got)
	}
}
