package keel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootCreateRefusesADirectory: a program that cannot be one is refused at create, as by
// runc, in the words that engines turn into exit status 126, and nothing is left.
func TestRootCreateRefusesADirectory(t *testing.T) {
	keel := os.Getenv("HULL_KEEL")
	if keel == "" {
		t.Fatal("HULL_KEEL is not set; run `make test-root`")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "rootfs", "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/etc"],"cwd":"/","user":{"uid":0,"gid":0}},"linux":{"namespaces":[{"type":"mount"},{"type":"pid"}]}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	out, err := exec.Command(keel, "--root", state, "create", "-b", dir, "directory").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `exec: "/etc": permission denied`) {
		t.Errorf("create of a directory: %v, %s", err, out)
	}
	if left, _ := os.ReadDir(state); len(left) > 0 {
		t.Errorf("left in the state directory: %v", left)
	}
}
