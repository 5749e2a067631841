package volume

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRootPin(t *testing.T) {
	s := openStore(t, t.TempDir(), nil)
	v := create(t, s, CreateOptions{Name: "data"})
	must(t, os.MkdirAll(v.Mountpoint+"/sub", 0o755))
	must(t, os.WriteFile(v.Mountpoint+"/sub/file", []byte("x"), 0o644))
	path := t.TempDir()
	dir, err := os.Open(path)
	must(t, err)
	defer dir.Close()
	pin := func(sub, name string) (string, func() error) {
		t.Helper()
		h, err := s.Mount(t.Context(), MountRequest{Name: "data", User: "c", Subpath: sub})
		must(t, err)
		defer h.File.Close()
		p, release, err := Pin(h.File, dir, name)
		must(t, err)
		return p, release
	}
	p, release := pin("sub", "0")
	f, releaseFile := pin("sub/file", "1")
	// Whatever the container does to the name now, the directory stays the same.
	must(t, os.Rename(v.Mountpoint+"/sub", v.Mountpoint+"/moved"))
	must(t, os.Symlink("/", v.Mountpoint+"/sub"))
	if p != path+"/0" || len(entries(t, p)) != 1 {
		t.Errorf("%s: %v", p, entries(t, p))
	}
	if b, err := os.ReadFile(f); string(b) != "x" {
		t.Errorf("%s: %q %v", f, b, err)
	}
	// A runtime clones it in another mount namespace.
	fd, err := unix.OpenTree(unix.AT_FDCWD, p, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	defer unix.Close(fd)
	must(t, release())
	must(t, releaseFile())
	if e := entries(t, path); len(e) > 0 {
		t.Errorf("left: %v", e)
	}
	if _, err := os.Stat(v.Mountpoint + "/moved/file"); err != nil {
		t.Errorf("the volume's file: %v", err)
	}

	pin("moved", "0")
	pin("moved/file", "1")
	must(t, SweepPins(dir))
	if e := entries(t, path); len(e) > 0 {
		t.Errorf("left after the sweep: %v", e)
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), path) {
		t.Errorf("in the mount table: %v", err)
	}
}
