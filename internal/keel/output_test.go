package keel

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
)

func TestListTable(t *testing.T) {
	const want = "" +
		"ID                 PID         STATUS      BUNDLE      CREATED     OWNER\n" +
		"a-long-container   12          running     /b          now         root\n" +
		"b                  0           stopped     /b          now         #7\n"
	rows := []ocispec.Status{{ID: "a-long-container", Pid: 12, Status: "running", Bundle: "/b", Created: "now", Owner: "root"}, {ID: "b", Status: "stopped", Bundle: "/b", Created: "now", Owner: "#7"}}
	if got := listTable(rows); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	if got := string(listJSON(nil)); got != "null\n" {
		t.Errorf("JSON of none: %q", got)
	}
	var back []map[string]any
	if err := json.Unmarshal(listJSON(rows), &back); err != nil || len(back) != 2 || back[0]["id"] != "a-long-container" || back[1]["owner"] != "#7" {
		t.Errorf("JSON: %v, %v", back, err)
	}
}

func TestOwnerNames(t *testing.T) {
	n := ownerNames{}
	if got := n.of(0); got != "root" {
		t.Errorf("owner 0: %q", got)
	}
	if got := n.of(4000000001); got != "#4000000001" {
		t.Errorf("an unknown owner: %q", got)
	}
}

func TestFilterPS(t *testing.T) {
	table := "UID   PID CMD\nroot    1 init\nroot   12 sleep 1\n\nroot  121 other 12\n"
	if got, err := filterPS(table, []int{12}); err != nil || got != "UID   PID CMD\nroot   12 sleep 1\n" {
		t.Errorf("filterPS: %q, %v", got, err)
	}
	for _, bad := range []string{"", "UID CMD\nroot x\n", "UID PID\nroot x\n", "UID PID\nroot\n"} {
		if got, err := filterPS(bad, []int{12}); err == nil {
			t.Errorf("filterPS(%q) = %q, want an error", bad, got)
		}
	}
	if got := string(pidsJSON(nil)) + string(pidsJSON([]int{3, 14})); got != "[]\n[3,14]\n" {
		t.Errorf("JSON: %q", got)
	}
}

func TestEventJSON(t *testing.T) {
	if got := string(eventJSON("c", ociruntime.Event{})); got != `{"type":"oom","id":"c"}`+"\n" {
		t.Errorf("oom: %s", got)
	}
	var e struct {
		Type, ID string
		Data     struct{ Pids struct{ Current uint64 } }
	}
	b := eventJSON("c", ociruntime.Event{Stats: &cgroup.Stats{Pids: cgroup.PidsStats{Current: 5}}})
	if err := json.Unmarshal(b, &e); err != nil || e.Type != "stats" || e.ID != "c" || e.Data.Pids.Current != 5 || strings.Count(string(b), "\n") != 1 {
		t.Errorf("stats: %s, %v", b, err)
	}
}

func TestRecords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	msg := "a \"b\"\n\x01c"
	var r map[string]string
	b := (&logger{json: true}).record("error", msg, now)
	if err := json.Unmarshal(b, &r); err != nil || r["level"] != "error" || r["msg"] != msg || r["time"] != "2026-01-02T03:04:05Z" || strings.Count(string(b), "\n") != 1 {
		t.Errorf("JSON record %s: %v, %v", b, r, err)
	}
	if got, want := string((&logger{}).record("warning", "a b", now)), `time="2026-01-02T03:04:05Z" level=warning msg="a b"`+"\n"; got != want {
		t.Errorf("text record %q, want %q", got, want)
	}
}

func TestLogAppends(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	l := &logger{file: file}
	l.write("debug", "not asked for")
	if code := l.fail(errors.New("first"), 255); code != 255 {
		t.Errorf("status %d", code)
	}
	l.debug = true
	l.write("debug", "second")
	b, err := os.ReadFile(file)
	if err != nil || strings.Count(string(b), "\n") != 2 || !strings.Contains(string(b), `level=error msg="first"`) || !strings.Contains(string(b), `level=debug msg="second"`) {
		t.Errorf("log %q, %v", b, err)
	}
}

func TestNewRuntime(t *testing.T) {
	l := &logger{}
	for want, o := range map[string]options{
		"invalid log-format": {"log-format": {"xml"}},
		"--rootless":         {"rootless": {"maybe"}},
		"empty or /":         {"root": {"/tmp/../"}},
		"not be empty":       {"root": {""}},
	} {
		if _, err := newRuntime(o, l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", o, err, want)
		}
	}
	r, err := newRuntime(options{"root": {"state"}, "rootless": {"true"}}, l)
	if err != nil || !filepath.IsAbs(r.Root) || !r.Rootless {
		t.Errorf("runtime %+v, %v: want an absolute root, rootless", r, err)
	}
	if r, err := newRuntime(options{"root": {"/x"}, "rootless": {"false"}}, l); err != nil || r.Root != "/x" || r.Rootless {
		t.Errorf("runtime %+v, %v", r, err)
	}
}
