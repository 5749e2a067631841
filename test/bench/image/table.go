package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

type resultTable [][]string

var header = []string{"case", "engine", "median", "min", "+ sync", "CPU", "written", "peak", "PSS", "× best", "CPU × best", "goal"}

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

func median[T cmp.Ordered](s []sample, f func(sample) T) T { return quantile(field(s, f), 0.5) }

func wall(s sample) time.Duration { return s.wall }
func cpu(s sample) time.Duration  { return s.cpu }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// best is the least median among the peers of hulld, 0 without peers.
func best(all map[string][]sample, of func(sample) time.Duration) (least time.Duration) {
	for name, s := range all {
		if m := median(s, of); name != "hulld" && (least == 0 || m < least) {
			least = m
		}
	}
	return least
}

// verdict says whether hulld meets a case's goals.
func verdict(st step, mine, peer time.Duration) string {
	word := func(met bool) string {
		if met {
			return "met"
		}
		return "missed"
	}
	var out []string
	if st.goal > 0 && peer > 0 {
		out = append(out, fmt.Sprintf("≤ %.2f %s", st.goal, word(float64(mine)/float64(peer) <= st.goal)))
	}
	if st.limit > 0 {
		out = append(out, fmt.Sprintf("≤ %.0f ms %s", st.limit, word(float64(mine)/1e6 <= st.limit)))
	}
	return strings.Join(out, ", ")
}

// peakGoal is what hulld's resident set may be in any case, in bytes.
const peakGoal = 120e6

func (b *bench) table() resultTable {
	var out resultTable
	for _, name := range b.order {
		st, all := b.goals[name], b.samples[name]
		peer, peerCPU := best(all, wall), best(all, cpu)
		for _, e := range b.engines {
			s := all[e.name]
			if len(s) == 0 {
				continue
			}
			row := []string{name, e.name, ms(median(s, wall)), ms(slices.Min(field(s, wall))), ms(median(s, func(s sample) time.Duration { return s.wall + s.sync })),
				ms(median(s, cpu)), megabytes(median(s, func(s sample) int64 { return s.written })), megabytes(slices.Max(field(s, func(s sample) int64 { return s.peak }))), "", "", "", ""}
			if st.disk {
				row[2] = megabytes(median(s, func(s sample) int64 { return s.disk }))
				row[3], row[4] = "", ""
				out = append(out, row)
				continue
			}
			if peer > 0 {
				row[9] = fmt.Sprintf("%.2f", float64(median(s, wall))/float64(peer))
			}
			if peerCPU > 0 {
				row[10] = fmt.Sprintf("%.2f", float64(median(s, cpu))/float64(peerCPU))
			}
			if e.name == "hulld" {
				row[8] = megabytes(slices.Max(field(s, func(s sample) int64 { return s.pss })))
				row[11] = verdict(st, median(s, wall), peer)
				if slices.Max(field(s, func(s sample) int64 { return s.peak })) > peakGoal {
					row[11] += ", peak ≤ 120 MB missed"
				}
			}
			out = append(out, row)
		}
	}
	return out
}

func (t resultTable) plain() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, r := range t {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
	return b.String()
}

func (t resultTable) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	line(slices.Repeat([]string{"---"}, len(header)))
	for _, r := range t {
		line(r)
	}
	return b.String()
}
