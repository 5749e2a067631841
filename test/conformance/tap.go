package main

import (
	"strconv"
	"strings"
)

// points is what a TAP stream says.
type points struct {
	planned      int // -1: no plan
	ok           int
	notOK        int
	skipped      int
	firstFailure string
	firstSkip    string
	complaint    string // the first diagnostic that belongs to no point
}

// parseTAP counts the points of a TAP 12/13 stream. Indented lines are diagnostics (the
// programs nest the inner TAP of runtimetest there as YAML) and do not count. The nested
// stream of a program that prints runtimetest's output as its own may come with a second
// plan of 0; the larger one counts. The hook programs print points only for what goes wrong:
// their success is a plan of 0 and no diagnostic.
func parseTAP(text string) points {
	p := points{planned: -1}
	complaining := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if plan, ok := strings.CutPrefix(line, "1.."); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(plan)); err == nil {
				p.planned = max(p.planned, n)
			}
			continue
		}
		if p.ok+p.notOK+p.skipped == 0 && strings.HasPrefix(line, "  ") {
			if strings.HasPrefix(line, "  ---") {
				complaining = true
			} else if complaining && p.complaint == "" && strings.Contains(line, "\"error\"") {
				p.complaint = strings.TrimSpace(line)
			}
			continue
		}
		skip := strings.Contains(strings.ToUpper(line), "# SKIP")
		switch {
		case strings.HasPrefix(line, "not ok"):
			p.notOK++
			if p.firstFailure == "" {
				p.firstFailure = line
			}
		case strings.HasPrefix(line, "ok") && skip:
			p.skipped++
			if p.firstSkip == "" {
				p.firstSkip = line
			}
		case strings.HasPrefix(line, "ok"):
			p.ok++
		}
	}
	if complaining && p.complaint == "" {
		p.complaint = "a diagnostic without a point"
	}
	return p
}
