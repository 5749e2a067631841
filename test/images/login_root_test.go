package images

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootLogin: login, push, pull and logout at registries that want a password or a token, over TLS with an authority
// of certs.d, by docker's client and by hull; credentials in config.json, or with helpers, which then keep them alone.
func TestRootLogin(t *testing.T) {
	requires(t)
	for kind, auth := range map[string]func(*authority, *testing.T) string{"basic": (*authority).basic, "token": (*authority).tokens} {
		t.Run(kind, func(t *testing.T) {
			a := newAuthority(t)
			registry := startRegistryWith(t, auth(a, t), a.dir)
			d := startHulldWith(t, workDir(t, "login"), nil, "--registry-cert-dir", a.trust(t, registry))
			fixture := filepath.Join(d.dir, "fixtures.tar")
			if err := os.WriteFile(fixture, fixtures(t), 0o600); err != nil {
				t.Fatal(err)
			}
			d.ok(t, "load", "-i", fixture)
			for _, client := range []string{d.client, program(t, "hull")} {
				d.client = client
				for _, store := range []string{"", "credsStore", "credHelpers"} {
					t.Run(filepath.Base(client)+"/"+store, func(t *testing.T) { login(t, d, registry, store) })
				}
			}
		})
	}
}

func login(t *testing.T, d *daemon, registry, store string) {
	config, kept := clientConfig(t, d, registry, store)
	image := registry + "/login:1"
	d.ok(t, "tag", "one:1", image)
	if r := d.do("push", "-q", image); r.code == 0 {
		t.Fatal("a push without a login")
	}
	if r := d.feed([]byte("wrong-word\n"), "login", "-u", userName, "--password-stdin", registry); r.code == 0 || strings.Contains(r.out+r.err, "wrong-word") {
		t.Errorf("with a wrong password: %d %s%s", r.code, r.out, r.err)
	}
	r := d.feed([]byte(password+"\n"), "login", "-u", userName, "--password-stdin", registry)
	if r.code != 0 || !strings.Contains(r.out, "Login Succeeded") {
		t.Fatalf("login: %d %s%s\n%s", r.code, r.out, r.err, d.log())
	}
	file := readFile(t, config)
	if inFile := strings.Contains(file, `"auth"`); inFile != (store == "") {
		t.Errorf("credentials in config.json: %v, with store %q:\n%s", inFile, store, file)
	}
	if store != "" && !strings.Contains(readFile(t, kept), password) {
		t.Error("the helper was not given the password")
	}
	d.ok(t, "push", "-q", image)
	d.ok(t, "rmi", image)
	d.ok(t, "pull", "-q", image)
	if r := d.do("pull", "-q", registry+"/login:none"); r.code == 0 || !strings.Contains(r.err, "not found") {
		t.Errorf("a tag that is not there: %d %s", r.code, r.err)
	}
	d.ok(t, "logout", registry)
	if _, err := os.Stat(kept); store != "" && err == nil {
		t.Error("the helper has the credentials after logout")
	}
	if strings.Contains(readFile(t, config), `"auth":`) {
		t.Error("config.json has credentials after logout")
	}
	if r := d.do("push", "-q", image); r.code == 0 {
		t.Error("a push after logout")
	}
	if log := d.log(); strings.Contains(log, password) || strings.Contains(log, "wrong-word") {
		t.Error("the log has a password")
	}
	d.ok(t, "rmi", image)
}

// clientConfig writes config.json and, for the stores, a helper; kept is where the helper keeps what it is given.
func clientConfig(t *testing.T, d *daemon, registry, store string) (config, kept string) {
	t.Helper()
	dir := filepath.Join(d.dir, "client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	content := map[string]any{}
	switch store {
	case "credsStore":
		content[store] = "hulltest"
	case "credHelpers":
		content[store] = map[string]string{registry: "hulltest"}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	config, kept = filepath.Join(dir, "config.json"), filepath.Join(dir, "kept")
	script := fmt.Sprintf("#!/bin/sh\ncase $1 in\nstore) cat >%[1]s;;\nget) if [ -s %[1]s ]; then cat %[1]s; else echo 'credentials not found in native keychain'; exit 1; fi;;\nerase) rm -f %[1]s;;\nlist) echo '{}';;\nesac\n", kept)
	if err := os.WriteFile(config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-hulltest"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(kept)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return config, kept
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
