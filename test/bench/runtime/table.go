package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the result: a case and a runtime.
type row struct {
	name, runtime         string
	median, p90, minimum  string
	cpu, rss, ratio, goal string
}

type resultTable []row

var header = row{"case", "runtime", "median", "p90", "min", "CPU", "RSS", "× crun", "goal"}

func (r row) cells() []string {
	return []string{r.name, r.runtime, r.median, r.p90, r.minimum, r.cpu, r.rss, r.ratio, r.goal}
}

// quantile returns the sample's value at q of 0…1, by the nearest rank.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func walls(s []sample) []time.Duration {
	return field(s, func(s sample) time.Duration { return s.wall })
}

func field[T any](s []sample, f func(sample) T) []T {
	out := make([]T, len(s))
	for i := range s {
		out[i] = f(s[i])
	}
	return out
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

// table makes the rows, with ratios to crun's median and whether keel meets its goal.
func (b *bench) table() resultTable {
	var out resultTable
	for i, c := range cases {
		var crun []sample
		for _, r := range b.runs {
			if r.name == "crun" {
				crun = r.samples[c.name]
			}
		}
		for _, r := range b.runs {
			s := r.samples[c.name]
			if len(s) == 0 {
				continue
			}
			line := summary(c, r.name, s)
			if kib := r.weights[c.name]; kib > 0 {
				line.rss = fmt.Sprintf("%.1f MiB", float64(kib)/1024)
			}
			if len(crun) > 0 {
				ratio := value(c, s) / value(c, crun)
				line.ratio = fmt.Sprintf("%.2f", ratio)
				if r.name == "keel" {
					line.goal = verdict(c, ratio)
				}
			}
			out = append(out, line)
		}
		if i == 0 && len(b.floors) > 0 {
			line := summary(c, "floor (C)", b.floors)
			if len(crun) > 0 {
				line.ratio = fmt.Sprintf("%.2f", value(c, b.floors)/value(c, crun))
			}
			out = append(out, line)
		}
	}
	return out
}

// value is what a case is judged by: the median time in seconds, or the median rate.
func value(c benchCase, s []sample) float64 {
	if c.rate {
		return quantile(field(s, func(s sample) float64 { return s.rate }), 0.5)
	}
	return quantile(walls(s), 0.5).Seconds()
}

// verdict says whether a ratio meets the goal.
func verdict(c benchCase, ratio float64) string {
	sign, met := "≤", ratio <= c.goal
	if c.rate {
		sign, met = "≥", ratio >= c.goal
	}
	word := "missed"
	if met {
		word = "met"
	}
	return fmt.Sprintf("%s %.2f %s", sign, c.goal, word)
}

func summary(c benchCase, runtime string, s []sample) row {
	line := row{
		name:    c.name,
		runtime: runtime,
		cpu:     ms(quantile(field(s, func(s sample) time.Duration { return s.cpu }), 0.5)),
	}
	if c.rate {
		rates := field(s, func(s sample) float64 { return s.rate })
		line.median = fmt.Sprintf("%.0f/s", quantile(rates, 0.5))
		line.p90 = fmt.Sprintf("%.0f/s", slices.Max(rates)) // the best of the few
		line.minimum = fmt.Sprintf("%.0f/s", slices.Min(rates))
		return line
	}
	line.median, line.p90, line.minimum = ms(quantile(walls(s), 0.5)), ms(quantile(walls(s), 0.9)), ms(slices.Min(walls(s)))
	return line
}

func (t resultTable) plain() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header.cells(), "\t"))
	for _, r := range t {
		fmt.Fprintln(w, strings.Join(r.cells(), "\t"))
	}
	w.Flush()
	return b.String()
}

func (t resultTable) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header.cells())
	line(strings.Split(strings.Repeat("--- ", len(header.cells())), " ")[:len(header.cells())])
	for _, r := range t {
		line(r.cells())
	}
	return b.String()
}
