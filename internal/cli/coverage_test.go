package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write how much of Docker's command line is covered, if it is more than before")

// answers of each area's fake daemon, by the name of its table, for the rows that run commands.
var answers = map[string]map[string]string{"image": imageAnswers, "container": containerAnswers, "volume": containerAnswers, "network": containerAnswers, "system": imageAnswers, "context": nil}

// arguments that a command needs when it is run.
var arguments = map[string]string{"history": "x", "image history": "x", "container stats": "--no-stream c"}

// TestCoverage reads testdata/coverage/AREA.tsv: what docker's command line has in an area, one item a row (kind, command,
// name), from the published checklists. It counts what hull has, prints what it has not, and holds the number to
// testdata/coverage/COUNTS, which may only go up. A new area is a table and answers.
//
//   - command: there is one of that name.
//   - flag: it takes that option.
//   - placeholder, function: --format with it prints something; format: --format takes that word.
func TestCoverage(t *testing.T) {
	tables, err := filepath.Glob("testdata/coverage/*.tsv")
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	counts := make(map[string]int)
	data, err := os.ReadFile(countsFile)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		area, n, _ := strings.Cut(strings.TrimSpace(line), " ")
		if counts[area], err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tables {
		area := strings.TrimSuffix(filepath.Base(table), ".tsv")
		host, _ := fakeDaemon(t, answers[area])
		raw, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		covered, all := 0, 0
		var missing []string
		for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
			row := append(strings.Split(line, "\t"), "", "")
			if i == 0 {
				continue
			}
			all++
			if has(t, host, row[0], row[1], row[2]) {
				covered++
			} else {
				missing = append(missing, strings.TrimSpace(strings.Join(row[:3], " ")))
			}
		}
		t.Logf("%s: %d of %d items of docker's command line; not there:\n  %s", area, covered, all, strings.Join(missing, "\n  "))
		switch {
		case covered < counts[area]:
			t.Errorf("%s: %d items are covered, there were %d", area, covered, counts[area])
		case covered > counts[area] && !*update:
			t.Errorf("%s: %d items are covered, more than the %d before: go test -run Coverage -update keeps that", area, covered, counts[area])
		default:
			counts[area] = covered
		}
	}
	if *update {
		text := ""
		for _, area := range slices.Sorted(maps.Keys(counts)) {
			text += fmt.Sprintf("%s %d\n", area, counts[area])
		}
		if err := os.WriteFile(countsFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const countsFile = "testdata/coverage/COUNTS"

// functionCalls are a use of each template function, of which the result is not empty.
var functionCalls = map[string]string{
	"json": "{{json .ID}}", "join": `{{join (split "a,b" ",") "-"}}`, "lower": "{{lower .ID}}", "upper": "{{upper .ID}}", "split": `{{split "a,b" ","}}`,
	"title": `{{title "a"}}`, "pad": `{{pad "a" 1 1}}`, "truncate": `{{truncate "abc" 2}}`, "println": `{{println "a"}}`, "index": `{{index (split "a,b" ",") 1}}`, "len": "{{len .ID}}",
}

// has says whether hull has an item.
func has(t *testing.T, host, kind, command, name string) bool {
	t.Helper()
	i := slices.IndexFunc(verbs(), func(v verb) bool { return v.name == command })
	if i < 0 {
		return false
	}
	run := func(format string) bool {
		args := append(strings.Fields(command), "--format", format)
		code, out, _ := hull(t, host, append(args, strings.Fields(arguments[command])...)...)
		return code == 0 && strings.TrimSpace(out) != "" && !strings.Contains(out, "<no value>")
	}
	switch kind {
	case "command":
		return true
	case "flag":
		var b bytes.Buffer
		app := &App{Out: &b, Err: &b, Env: func(string) string { return "" }}
		app.client = newClient(endpoint{host: host, network: "unix", address: strings.TrimPrefix(host, "unix://")})
		var wanted helpWanted
		return errors.As(verbs()[i].run(app, t.Context(), []string{"--help"}), &wanted) &&
			slices.ContainsFunc(wanted.o.all, func(o *option) bool { return "--"+o.name == name })
	case "placeholder":
		return run("{{" + name + "}}")
	case "function":
		return run(functionCalls[name])
	case "format":
		if name == "table" {
			name = "table {{.ID}}"
		}
		return run(name)
	}
	t.Errorf("an item of the kind %q", kind)
	return false
}

var imageAnswers = map[string]string{
	"GET /images/json":      `[{"Id":"sha256:` + strings.Repeat("a", 64) + `","Created":1700000000,"Size":5,"RepoTags":["x:1"],"RepoDigests":["x@sha256:` + strings.Repeat("b", 64) + `"]}]`,
	"GET /images/x/history": `[{"Id":"sha256:` + strings.Repeat("a", 64) + `","Created":1700000000,"CreatedBy":"c","Size":5,"Comment":"d"}]`,
	"GET /system/df":        `{"LayersSize":5000,"Images":[]}`,
}

var containerAnswers = map[string]string{
	"GET /containers/json":    `[{"Id":"` + strings.Repeat("a", 64) + `","Names":["/n"],"Image":"i","Command":"c","Created":1700000000,"Ports":[{"PrivatePort":80,"Type":"tcp"}],"State":"running","Status":"Up 1 second (healthy)","SizeRw":1,"Labels":{"l":"v"},"Mounts":[{"Name":"m","Driver":"local"}],"NetworkSettings":{"Networks":{"none":{}}}}]`,
	"GET /containers/c/stats": `{"name":"/n","id":"` + strings.Repeat("a", 64) + `","pids_stats":{"current":1}}`,
	"GET /volumes":            `{"Volumes":[{"Name":"n","Driver":"local","Scope":"local","Mountpoint":"/m","Labels":{"l":"v"}}]}`,
	"GET /networks":           `[{"Name":"n","Id":"` + strings.Repeat("a", 64) + `","Driver":"bridge","Scope":"local","Created":"2026-01-01T00:00:00Z","Labels":{"l":"v"}}]`,
}
