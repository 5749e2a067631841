package build

import (
	"os"
	"path/filepath"
	"testing"
)

func openDir(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := openPath(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestSelectorStaysInside: a link in a mount's source leads to nothing outside of it (CVE-2024-1753,
// CVE-2024-23651).
func TestSelectorStaysInside(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	if err := os.WriteFile(outside+"/canary", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, root+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"link/canary", "../" + filepath.Base(outside) + "/canary", "/link/canary"} {
		if f, err := inside(openDir(t, root), s); err == nil {
			f.Close()
			t.Errorf("%s opens something", s)
		}
	}
}

// TestStubsAreRemovedInside: an instruction that puts a link in the place of a mount point's parent
// makes nothing outside go away (CVE-2024-23652); an empty one goes, one with bytes stays.
func TestStubsAreRemovedInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	root := openDir(t, dir)
	clean, err := findStubs(root, []string{"a/b", "m", "full"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside+"/b", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Symlink(outside, dir+"/a"), os.Mkdir(dir+"/m", 0o755), os.WriteFile(dir+"/full", []byte("x"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(outside + "/b"); err != nil {
		t.Error("a file outside was removed:", err)
	}
	if _, err := os.Stat(dir + "/m"); err == nil {
		t.Error("an empty mount point stayed")
	}
	if _, err := os.Stat(dir + "/full"); err != nil {
		t.Error("a file with bytes in it was removed:", err)
	}
}
