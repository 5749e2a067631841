package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootRequests runs each command line of testdata/requests.txt with both clients.
func TestRootRequests(t *testing.T) {
	requires(t)
	recent(t)
	e := startEngine(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"env":     "\ufeffA=1\n# none\n\n  B=two words\nFROM_HERE\nNOT_HERE\nC=\n",
		"badenv":  "A B=1\n",
		"noname":  "=1\n",
		"labels":  "l1=v1\nl2\nl3=a=b\n",
		"seccomp": "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n",
		"notjson": "{",
		"cid":     "there",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	theirs := &client{program: docker(t), host: e.host, dir: dir, config: t.TempDir()}
	own := &client{program: hull(t), host: e.host, dir: dir, config: t.TempDir()}
	config := `{"detachKeys":"ctrl-a,q","proxies":{"default":{"httpProxy":"http://p:1","noProxy":"x"}}}`
	for _, c := range []*client{theirs, own} {
		if err := os.WriteFile(filepath.Join(c.config, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases, differ := 0, 0
	for n, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "version ") {
			e.version = strings.TrimPrefix(line, "version ")
		}
		line, why, _ := strings.Cut(line, " ## ")
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "version ") {
			continue
		}
		cases++
		args := words(line)
		want := theirs.run(nil, args...)
		wantAsked := e.take()
		got := own.run(nil, args...)
		gotAsked := e.take()
		want.err, want.out = ours(want.err), ours(want.out)
		same := got.code == want.code && got.out == want.out && got.err == want.err && strings.Join(gotAsked, "\n") == strings.Join(wantAsked, "\n")
		if why != "" {
			differ++
			if same {
				t.Errorf("line %d: %s: both do the same, but the case says that hull differs: %s", n+1, line, why)
			}
			continue
		}
		if !same {
			t.Errorf("line %d, API %s: %s\n--- docker: exit %d, asked\n%s\n%s%s--- hull: exit %d, asked\n%s\n%s%s", n+1, e.version, line,
				want.code, strings.Join(wantAsked, "\n"), want.out, want.err, got.code, strings.Join(gotAsked, "\n"), got.out, got.err)
		}
	}
	t.Logf("%d command lines, %d of which differ for a reason", cases, differ)
	if cases < 150 {
		t.Errorf("only %d command lines", cases)
	}
}
