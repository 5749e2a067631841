package server

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write how much of Docker's API is covered, if it is more than before")

// probe is a request whose answer shows fields of "METHOD path" of the table.
type probe struct{ method, path, ask, body string }

// probes of each area, by the name of its table.
var probes = map[string][]probe{"image": imageProbes}

// TestCoverage reads testdata/coverage/AREA.tsv: what Docker's API has in an area, one item a row (kind, method, path,
// name), from the published checklists. It counts what is served, prints what is not, and holds the number to
// testdata/coverage/COUNTS, which may only go up. A new area is a table and its probes.
//
//   - endpoint: there is a handler.
//   - query, filter, header, body: the sources of this package read that name.
//   - response: an answer of a probe has that field ([] for elements, * for keys of a map).
func TestCoverage(t *testing.T) {
	tables, err := filepath.Glob("testdata/coverage/*.tsv")
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	counts := readCounts(t)
	words := sourceWords(t)
	for _, table := range tables {
		area := strings.TrimSuffix(filepath.Base(table), ".tsv")
		fields := probeFields(t, probes[area])
		covered, all := 0, 0
		var missing []string
		for _, row := range readTable(t, table) {
			kind, method, path, name := row[0], row[1], row[2], row[3]
			var ok bool
			switch kind {
			case "endpoint":
				ok = served(t, method, path)
			case "response":
				ok = fields[method+" "+path][name]
			default:
				ok = words[name]
			}
			all++
			if ok {
				covered++
			} else {
				missing = append(missing, strings.TrimRight(fmt.Sprintf("%s %s %s %s", kind, method, path, name), " "))
			}
		}
		t.Logf("%s: %d of %d items of Docker's API; not there:\n  %s", area, covered, all, strings.Join(missing, "\n  "))
		hold(t, counts, area, covered)
	}
	if *update {
		writeCounts(t, counts)
	}
}

// hold compares a count with the one before.
func hold(t *testing.T, counts map[string]int, area string, covered int) {
	t.Helper()
	switch {
	case covered < counts[area]:
		t.Errorf("%s: %d items are covered, there were %d", area, covered, counts[area])
	case covered > counts[area] && !*update:
		t.Errorf("%s: %d items are covered, more than the %d before: go test -run Coverage -update keeps that", area, covered, counts[area])
	case covered > counts[area]:
		counts[area] = covered
	}
}

const countsFile = "testdata/coverage/COUNTS"

func readCounts(t *testing.T) map[string]int {
	t.Helper()
	out := make(map[string]int)
	data, err := os.ReadFile(countsFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		area, n, _ := strings.Cut(strings.TrimSpace(line), " ")
		if out[area], err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func writeCounts(t *testing.T, counts map[string]int) {
	t.Helper()
	text := ""
	for _, area := range slices.Sorted(maps.Keys(counts)) {
		text += fmt.Sprintf("%s %d\n", area, counts[area])
	}
	if err := os.WriteFile(countsFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readTable reads rows without the header, each with at least four columns.
func readTable(t *testing.T, path string) (rows [][]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		row := strings.Split(s.Text(), "\t")
		rows = append(rows, append(row, "", "", "", "")[:max(4, len(row))])
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// served says whether somebody answers for a path, whatever the answer.
func served(t *testing.T, method, path string) bool {
	t.Helper()
	path = strings.NewReplacer("{name}", "x", "{id}", "x", "{any}", "anything").Replace(path)
	status, body, _ := ask(t, &fake{}, method, path+"?until=1", nil) // streams end
	return status != http.StatusNotImplemented && !strings.Contains(body, "page not found")
}

// sourceWords are the string constants in the sources.
func sourceWords(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(data), `"`) {
			if i%2 == 1 {
				out[part] = true
			}
		}
	}
	// These are read by libraries (the header and the body of a login), or say something that is always so here: there are no
	// intermediate images, and digests are always shown.
	for _, w := range []string{"X-Registry-Auth", "username", "password", "serveraddress", "all", "digests", "noprune"} {
		out[w] = true
	}
	return out
}

// probeFields are the fields of the answers, by "METHOD path".
func probeFields(t *testing.T, all []probe) map[string]map[string]bool {
	t.Helper()
	out := make(map[string]map[string]bool)
	for _, p := range all {
		f, w := richFake(), httptest.NewRecorder()
		New(f, nobody{}, novolumes{}, nil, &f.bus, Facts{Version: "1", Commit: "c", Snapshotter: "fake"}, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), p.method, p.ask, strings.NewReader(p.body)))
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != http.StatusOK || err != nil {
			t.Errorf("%s %s: %d %s", p.method, p.ask, w.Code, w.Body)
			continue
		}
		key := p.method + " " + p.path
		if out[key] == nil {
			out[key] = make(map[string]bool)
		}
		collect(out[key], "", v)
	}
	return out
}

// collect notes the paths of all fields in v.
func collect(out map[string]bool, path string, v any) {
	out[path] = true
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			collect(out, path+"[]", e)
		}
	case map[string]any:
		for k, e := range v {
			for _, name := range []string{k, "*"} {
				collect(out, strings.TrimPrefix(path+"."+name, "."), e)
			}
		}
	}
}
