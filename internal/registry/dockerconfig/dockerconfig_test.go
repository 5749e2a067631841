package dockerconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/registry"
)

func config(t *testing.T, text string) File {
	t.Helper()
	f := File{filepath.Join(t.TempDir(), "config.json")}
	if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// flat shows a credential, which does not print.
func flat(c registry.Credential) string {
	return strings.Join([]string{c.Username, c.Password, c.IdentityToken, c.RegistryToken}, "|")
}

const auths = `{
  "auths": {
    "https://index.docker.io/v1/": {"auth": "aHViOmh1YnBhc3M6d2l0aDpjb2xvbnM="},
    "registry.example": {"username": "u", "password": "p"},
    "https://old.example/v1/": {"auth": "b2xkOnBhc3M="},
    "id.example": {"auth": "dToAAA==", "identitytoken": "idt"},
    "tok.example": {"registrytoken": "rt"},
    "broken.example": {"auth": "c2VjcmV0LW5vLWNvbG9u"},
    "helped.example": {}
  },
  "credHelpers": {"helped.example": "fake"},
  "HttpHeaders": {"X": "y"}
}`

func TestCredential(t *testing.T) {
	f := config(t, auths)
	for host, want := range map[string]string{
		"docker.io": "hub|hubpass:with:colons||", "registry.example": "u|p||", "old.example": "old|pass||", "id.example": "u||idt|", "tok.example": "|||rt", "other.example": "|||",
		"registry.example:5000": "|||", "sub.registry.example": "|||",
	} {
		got, err := f.Credential(t.Context(), host)
		if err != nil || flat(got) != want {
			t.Errorf("%s: got %s, %v, want %s", host, flat(got), err, want)
		}
	}
	if _, err := f.Credential(t.Context(), "broken.example"); err == nil || strings.Contains(err.Error(), "c2Vj") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken entry: got %v", err)
	}
	if c, err := (File{"/nonexistent/config.json"}).Credential(t.Context(), "x"); err != nil || flat(c) != "|||" {
		t.Errorf("no file: got %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	for _, text := range []string{`{"auths": {"a": {"auth": "c2VjcmV0OnNlY3JldA=="}`, `{"auths": "secret"}`, `["secret"]`, `{"credsStore": {"secret": 1}}`, strings.Repeat(" ", maxFile+1)} {
		_, err := config(t, text).Credential(t.Context(), "a")
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%.60q: got %v", text, err)
		}
	}
	fifo := filepath.Join(t.TempDir(), "config.json")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := (File{fifo}).Credential(t.Context(), "a"); err == nil || time.Since(start) > 2*time.Second {
		t.Errorf("a named pipe: got %v after %v", err, time.Since(start))
	}
}

func TestStoreAndErase(t *testing.T) {
	f := config(t, auths)
	link := File{filepath.Join(t.TempDir(), "config.json")}
	if err := os.Symlink(f.Path, link.Path); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"old.example", "docker.io", "new.example"} {
		if err := link.Store(t.Context(), host, registry.Credential{Username: "n", Password: "w"}); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Credential(t.Context(), host); err != nil || flat(got) != "n|w||" {
			t.Errorf("%s: got %s, %v", host, flat(got), err)
		}
	}
	raw, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Auths   map[string]any
		Headers map[string]string `json:"HttpHeaders"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil || doc.Headers["X"] != "y" || doc.Auths["https://old.example/v1/"] != nil || doc.Auths["https://index.docker.io/v1/"] == nil || doc.Auths["registry.example"] == nil {
		t.Errorf("the file is now %s", raw)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link.Path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link to the file was replaced")
	}
	if err := f.Store(t.Context(), "new.example", registry.Credential{Username: "n", IdentityToken: "i"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Credential(t.Context(), "new.example"); flat(got) != "n||i|" {
		t.Errorf("identity token: got %s", flat(got))
	}
	if err := f.Erase(t.Context(), "new.example"); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.Credential(t.Context(), "new.example"); flat(got) != "|||" {
		t.Errorf("erased: got %s", flat(got))
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Path), ".config*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
	fresh := File{filepath.Join(t.TempDir(), "a", "b", "config.json")}
	if err := fresh.Store(t.Context(), "x.example", registry.Credential{Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
}

// fakeHelper puts docker-credential-NAME into PATH, a shell script.
func fakeHelper(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "docker-credential-"+name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return path
}

const keyring = `
db="$HOME/db"
case "$1" in
get) key=$(cat); if [ -f "$db" ] && grep -q "\"ServerURL\":\"$key\"" "$db"; then cat "$db"; else echo "credentials not found in native keychain"; exit 1; fi ;;
store) cat > "$db" ;;
erase) rm -f "$db" ;;
esac
`

func TestHelper(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	fakeHelper(t, "fake", keyring)
	f := config(t, `{"credsStore": "fake"}`)
	for _, c := range []registry.Credential{{Username: "u", Password: "pass word\"'$"}, {IdentityToken: "idt"}} {
		if got, err := f.Credential(t.Context(), "docker.io"); err != nil || flat(got) != "|||" {
			t.Errorf("before: got %s, %v", flat(got), err)
		}
		if err := f.Store(t.Context(), "docker.io", c); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Credential(t.Context(), "docker.io"); err != nil || flat(got) != flat(c) {
			t.Errorf("got %s, %v, want %s", flat(got), err, flat(c))
		}
		if raw, _ := os.ReadFile(f.Path); strings.Contains(string(raw), "pass word") || !strings.Contains(string(raw), "https://index.docker.io/v1/") {
			t.Errorf("the file is %s", raw)
		}
		if err := f.Erase(t.Context(), "docker.io"); err != nil {
			t.Fatal(err)
		}
	}
	f = config(t, `{"credHelpers": {"one.example": "fake"}, "credsStore": "none-such", "auths": {"two.example": {"username": "u", "password": "p"}}}`)
	if got, err := f.Credential(t.Context(), "one.example"); err != nil || flat(got) != "|||" {
		t.Errorf("a helper of one registry: got %s, %v", flat(got), err)
	}
	// A store that is not there is an error, and not the file's own entry.
	if _, err := f.Credential(t.Context(), "two.example"); err == nil || !strings.Contains(err.Error(), "docker-credential-none-such is not in PATH") {
		t.Errorf("a store that is not there: got %v", err)
	}
}

func TestHelperIsBounded(t *testing.T) {
	for script, want := range map[string]string{
		`echo secret-in-output; exit 3`:                "ended with exit status 3",
		`while :; do echo secret-in-output; done`:      "more than",
		`echo '{"Username": secret-in-output'`:         "cannot be read",
		`kill -9 $$`:                                   "signal: killed",
		`env | grep -q SECRET && exit 9; exit 5`:       "exit status 5",
		`[ "$(pwd)" = / ] && exit 6`:                   "exit status 6",
		`echo "secret-in-output" >&2; exit 4`:          "exit status 4",
		`[ "$1" = get ] && [ "$(cat)" = h ] && exit 7`: "exit status 7",
	} {
		t.Run(want, func(t *testing.T) {
			t.Setenv("SECRET", "of-the-daemon")
			fakeHelper(t, "bad", script)
			start := time.Now()
			c, err := config(t, `{"credsStore": "bad"}`).Credential(t.Context(), "h")
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-in-output") || flat(c) != "|||" {
				t.Errorf("%s: got %v, want something with %q", script, err, want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s took %v", script, took)
			}
		})
	}
	// One that hangs, and has a child that keeps its output open.
	fakeHelper(t, "hung", "sleep 1000 & echo $! > $HOME/child; sleep 1000\n")
	t.Setenv("HOME", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := config(t, `{"credsStore": "hung"}`).Credential(ctx, "h"); err == nil {
		t.Error("a helper that hangs: no error")
	}
	raw, err := os.ReadFile(os.Getenv("HOME") + "/child")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(raw), &pid)
	for range 50 {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the helper's child %d lives on", pid)
}

func TestHelperIsTrusted(t *testing.T) {
	for _, name := range []string{"../x", "a/b", "", "a b", "a;b", strings.Repeat("a", 100), "é"} {
		if _, err := helper(name).find(); err == nil {
			t.Errorf("the name %.20q: accepted", name)
		}
	}
	path := fakeHelper(t, "open", "exit 0")
	if _, err := helper("open").find(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := helper("open").find(); err == nil || !strings.Contains(err.Error(), "written by others") {
		t.Errorf("a helper that anybody may write: got %v", err)
	}
	os.Chmod(path, 0o755)
	os.Chmod(filepath.Dir(path), 0o777)
	if _, err := helper("open").find(); err == nil || !strings.Contains(err.Error(), "written by others") {
		t.Errorf("a helper in a directory that anybody may write: got %v", err)
	}
	if os.Geteuid() == 0 {
		os.Chmod(filepath.Dir(path), 0o755)
		os.Chown(path, 12345, 0)
		if _, err := helper("open").find(); err == nil || !strings.Contains(err.Error(), "belongs to neither") {
			t.Errorf("a helper of another user: got %v", err)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(auths))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		file := File{filepath.Join(dir, "config.json")}
		if err := os.WriteFile(file.Path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		doc, err := file.read()
		if err != nil || doc.helper("registry.example") != "" {
			return
		}
		file.Credential(t.Context(), "registry.example")
	})
}
