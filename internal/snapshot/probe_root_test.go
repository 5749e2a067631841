package snapshot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootProbe: the probe leaves nothing, and says why a driver does not work.
func TestRootProbe(t *testing.T) {
	dir := t.TempDir()
	probed, err := Probe(dir)
	must(t, err)
	for _, p := range probed {
		t.Logf("%s: %v: %s", p.Driver, p.OK, p.Reason)
		if p.Reason == "" {
			t.Errorf("%s: no reason", p.Driver)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the probe left %v %v", entries, err)
	}
	if m := mountsBelow(t, dir); len(m) > 0 {
		t.Errorf("the probe left mounts: %v", m)
	}

	// On an overlay of its own (a container's root) overlayfs has no upper directory to offer.
	base := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		must(t, os.Mkdir(filepath.Join(base, d), 0o755))
	}
	opts := "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work"
	must(t, unix.Mount("overlay", base+"/merged", "overlay", 0, opts))
	defer unix.Unmount(base+"/merged", unix.MNT_DETACH)
	probed, err = Probe(base + "/merged/store")
	must(t, err)
	got, err := Choose(base+"/merged/store", "", probed)
	if err != nil || got != Native {
		t.Errorf("on an overlay: %q %v; probed %v", got, err, probed)
	}
	for _, p := range probed[:2] {
		if p.OK || !strings.Contains(p.Reason, map[string]string{EROFS: "on an overlay", Overlay: "upper"}[p.Driver]) {
			t.Errorf("on an overlay: %+v", p)
		}
	}
}

// TestRootReflink: copies share blocks where the file system can.
func TestRootReflink(t *testing.T) {
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		t.Skip("mkfs.xfs is not installed")
	}
	image := filepath.Join(t.TempDir(), "xfs.img")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(320<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs.xfs", "-q", "-m", "reflink=1", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.xfs: %v\n%s", err, out)
	}
	dir := mountLoop(t, image)
	probed, err := Probe(dir)
	must(t, err)
	if p := probed[2]; p.Reason != "copies share blocks" {
		t.Errorf("the probe: %+v", p)
	}
	s := open(t, dir+"/store", Native)
	const size = 64 << 20
	commit(t, s, "base", "", func(dir string) {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i >> 7)
		}
		must(t, os.WriteFile(dir+"/big", data, 0o644))
	})
	free := func() uint64 {
		unix.Sync()
		var st unix.Statfs_t
		must(t, unix.Statfs(dir, &st))
		return st.Bavail * uint64(st.Bsize)
	}
	before := free()
	commit(t, s, "child", "base", func(dir string) { write(t, dir+"/small", "x") })
	if used := int64(before) - int64(free()); used > size/4 {
		t.Errorf("a copy of a file of %d bytes took %d", size, used)
	}
	clean(t, s)
}
