package hulld

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConfig: the file's values, flags above them, and what is wrong.
func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hulld.toml")
	text := `
data-root = "/data"
hosts = ["unix:///run/a.sock"]
registry-mirrors = ["https://m.example"]
insecure-registries = ["r.example:5000", "10.0.0.0/8"]
registry-cert-dirs = ["/certs"]
max-concurrent-downloads = 7
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse([]string{"--config", file, "--registry-mirror", "https://a.example", "--registry-mirror", "http://b.example"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := c.registries()
	if c.DataRoot != "/data" || c.Parallel != 7 || c.Hosts[0] != "unix:///run/a.sock" || !slices.Equal(s.Insecure, []string{"r.example:5000", "10.0.0.0/8"}) ||
		!slices.Equal(s.CertDirs, []string{"/certs"}) || !slices.Equal(s.Mirrors, []string{"https://a.example", "http://b.example"}) || s.Dir != "/etc/hull/certs.d" {
		t.Errorf("got %+v", c)
	}
	if c, err = parse([]string{"--config", "/dev/null"}, io.Discard); err != nil || !slices.Equal(c.CertDirs, []string{"/etc/hull/certs.d", "/etc/docker/certs.d"}) {
		t.Errorf("without settings: %+v, %v", c, err)
	}
	for args, want := range map[string]string{
		"--registry-mirror m.example":                   "want https://",
		"--insecure-registry http://r.example":          "want host",
		"--max-concurrent-downloads 65":                 "want 1 to 64",
		"--host tcp://0.0.0.0:2375":                     "unix:///PATH only",
		"--data-root relative":                          "not an absolute path",
		"--log-level loud":                              "log level",
		"--config " + filepath.Dir(file) + "/not-there": "no such file",
		"argument": "takes no arguments",
	} {
		if _, err := parse(append([]string{"--config", file}, strings.Fields(args)...), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
