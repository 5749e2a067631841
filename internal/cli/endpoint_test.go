package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseHost(t *testing.T) {
	for in, want := range map[string]string{
		"":                "unix /run/hull/hull.sock",
		"unix:///x":       "unix /x",
		"unix://":         "unix /run/hull/hull.sock",
		"tcp://h":         "tcp h:2375",
		"tcp://h:1":       "tcp h:1",
		"tcp://[::1]:1/":  "tcp [::1]:1",
		"tcp://[::1]":     "tcp [::1]:2375",
		"h:1":             "tcp h:1",
		"tcp://:1":        "tcp localhost:1",
		"ssh://u@h:22":    "ssh u@h:22",
		"tcp://h:0":       "error",
		"tcp://h:x":       "error",
		"npipe://x":       "error",
		"fd://x":          "error",
		"ssh://-oProxy=x": "error",
		"ssh://-l@h":      "error",
		"ssh://u:p@h":     "error",
		"ssh://h/path":    "error",
		"ssh://":          "error",
	} {
		e, err := parseHost(in, false)
		got := e.network + " " + e.address
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s (%v), want %s", in, got, err, want)
		}
	}
	if e, _ := parseHost("tcp://h", true); e.address != "h:2376" {
		t.Errorf("secure: %s", e.address)
	}
}

// certificate makes a certificate of 127.0.0.1, which is its own authority.
func certificate(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	for name, data := range map[string][]byte{"ca.pem": cert, "cert.pem": cert, "key.pem": private} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestTLS: the daemon's certificate is checked, hull's is shown, also through a context.
func TestTLS(t *testing.T) {
	certs, other := t.TempDir(), t.TempDir()
	pair := certificate(t, certs)
	certificate(t, other)
	pool := x509.NewCertPool()
	ca, _ := os.ReadFile(filepath.Join(certs, "ca.pem"))
	pool.AppendCertsFromPEM(ca)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: &recorder{version: "1.41"}, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	host := "tcp://" + l.Addr().String()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	run := func(dir string, args ...string) (int, string) {
		files := []string{"--tlscacert", dir + "/ca.pem", "--tlscert", dir + "/cert.pem", "--tlskey", dir + "/key.pem"}
		code, _, errs := hull(t, host, append(files, args...)...)
		return code, errs
	}
	if code, errs := run(certs, "--tlsverify", "rm", "x"); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, errs := run(other, "--tlsverify", "rm", "x"); code != 1 || !strings.Contains(errs, "certificate") {
		t.Errorf("another authority: exit %d: %s", code, errs)
	}
	if code, errs := run(certs, "--tls", "rm", "x"); code != 1 || !strings.Contains(errs, "use --tlsverify") {
		t.Errorf("--tls: exit %d: %s", code, errs)
	}
	if code, _, errs := hull(t, "", "context", "create", "safe", "--docker", "host="+host+",ca="+certs+"/ca.pem,cert="+certs+"/cert.pem,key="+certs+"/key.pem"); code != 0 {
		t.Fatalf("context create: %s", errs)
	}
	if code, _, errs := hull(t, "", "-c", "safe", "rm", "x"); code != 0 {
		t.Errorf("by context: exit %d: %s", code, errs)
	}
}

// TestSSH: ssh is run with the host behind "--", and joined to the daemon.
func TestSSH(t *testing.T) {
	host, asked := fakeDaemon(t, map[string]string{"DELETE /containers/x": ""})
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$@\" > " + dir + "/args\nHULL_TEST_DIAL=" + host + " exec " + self + " -test.run TestDialForSSH\n"
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	code, out, errs := hull(t, "ssh://me@there:2222", "rm", "x")
	args, _ := os.ReadFile(filepath.Join(dir, "args"))
	if code != 0 || out != "x\n" || !strings.HasPrefix(string(args), "-o ConnectTimeout=30 -T -l me -p 2222 -- there ") || len(*asked) != 1 {
		t.Errorf("exit %d %s %s, ssh %s, asked %q", code, out, errs, args, *asked)
	}
}

// TestDialForSSH is the other host's hull of TestSSH.
func TestDialForSSH(t *testing.T) {
	host := os.Getenv("HULL_TEST_DIAL")
	if host == "" {
		return // it runs for TestSSH only
	}
	app := &App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: func(k string) string {
		if k == "HULL_HOST" {
			return host
		}
		return ""
	}}
	os.Exit(app.Main([]string{"system", "dial-stdio"}))
}

// TestContexts: their whole life, and the order in which a daemon is chosen.
func TestContexts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths":{"r.io":{"auth":"eDp5"}},"other":[1]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		env, args, out, errs string
		code                 int
	}{
		{"", "context create one --docker host=unix:///one --description first", "one\n", "Successfully created context \"one\"\n", 0},
		{"", "context create one --docker host=unix:///one", "", "context \"one\" already exists\n", 1},
		{"", "context create default", "", "\"default\" is a reserved context name\n", 1},
		{"", "context create a/b", "", "context name \"a/b\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\"\n", 1},
		{"", "context create bad --docker host=foo://x", "", "unable to create docker endpoint config: invalid docker endpoint options: unable to parse docker host `foo://x`: hull speaks to unix:///PATH, tcp://HOST:PORT and ssh://HOST\n", 1},
		{"", "context create bad --docker skip-tls-verify=true,host=tcp://h", "", "unable to create docker endpoint config: hull always verifies the daemon's certificate; skip-tls-verify is not possible\n", 1},
		{"", "context create two --from one", "two\n", "Successfully created context \"two\"\n", 0},
		{"", "context update two --docker host=unix:///two --description second", "two\n", "Successfully updated context \"two\"\n", 0},
		{"", "context use two", "two\n", "Current context is now \"two\"\n", 0},
		{"", "context show", "two\n", "", 0},
		{"unix:///env", "context show", "default\n", "", 0},
		{"unix:///env", "-c one context show", "one\n", "", 0},
		{"", "-H unix:///opt context show", "default\n", "", 0},
		{"", "context ls --format {{.Name}}={{.DockerEndpoint}}={{.Current}}", "default=unix:///run/hull/hull.sock=false\none=unix:///one=false\ntwo=unix:///two=true\n", "", 0},
		{"", "context ls -q", "default\none\ntwo\n", "", 0},
		{"", "context inspect -f {{.Name}}:{{.Endpoints.docker.Host}} one default", "one:unix:///one\ndefault:unix:///run/hull/hull.sock\n", "", 0},
		{"", "ps", "", "cannot connect to hulld at unix:///two. Is it running? (dial unix /two: connect: no such file or directory)\n", 1},
		{"unix:///env", "ps", "", "cannot connect to hulld at unix:///env. Is it running? (dial unix /env: connect: no such file or directory)\n", 1},
		{"", "-c one ps", "", "cannot connect to hulld at unix:///one. Is it running? (dial unix /one: connect: no such file or directory)\n", 1},
		{"", "-c one -H unix:///x ps", "", "conflicting options: cannot specify both --host and --context\n", 1},
		{"", "context export one", "", "Written file \"one.dockercontext\"\n", 0},
		{"", "context export one", "", "open one.dockercontext: file exists\n", 1},
		{"", "context import three one.dockercontext", "three\n", "Successfully imported context \"three\"\n", 0},
		{"", "context inspect -f {{.Name}}:{{.Endpoints.docker.Host}}:{{.Metadata.Description}} three", "three:unix:///one:first\n", "", 0},
		{"", "context rm two", "", "context \"two\" is in use, set -f flag to force remove\n", 1},
		{"", "context rm -f two one", "two\none\n", "", 0},
		{"", "context rm none default", "", "context \"none\" does not exist\ncontext \"default\" cannot be removed\n", 1},
		{"", "context show", "default\n", "", 0},
		{"", "-c none ps", "", "context \"none\": context not found: open META: no such file or directory\n", 1},
	} {
		code, out, errs := hull(t, c.env, strings.Fields(c.args)...)
		errs = strings.ReplaceAll(errs, filepath.Join(dir, "contexts", "meta", "140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe", "meta.json"), "META")
		if code != c.code || out != c.out || errs != c.errs {
			t.Errorf("hull %s: exit %d\n%s%s--- want exit %d\n%s%s", c.args, code, out, errs, c.code, c.out, c.errs)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !strings.Contains(string(raw), `"eDp5"`) || !strings.Contains(string(raw), `"other"`) || strings.Contains(string(raw), "currentContext") {
		t.Errorf("config.json: %s %v", raw, err)
	}
}
