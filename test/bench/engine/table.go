package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the result: a case and an engine.
type row struct {
	name, engine         string
	median, minimum, cpu string
	ratio, goal          string
}

type resultTable []row

var header = row{"case", "engine", "median", "min", "client CPU", "× best other", "goal"}

func (r row) cells() []string {
	return []string{r.name, r.engine, r.median, r.minimum, r.cpu, r.ratio, r.goal}
}

// quantile returns the sample's value at q of 0…1, by the nearest rank.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func field[T any](s []sample, f func(sample) T) []T {
	out := make([]T, len(s))
	for i := range s {
		out[i] = f(s[i])
	}
	return out
}

// number is what a case is judged by: nanoseconds, or bytes.
func (c *benchCase) number(s sample) float64 {
	if c.bytes > 0 {
		return float64(s.bytes)
	}
	return float64(s.wall)
}

func (c *benchCase) text(n float64) string {
	if c.bytes > 0 {
		return fmt.Sprintf("%.2f MiB", n/(1<<20))
	}
	return fmt.Sprintf("%.1f ms", n/1e6)
}

// verdict says whether hull meets the goal; met at best is when only the quickest sample does.
func (c *benchCase) verdict(median, minimum float64) string {
	limit := float64(c.goal)
	if c.bytes > 0 {
		limit = float64(c.bytes)
	}
	word := "missed"
	switch {
	case limit == 0:
		return ""
	case median <= limit:
		word = "met"
	case minimum <= limit:
		word = "met at best"
	}
	return fmt.Sprintf("≤ %s %s", c.text(limit), word)
}

// table makes the rows, with hull's ratio to the best of the others.
func (b *bench) table() resultTable {
	var out resultTable
	for _, c := range cases {
		medians := map[string]float64{}
		best := 0.0
		for _, e := range b.engines {
			if s := e.samples[c.name]; len(s) > 0 {
				m := quantile(field(s, c.number), 0.5)
				medians[e.name] = m
				if e.name != "hull" && (best == 0 || m < best) {
					best = m
				}
			}
		}
		for _, e := range b.engines {
			s := e.samples[c.name]
			if len(s) == 0 {
				continue
			}
			minimum := slices.Min(field(s, c.number))
			r := row{name: c.name, engine: e.name, median: c.text(medians[e.name]), minimum: c.text(minimum)}
			if cpu := quantile(field(s, func(s sample) time.Duration { return s.cpu }), 0.5); cpu > 0 {
				r.cpu = fmt.Sprintf("%.1f ms", float64(cpu)/1e6)
			}
			if e.name == "hull" {
				r.goal = c.verdict(medians[e.name], minimum)
				if best > 0 {
					r.ratio = fmt.Sprintf("%.2f", medians[e.name]/best)
				}
			}
			out = append(out, r)
		}
	}
	return out
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
