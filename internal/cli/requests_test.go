package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is an engine that takes requests down. Of a container's creation only what differs
// from the first one is kept, as PATH=VALUE.
type recorder struct {
	version string

	mu    sync.Mutex
	base  map[string]bool
	asked []string
}

var prefix = regexp.MustCompile(`^/v[0-9.]+`)

func (e *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", e.version)
	path := prefix.ReplaceAllString(r.URL.Path, "")
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	if path != "/_ping" {
		e.asked = append(e.asked, strings.TrimSpace(fmt.Sprintf("%s %s?%s %s", r.Method, path, r.URL.Query().Encode(), e.shorten(body))))
	}
	e.mu.Unlock()
	stream := strings.HasSuffix(path, "/attach") || strings.HasPrefix(path, "/exec/") && r.Method == "POST" && !bytes.Contains(body, []byte(`"Detach":true`))
	switch {
	case stream:
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x01\x00\x00\x00\x00\x00\x00\x02o\n\x02\x00\x00\x00\x00\x00\x00\x02e\n")
		conn.Close()
	case path == "/containers/create" || path == "/commit" || path == "/networks/create" || strings.HasSuffix(path, "/exec"):
		w.WriteHeader(201)
		fmt.Fprint(w, `{"Id":"made","Warnings":["take care"]}`)
	case path == "/volumes/create":
		fmt.Fprint(w, `{"Name":"made"}`)
	case strings.HasSuffix(path, "/wait"):
		fmt.Fprint(w, `{"StatusCode":3}`)
	case path == "/containers/c/json":
		fmt.Fprint(w, `{"Id":"c","State":{"Running":true},"Config":{"OpenStdin":true}}`)
	case strings.HasPrefix(path, "/exec/"):
		fmt.Fprint(w, `{"ExitCode":9}`)
	case path == "/containers/json" || path == "/networks" || strings.HasSuffix(path, "/changes") || strings.HasSuffix(path, "/checkpoints"):
		fmt.Fprint(w, `[]`)
	case strings.HasSuffix(path, "/logs") || strings.HasSuffix(path, "/export") || path == "/images/create":
	case r.Method == "GET" || r.Method == "POST":
		fmt.Fprint(w, `{}`)
	}
}

// shorten makes a body a list of what it says; of the first body of a container, nothing is left.
func (e *recorder) shorten(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	var all []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				walk(at+"."+k, e)
			}
			if len(v) == 0 {
				all = append(all, at+"={}")
			}
		default:
			raw, _ := json.Marshal(v)
			all = append(all, at+"="+string(raw))
		}
	}
	walk("", v)
	slices.Sort(all)
	if e.base == nil {
		e.base = make(map[string]bool)
		for _, s := range all {
			e.base[s] = true
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return e.base[s] })
	return strings.Join(all, " ")
}

// TestRequestsGolden runs the command lines that test/cli compares with docker, and compares
// requests, output and status with what they were when docker agreed.
func TestRequestsGolden(t *testing.T) {
	lines, err := os.ReadFile("../../test/cli/testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := filepath.Abs("testdata/requests.golden")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"env": "\ufeffA=1\n# none\n\n  B=two words\nFROM_HERE\nNOT_HERE\nC=\n", "badenv": "A B=1\n", "noname": "=1\n",
		"labels": "l1=v1\nl2\nl3=a=b\n", "seccomp": "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n", "notjson": "{", "cid": "there",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("FROM_HERE", "yes")
	t.Setenv("DOCKER_CONFIG", dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	e := &recorder{version: "1.50"}
	s := &http.Server{Handler: e}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	var got strings.Builder
	for line := range strings.Lines(string(lines)) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ## ")
		if v, ok := strings.CutPrefix(line, "version "); ok {
			e.version = v
			fmt.Fprintln(&got, "# API", v)
			continue
		}
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "version") {
			continue
		}
		e.asked = nil
		code, out, errs := hull(t, "unix://"+l.Addr().String(), quotedFields(line)...)
		if !strings.Contains(line, " create ") && !strings.HasPrefix(line, "run") {
			slices.Sort(e.asked)
		}
		fmt.Fprintf(&got, "$ hull %s\nexit %d\n%s\n%s%s", line, code, strings.Join(e.asked, "\n"), out, strings.ReplaceAll(errs, dir, "DIR"))
	}
	text := strings.ReplaceAll(got.String(), dir, "DIR")
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (go test ./internal/cli -update makes it)", err)
	}
	if text != string(want) {
		a, b := strings.Split(text, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d of %s:\n got %s\nwant %s", i+1, golden, a[i], b[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(a), len(b))
	}
}

// quotedFields splits a line at blanks; single quotes keep blanks.
func quotedFields(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			// A quoted part belongs to what is directly before and after it.
			if n := len(all); n > 0 && strings.HasSuffix(all[n-1], "\x00") {
				all[n-1] = strings.TrimSuffix(all[n-1], "\x00") + part + "\x00"
			} else {
				all = append(all, part+"\x00")
			}
			continue
		}
		fields := strings.Fields(part)
		if n := len(all); i > 0 && n > 0 && len(fields) > 0 && part[0] != ' ' {
			all[n-1] = strings.TrimSuffix(all[n-1], "\x00") + fields[0]
			fields = fields[1:]
		}
		all = append(all, fields...)
		if len(fields) > 0 && part[len(part)-1] != ' ' {
			all[len(all)-1] += "\x00"
		}
	}
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], "\x00", "")
	}
	return all
}
