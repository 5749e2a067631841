package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// readTSV reads a file of tab-separated rows; '#' starts a comment line.
func readTSV(file string, fields int) ([][]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != fields {
			return nil, fmt.Errorf("%s:%d: %d fields, want %d", file, i+1, len(row), fields)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// readBaseline reads what runc did: program, verdict, ok, not ok, skipped.
func readBaseline(file string) (map[string]result, error) {
	rows, err := readTSV(file, 5)
	if err != nil {
		return nil, fmt.Errorf("reading the baseline: %w", err)
	}
	out := make(map[string]result, len(rows))
	for _, row := range rows {
		r := result{name: row[0], verdict: row[1]}
		for i, n := range []*int{&r.ok, &r.notOK, &r.skipped} {
			if *n, err = strconv.Atoi(row[2+i]); err != nil {
				return nil, fmt.Errorf("reading the baseline: program %s: %w", r.name, err)
			}
		}
		out[r.name] = r
	}
	return out, nil
}

// readExceptions reads the programs that may fail: program, reason.
func readExceptions(file string) (map[string]string, error) {
	rows, err := readTSV(file, 2)
	if err != nil {
		return nil, fmt.Errorf("reading the exceptions: %w", err)
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		out[row[0]] = row[1]
	}
	return out, nil
}

func writeBaseline(ctx context.Context, file, runtimePath string, results []result) error {
	version, err := exec.CommandContext(ctx, runtimePath, "--version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", runtimePath, err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "# The outcome of the OCI runtime validation programs with %s.\n", first)
	b.WriteString("# Written by `make conformance-baseline`; do not edit.\n# program\tverdict\tok\tnot ok\tskipped\n")
	for _, r := range results {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%d\t%d\n", r.name, r.verdict, r.ok, r.notOK, r.skipped)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// compare lists what breaks the promise: every program that runc passes passes here, unless
// an exception says why not; and no exception is stale.
func compare(results []result, baseline map[string]result, exceptions map[string]string, whole bool) []string {
	var problems []string
	seen := make(map[string]bool)
	for _, r := range results {
		seen[r.name] = true
		b, known := baseline[r.name]
		reason, excepted := exceptions[r.name]
		switch {
		case !known:
			problems = append(problems, fmt.Sprintf("%s is not in the baseline; run make conformance-baseline", r.name))
		case b.verdict == "pass" && r.verdict != "pass" && !excepted:
			problems = append(problems, fmt.Sprintf("%s: %s, but runc passes it: %s", r.name, r.verdict, r.note))
		case excepted && r.verdict == "pass":
			problems = append(problems, fmt.Sprintf("%s passes: take its line (%q) out of exceptions.tsv", r.name, reason))
		}
	}
	if whole {
		for _, name := range slices.Sorted(keys(baseline)) {
			if !seen[name] {
				problems = append(problems, fmt.Sprintf("%s is in the baseline but was not run", name))
			}
		}
	}
	return problems
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func count(results []result) (passed, failed, skipped int) {
	for _, r := range results {
		switch r.verdict {
		case "pass":
			passed++
		case "fail":
			failed++
		default:
			skipped++
		}
	}
	return passed, failed, skipped
}

// table prints program, verdict, points and runc's verdict, failures with the reason.
func table(results []result, baseline map[string]result, exceptions map[string]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\tverdict\tok\tnot ok\tskip\tseconds\trunc\tremark")
	for _, r := range results {
		var remarks []string
		if r.note != "" && r.verdict != "pass" {
			remarks = append(remarks, clip(r.note, 110))
		}
		if r.second && r.verdict == "pass" {
			remarks = append(remarks, "passed at the second try")
		}
		if r.leaks > 0 {
			remarks = append(remarks, fmt.Sprintf("left %d containers", r.leaks))
		}
		if reason := exceptions[r.name]; reason != "" {
			remarks = append(remarks, "exception: "+reason)
		}
		was := "-"
		if v, ok := baseline[r.name]; ok {
			was = v.verdict
			if v.verdict == "fail" {
				was = fmt.Sprintf("fail (%d of %d ok)", v.ok, v.ok+v.notOK)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f\t%s\t%s\n", r.name, r.verdict, r.ok, r.notOK, r.skipped,
			r.took.Round(100*time.Millisecond).Seconds(), was, strings.Join(remarks, "; "))
	}
	w.Flush()
	return b.String()
}

// clip cuts s to at most n bytes of one line.
func clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
