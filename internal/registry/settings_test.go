package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/reference"
)

func certDir(t *testing.T, files map[string]string) string {
	t.Helper()
	return string(configured(t, files))
}

func TestSettings(t *testing.T) {
	s := Settings{
		Dir: configured(t, map[string]string{"filed.example/hosts.toml": `server = "https://other.example"`}),
		CertDirs: []string{
			certDir(t, map[string]string{"r.example:5000/a.crt": "A", "r.example:5000/b.crt": "B", "m.example/ca.crt": "M", "filed.example/ca.crt": "F"}),
			certDir(t, map[string]string{"r.example:5000/client.cert": "C", "r.example:5000/client.key": "K", "r.example:5000/README": "x"}),
			filepath.Join(t.TempDir(), "missing"),
		},
		Mirrors:  []string{"https://m.example", "http://n.example:5000/path/"},
		Insecure: []string{"plain.example", "10.1.0.0/16", "n.example:5000"},
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	get := func(domain string) []Host {
		t.Helper()
		hosts, err := s.Hosts(domain)
		if err != nil {
			t.Fatalf("%s: %v", domain, err)
		}
		for _, h := range hosts {
			if err := h.check(); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
		}
		return hosts
	}
	hub := get(reference.DefaultDomain)
	if len(hub) != 3 || hub[2].Mirror || hub[2].Scheme != "https" {
		t.Fatalf("docker.io: %+v", hub)
	}
	if m := hub[0]; m.Scheme != "https" || m.Path != "/v2" || !m.Mirror || m.Push || !m.Pull || !m.Resolve || string(m.CA) != "M\n" || m.SkipVerify {
		t.Errorf("first mirror: %+v", m)
	}
	if m := hub[1]; m.Scheme != "http" || m.Addr != "n.example:5000" || m.Path != "/path/v2" || m.Push {
		t.Errorf("second mirror: %+v", m)
	}
	r := get("r.example:5000")
	if len(r) != 1 || string(r[0].CA) != "A\nB\n" || len(r[0].Client) != 1 || string(r[0].Client[0].Key) != "K" || r[0].SkipVerify || r[0].Scheme != "https" || !r[0].Push {
		t.Errorf("certificates: %+v", r)
	}
	for domain, want := range map[string]bool{"plain.example": true, "plain.example:5000": false, "10.1.2.3:5000": true, "10.2.0.1": false, "other.example": false} {
		if h := get(domain)[0]; h.Insecure != want || h.SkipVerify != want || (h.Scheme == "") != want {
			t.Errorf("%s: %+v, want insecure %v", domain, h, want)
		}
	}
	if h := get("filed.example"); len(h) != 1 || h[0].Addr != "other.example" || len(h[0].CA) != 0 {
		t.Errorf("a hosts.toml is all there is: %+v", h)
	}
}

func TestSettingsRefused(t *testing.T) {
	for _, s := range []Settings{
		{Mirrors: []string{"m.example"}}, {Mirrors: []string{"ftp://m.example"}}, {Mirrors: []string{"https://u:secret@m.example"}}, {Mirrors: []string{"https://m.example?x"}},
		{Insecure: []string{"http://r.example"}}, {Insecure: []string{"a/b"}}, {Insecure: []string{""}},
	} {
		if err := s.Check(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for name, files := range map[string]map[string]string{
		"no key":  {"r.example/c.cert": "C"},
		"no cert": {"r.example/c.key": "K"},
	} {
		if _, err := (Settings{CertDirs: []string{certDir(t, files)}}).Hosts("r.example"); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := certDir(t, map[string]string{"r.example/x": ""})
	if err := os.Mkdir(filepath.Join(dir, "r.example", "d.crt"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := (Settings{CertDirs: []string{dir}}).Hosts("r.example"); err == nil {
		t.Error("a directory is read as a certificate")
	}
	if _, err := (Settings{CertDirs: []string{dir}}).Hosts("../r.example"); err == nil {
		t.Error("a path is taken for a domain")
	}
}

// TestInsecure: such a host's certificate is not looked at, and one that answers in plain HTTP is spoken to; others are not.
func TestInsecure(t *testing.T) {
	for _, secure := range []bool{true, false} {
		srv, _ := server(t, secure, serveIndex)
		net := network{"named.test:5000": srv.Listener.Addr(), "other.test:5000": srv.Listener.Addr()}
		client := New(Options{Hosts: Settings{Insecure: []string{"named.test:5000"}}, Transports: net.transports(), Limits: short})
		if _, err := client.Fetch(t.Context(), ref(t, "named.test:5000/a:1")); err != nil {
			t.Errorf("TLS %v, named: %v", secure, err)
		}
		if _, err := client.Fetch(t.Context(), ref(t, "other.test:5000/a:1")); err == nil {
			t.Errorf("TLS %v: a registry that is not named was spoken to", secure)
		}
	}
}
