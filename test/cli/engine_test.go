package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// engine answers as a daemon would, and takes down what it is asked.
type engine struct {
	host    string
	version string

	mu    sync.Mutex
	asked []string
	pulls int
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "engine"))
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{host: "unix://" + l.Addr().String(), version: "1.50"}
	s := &http.Server{Handler: e}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return e
}

// take returns what was asked since the last call.
func (e *engine) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	asked := e.asked
	e.asked, e.pulls = nil, 0
	has := func(part string) bool {
		return slices.ContainsFunc(asked, func(s string) bool { return strings.Contains(s, part) })
	}
	attached, executed := has("/attach?"), has("/exec?")
	asked = slices.DeleteFunc(asked, func(s string) bool {
		// docker waits for a detached container, too, and does nothing with the answer; it looks at
		// the container before each exec, which says no more than the exec itself.
		return !attached && strings.Contains(s, "/wait?condition=") || executed && strings.HasPrefix(s, "GET /containers/")
	})
	for i := range asked { // docker calls a container it has looked at by its name, hull by its ID
		asked[i] = strings.ReplaceAll(asked[i], "/containers/"+containerID, "/containers/c")
	}
	if !has("/create?") {
		slices.Sort(asked) // several containers are worked on at the same time
	}
	return asked
}

const containerID = "4242424242424242424242424242424242424242424242424242424242424242"

var versionPrefix = regexp.MustCompile(`^/v[0-9.]+`)

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", e.version)
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Docker-Experimental", "true")
	w.Header().Set("Content-Type", "application/json")
	path := versionPrefix.ReplaceAllString(r.URL.Path, "")
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	if path != "/_ping" {
		q := r.URL.Query()
		for k, v := range q {
			if len(v) == 1 && v[0] == "" {
				q.Del(k)
			}
		}
		e.asked = append(e.asked, fmt.Sprintf("%s %s?%s %s", r.Method, path, q.Encode(), canonical(body)))
	}
	missing := strings.Contains(string(body), `"Image":"missing`) && e.pulls == 0
	if path == "/images/create" {
		e.pulls++
	}
	e.mu.Unlock()
	switch {
	case strings.HasSuffix(path, "/attach") || strings.HasPrefix(path, "/exec/") && strings.HasSuffix(path, "/start") && !strings.Contains(string(body), `"Detach":true`):
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		exec := strings.Contains(string(body), `"Tty":false`)
		if q := r.URL.Query(); exec || q.Has("stdout") {
			fmt.Fprint(conn, "\x01\x00\x00\x00\x00\x00\x00\x04out\n")
		}
		if q := r.URL.Query(); exec || q.Has("stderr") {
			fmt.Fprint(conn, "\x02\x00\x00\x00\x00\x00\x00\x04err\n")
		}
		conn.Close()
	case path == "/containers/create" && missing:
		w.WriteHeader(404)
		fmt.Fprint(w, `{"message":"No such image: missing:latest"}`)
	case path == "/containers/create":
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"Id":"%s","Warnings":["take care"]}`, containerID)
	case path == "/images/create":
		fmt.Fprint(w, `{"status":"Pulled"}`)
	case strings.HasSuffix(path, "/wait"):
		fmt.Fprint(w, `{"StatusCode":3}`)
	case strings.HasSuffix(path, "/exec"):
		w.WriteHeader(201)
		fmt.Fprint(w, `{"Id":"e1"}`)
	case strings.HasPrefix(path, "/exec/") && r.Method == "GET":
		fmt.Fprint(w, `{"ExitCode":9}`)
	case strings.HasSuffix(path, "/json") && strings.HasPrefix(path, "/containers/") && path != "/containers/json":
		fmt.Fprintf(w, `{"Id":"%s","State":{"Running":true},"Config":{"OpenStdin":true},"HostConfig":{},"NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"9/udp":[{"HostIp":"1.2.3.4","HostPort":"10"}],"81/tcp":null}}}`, containerID)
	case strings.HasSuffix(path, "/update"):
		fmt.Fprint(w, `{"Warnings":["slow"]}`)
	case path == "/commit" || path == "/networks/create":
		w.WriteHeader(201)
		fmt.Fprint(w, `{"Id":"made"}`)
	case path == "/volumes/create":
		w.WriteHeader(201)
		fmt.Fprint(w, `{"Name":"made"}`)
	case strings.HasSuffix(path, "/prune"):
		fmt.Fprint(w, `{}`)
	case r.Method == "POST" || r.Method == "DELETE":
		w.WriteHeader(204)
	case path == "/containers/json" || path == "/networks" || strings.HasSuffix(path, "/changes") || strings.HasSuffix(path, "/checkpoints"):
		fmt.Fprint(w, `[]`)
	case path == "/volumes/v" && r.Method == "GET":
		fmt.Fprint(w, `{"CreatedAt":"2020-01-01T00:00:00Z","Driver":"local","Labels":null,"Mountpoint":"/v","Name":"v","Options":null,"Scope":"local"}`)
	case path == "/volumes":
		fmt.Fprint(w, `{"Volumes":[]}`)
	case strings.HasSuffix(path, "/top"):
		fmt.Fprint(w, `{"Titles":["PID"],"Processes":[["1"]]}`)
	case strings.HasSuffix(path, "/logs"):
		fmt.Fprint(w, "\x01\x00\x00\x00\x00\x00\x00\x02a\n")
	case strings.HasSuffix(path, "/export"):
		fmt.Fprint(w, "tar")
	default:
		fmt.Fprint(w, `{}`)
	}
}

// unordered are lists whose order docker leaves to chance.
var unordered = []string{"Env", "Binds", "Config"}

// canonical is a body with its fields in order. Fields that say nothing (null, "", 0, false) are
// left out: not so empty lists and objects, which can mean something.
func canonical(body []byte) string {
	var v any
	if len(body) == 0 || json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	text, _ := json.Marshal(saying(v, ""))
	return string(text)
}

func saying(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		for k, e := range v {
			if e == nil || e == "" || e == false || e == 0.0 {
				continue
			}
			out[k] = saying(e, k)
		}
		return out
	case []any:
		for i := range v {
			v[i] = saying(v[i], "")
		}
		if slices.Contains(unordered, key) {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
	return v
}
