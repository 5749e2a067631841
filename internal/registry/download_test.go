package registry

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDownload(t *testing.T) {
	var got http.Header
	plain, hits := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		switch r.URL.Path {
		case "/tar":
			io.WriteString(w, "archive")
		case "/again":
			http.Redirect(w, r, "http://files.example/tar", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/local":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case "/meta":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		case "/user":
			http.Redirect(w, r, "http://u:secret@files.example/tar", http.StatusFound)
		case "/stall":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/early":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begin")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	net := network{"files.example:80": plain.Listener.Addr()}
	limits := short
	limits.Idle = 200 * time.Millisecond
	client := New(Options{Transports: net.transports(), Limits: limits})
	read := func(url string) (string, error) {
		body, size, err := client.Download(t.Context(), url)
		if err != nil {
			return "", err
		}
		defer body.Close()
		data, err := io.ReadAll(body)
		return fmt.Sprint(size, " ", string(data)), err
	}
	for _, path := range []string{"/tar", "/again"} {
		if out, err := read("http://files.example" + path); err != nil || out != "7 archive" {
			t.Errorf("%s: %q, %v", path, out, err)
		}
		if got.Get("Referer") != "" || got.Get("Authorization") != "" {
			t.Errorf("%s: sent %v", path, got)
		}
	}
	before := hits.Load()
	for url, want := range map[string]string{
		"ftp://files.example/tar":             "want http://",
		"file:///etc/passwd":                  "want http://",
		"http:///tar":                         "want http://",
		"http://u:secret@files.example/tar":   "credentials",
		"http://localhost/tar":                "this machine",
		"http://127.0.0.1:2375/":              "this machine",
		"http://[::1]/tar":                    "this machine",
		"http://[::ffff:127.0.0.1]/tar":       "this machine",
		"http://169.254.169.254/latest":       "link-local",
		"http://[fe80::1%25eth0]/":            "link-local",
		"http://0.0.0.0/":                     "no host's address",
		"http://224.0.0.1/":                   "no host's address",
		"http://files.example:1/tar":          "no route",
		"http://" + strings.Repeat("a", 9000): "more than",
	} {
		if _, err := read(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60s: %v, want %q", url, err, want)
		}
	}
	if hits.Load() != before {
		t.Error("a refused URL was asked for")
	}
	for path, want := range map[string]string{
		"/round": "redirects", "/local": "this machine", "/meta": "link-local", "/user": "credentials", "/missing": "404", "/stall": "sent nothing", "/early": "unexpected EOF",
	} {
		if _, err := read("http://files.example" + path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestDownloadResolved: a name is judged by its address, at the socket.
func TestDownloadResolved(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{host, "ip6-localhost", "ip6-loopback"} {
		addrs, err := net.DefaultResolver.LookupHost(t.Context(), name)
		if err != nil || len(addrs) == 0 || slices.ContainsFunc(addrs, func(a string) bool { return !loopback(a) }) || loopback(name) {
			continue
		}
		_, _, err = New(Options{Limits: short}).Download(t.Context(), "http://"+name+":1/")
		if err == nil || !strings.Contains(err.Error(), "an address of this machine") {
			t.Errorf("%s, which is %v: %v", name, addrs, err)
		}
		return
	}
	t.Skip("no name here means this machine but localhost")
}
