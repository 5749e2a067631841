package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func configured(t *testing.T, files map[string]string) HostsDir {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return HostsDir(dir)
}

const fullHosts = `
server = "https://upstream.example"
ca = ["ca1.pem", "ca2.pem"]
client = [["cert.pem", "key.pem"]]
realms = ["auth.example"]
chunk_size = 1048576

[host."https://z.example:5000"]
  capabilities = ["pull"]
  skip_verify = true
  [host."https://z.example:5000".header]
    x-one = "1"
    X-Two = ["a", "b"]

[host."http://a.example/prefix"]
  client = "both.pem"

[host."https://m.example/root"]
  override_path = true
  capabilities = ["pull", "resolve", "push"]
`

func TestHostsDir(t *testing.T) {
	dir := configured(t, map[string]string{
		"registry.example:5000/hosts.toml": fullHosts, "registry.example:5000/ca1.pem": "CA1", "registry.example:5000/ca2.pem": "CA2",
		"registry.example:5000/cert.pem": "CERT", "registry.example:5000/key.pem": "KEY", "registry.example:5000/both.pem": "BOTH",
	})
	hosts, err := dir.Hosts("registry.example:5000")
	if err != nil || len(hosts) != 4 {
		t.Fatalf("got %+v, %v", hosts, err)
	}
	z, a, m, up := hosts[0], hosts[1], hosts[2], hosts[3]
	if z.Addr != "z.example:5000" || !z.Mirror || !z.Pull || z.Resolve || z.Push || !z.SkipVerify || z.Path != "/v2" || z.Header.Get("X-One") != "1" || len(z.Header.Values("x-two")) != 2 || len(z.CA) != 0 {
		t.Errorf("first host: %+v", z)
	}
	if a.Scheme != "http" || a.Path != "/prefix/v2" || !a.Pull || !a.Resolve || a.Push || a.SkipVerify || string(a.Client[0].Key) != "BOTH" {
		t.Errorf("second host: %+v", a)
	}
	if m.Path != "/root" || !m.Push {
		t.Errorf("third host: %+v", m)
	}
	if up.Addr != "upstream.example" || up.Mirror || !up.Push || string(up.CA) != "CA1\nCA2\n" || string(up.Client[0].Cert) != "CERT" || string(up.Client[0].Key) != "KEY" || up.ChunkSize != 1<<20 || up.Realms[0] != "auth.example" {
		t.Errorf("upstream: %+v", up)
	}
}

// TestHostsDirOrder: hosts are asked in the order of the file.
func TestHostsDirOrder(t *testing.T) {
	text, want := "", ""
	for _, name := range strings.Fields("q w e r t y u i o p") {
		text += "[host.\"https://" + name + ".example\"]\n"
		want += name
	}
	hosts, err := configured(t, map[string]string{"r.example/hosts.toml": text}).Hosts("r.example")
	if err != nil || len(hosts) != 11 {
		t.Fatalf("got %d hosts, %v", len(hosts), err)
	}
	got := ""
	for _, h := range hosts[:10] {
		got += h.Addr[:1]
	}
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHostsDirDefaults(t *testing.T) {
	dir := configured(t, nil)
	for domain, want := range map[string]Host{
		"registry.example": {Scheme: "https", Addr: "registry.example"}, "docker.io": {Scheme: "https", Addr: "index.docker.io"},
		"localhost:5000": {Addr: "localhost:5000"}, "127.0.0.1": {Addr: "127.0.0.1"}, "[::1]:5000": {Addr: "[::1]:5000"}, "localhost.example": {Scheme: "https", Addr: "localhost.example"},
	} {
		got, err := dir.Hosts(domain)
		if err != nil || len(got) != 1 || got[0].Scheme != want.Scheme || got[0].Addr != want.Addr || !got[0].Push || got[0].Mirror {
			t.Errorf("%s: got %+v, %v", domain, got, err)
		}
	}
	dir = configured(t, map[string]string{"_default/hosts.toml": "[host.\"https://m.example\"]\n"})
	got, err := dir.Hosts("localhost:5000")
	if err != nil || len(got) != 2 || got[0].Addr != "m.example" || got[1].Addr != "localhost:5000" || got[1].Scheme != "" {
		t.Errorf("_default: got %+v, %v", got, err)
	}
}

func TestHostsDirRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`skip_verfy = true`:                               "skip_verfy",
		`server = "registry.example"`:                     "want https://",
		`server = "ftp://registry.example"`:               "want https://",
		`server = "https://user:secret@registry.example"`: "want https://",
		`ca = "missing.pem"`:                              "missing.pem",
		`ca = 5`:                                          "string",
		`client = [["a","b","c"]]`:                        "pairs",
		"[host.\"https://m.example\"]\ncapabilities = [\"delete\"]": "delete",
		"[host.\"https://m.example\"]\nskip_verify = \"yes\"":       "hosts.toml",
		`chunk_size = -1`:                   "chunk_size",
		`not toml`:                          "hosts.toml",
		`host = {"https://m.example" = {}}`: "tables",
	} {
		_, err := configured(t, map[string]string{"r.example/hosts.toml": text}).Hosts("r.example")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "r.example") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want something with %q", text, err, want)
		}
	}
	// A name is no path.
	for _, domain := range []string{"..", "../etc", "a/b", "", ".", "_default"} {
		if _, err := configured(t, nil).Hosts(domain); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: got %v", domain, err)
		}
	}
	dir := configured(t, map[string]string{"r.example/hosts.toml": strings.Repeat("#", maxConfig+1)})
	if _, err := dir.Hosts("r.example"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a file that is too large: got %v", err)
	}
	if err := os.MkdirAll(filepath.Join(string(dir), "d.example", "hosts.toml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Hosts("d.example"); err == nil {
		t.Error("a directory in the file's place: accepted")
	}
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte(fullHosts))
	f.Add([]byte(`[host."https://m.example"]`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		hosts, err := parseHosts("r.example", dir, raw)
		if err != nil {
			return
		}
		for _, h := range hosts {
			if h.Scheme != "https" && h.Scheme != "http" || h.Addr == "" {
				t.Fatalf("%q: host %+v", raw, h)
			}
		}
	})
}
