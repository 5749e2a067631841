package hull_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const dependencyLedger = "docs/dev/dependencies.md"

// TestRulesDependencyLedger: each module that go.mod requires directly has a row in
// docs/dev/dependencies.md saying why it, why not the runner-up, and what it costs, and each
// row is still required.
func TestRulesDependencyLedger(t *testing.T) {
	direct := directModules(t)
	data, err := os.ReadFile(dependencyLedger)
	if err != nil {
		t.Fatalf("reading the dependency ledger: %v", err)
	}
	var rows []string
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		name := strings.Trim(strings.TrimSpace(cells[0]), "`")
		if !strings.HasPrefix(strings.TrimSpace(line), "|") || !strings.Contains(name, ".") || !strings.Contains(name, "/") {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("%s: the row of %s has %d cells, want 5: module, for what, why it, why not the runner-up, cost", dependencyLedger, name, len(cells))
			continue
		}
		for i, c := range cells {
			if strings.TrimSpace(c) == "" {
				t.Errorf("%s: cell %d of the row of %s is empty", dependencyLedger, i+1, name)
			}
		}
		rows = append(rows, name)
	}
	extra, missing := compareSets(rows, direct)
	for _, m := range missing {
		t.Errorf("go.mod requires %s, which has no row in %s", m, dependencyLedger)
	}
	for _, m := range extra {
		t.Errorf("%s has a row for %s, which go.mod does not require directly", dependencyLedger, m)
	}
}

// directModules are the modules that packages of this repository import, tests included, as
// go.mod's `// indirect` marks may lag behind while code is written.
func directModules(t *testing.T) []string {
	t.Helper()
	imported := make(map[string]bool)
	for _, s := range allSources(t) {
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imported[path] = true
		}
	}
	required := strings.Fields(string(goOutput(t, "list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")))
	var direct []string
	for path := range imported {
		best := ""
		for _, m := range required {
			if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		if best != "" && !slices.Contains(direct, best) {
			direct = append(direct, best)
		}
	}
	slices.Sort(direct)
	return direct
}

// keelBinary builds keel as `make build` does and returns its path.
func keelBinary(t *testing.T) string {
	t.Helper()
	if !keelWritten() {
		t.Skip("cmd/keel has no main function yet")
	}
	make, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	dir := t.TempDir()
	cmd := exec.Command(make, "-s", "build", "BIN="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "keel")
}

const (
	keelMaxBytes  = 8 << 20 // DESIGN.md section 1
	keelMaxInitMs = 1.0     // package init, milliseconds
	initRuns      = 5
)

// TestRulesKeelBudget holds keel's size and start-up: at most 8 MB stripped, and at most 1 ms
// of package initialisation (the median of five runs, as the runtime itself measures it).
func TestRulesKeelBudget(t *testing.T) {
	keel := keelBinary(t)
	info, err := os.Stat(keel)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > keelMaxBytes {
		t.Errorf("keel has %d bytes, the budget is %d", info.Size(), keelMaxBytes)
	}
	var times []float64
	var trace string
	for range initRuns {
		cmd := exec.Command(keel, "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("keel --version: %v\n%s", err, stderr.String())
		}
		ms, ok := initTime(stderr.String())
		if !ok {
			t.Fatalf("GODEBUG=inittrace=1 keel --version prints no init line:\n%s", stderr.String())
		}
		times = append(times, ms)
		trace = stderr.String()
	}
	slices.Sort(times)
	median := times[len(times)/2]
	t.Logf("keel: %d bytes, package init %.3f ms (median of %d) on %s", info.Size(), median, initRuns, runtime.GOARCH)
	if median > keelMaxInitMs {
		t.Errorf("keel's package init takes %.3f ms (median of %v), the budget is %.1f ms:\n%s", median, times, keelMaxInitMs, trace)
	}
}

var initLine = regexp.MustCompile(`(?m)^init \S+ @[0-9.]+ ms, ([0-9.]+) ms clock`)

// initTime adds up the clock times of a trace like "init os @0.4 ms, 0.02 ms clock, …".
func initTime(trace string) (ms float64, ok bool) {
	for _, m := range initLine.FindAllStringSubmatch(trace, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, false
		}
		ms += v
		ok = true
	}
	return ms, ok
}

func TestRulesInitTimeParses(t *testing.T) {
	ms, ok := initTime("init internal/bytealg @0.005 ms, 0.25 ms clock, 0 bytes, 0 allocs\ninit os @0.2 ms, 0.5 ms clock, 1 bytes, 2 allocs\n")
	if !ok || ms != 0.75 {
		t.Errorf("got %v %v, want 0.75 true", ms, ok)
	}
	if _, ok := initTime("nothing"); ok {
		t.Error("a trace without init lines was accepted")
	}
}
