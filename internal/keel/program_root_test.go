package keel

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootCreateRefusesADirectory: a program that cannot be one is refused at create, as by
// runc, in the words that engines turn into exit status 126, and nothing is left.
func TestRootCreateRefusesADirectory(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) { s.Process.Args = []string{"/etc"} })
	if err := os.Mkdir(filepath.Join(b.bundle, "rootfs", "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.refused(1, `exec: "/etc": permission denied`, "create", "-b", b.bundle, "directory")
	if left, _ := os.ReadDir(b.state); len(left) > 0 {
		t.Errorf("left in the state directory: %v", left)
	}
}
