package main

import "testing"

func TestQuantile(t *testing.T) {
	values := []int{5, 1, 4, 2, 3, 10, 9, 8, 7, 6}
	for _, c := range []struct {
		q    float64
		want int
	}{{0, 1}, {0.5, 6}, {0.9, 10}, {1, 10}} {
		if got := quantile(values, c.q); got != c.want {
			t.Errorf("quantile %v: got %d, want %d", c.q, got, c.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		rate  bool
		ratio float64
		want  string
	}{{false, 0.59, "≤ 0.60 met"}, {false, 0.61, "≤ 0.60 missed"}, {true, 0.59, "≥ 0.60 missed"}, {true, 0.61, "≥ 0.60 met"}} {
		if got := verdict(benchCase{goal: 0.6, rate: c.rate}, c.ratio); got != c.want {
			t.Errorf("rate %v, ratio %v: got %q, want %q", c.rate, c.ratio, got, c.want)
		}
	}
}
