package images

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootDiskFull: an image that does not fit is one clear error, by each way in; the daemon lives, nothing is left,
// also after kill -9, and with more space the same image comes in.
func TestRootDiskFull(t *testing.T) {
	requires(t)
	noise := make([]byte, 20<<20)
	_, _ = rand.Read(noise)
	big := payloadOf(layer(t, text("noise", string(noise))))
	long := payloadOf(zipped(t, layer(t, text("lines", strings.Repeat("the same line again\n", 3<<20)))))
	for _, e := range entryPoints {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			dir := workDir(t, "full")
			d := startOnDisk(t, dir, "overlay", 150)
			reg := startShelf(t)
			// The databases have had their first growth, and the sweep of the start is over.
			if err := e.send(d, reg, payloadOf(layer(t, text("first", "first\n")))); err != nil {
				t.Fatal(err)
			}
			d.ok(t, "image", "prune", "-af")
			nothingLeft(t, d)
			before := d.used(t)
			for _, c := range []struct {
				what  string
				free  int64 // MiB
				image payload
			}{{"not even the database grows", 0, big}, {"too small for the blob", 40, big}, {"too small for the layer", 56, long}} {
				ballast := filepath.Join(d.dataDir(), "ballast")
				fill(t, ballast, d.free(t)-c.free<<20)
				full := d.used(t)
				err := e.send(d, reg, c.image)
				if err == nil || !strings.Contains(err.Error(), "no space left on device") || strings.Contains(err.Error(), "broke") {
					t.Errorf("%s: %v", c.what, err)
				}
				t.Logf("%s: %v", c.what, err)
				d.backTo(t, full)
				fsck(t, d)
				if out := d.ok(t, "images", "-q"); out != "" {
					t.Errorf("%s: there is an image: %s", c.what, out)
				}
				d.kill()
				d = reopenDisk(t, dir, "overlay")
				fsck(t, d)
				if err := os.Remove(filepath.Join(d.dataDir(), "ballast")); err != nil {
					t.Fatal(err)
				}
				if err := e.send(d, reg, c.image); err != nil {
					t.Errorf("%s, with space again: %v", c.what, err)
				}
				fsck(t, d)
				// What is there can be removed when there is no space at all.
				fill(t, filepath.Join(d.dataDir(), "ballast"), 1<<40)
				d.ok(t, "rmi", "-f", strings.Fields(d.ok(t, "images", "-q"))[0])
				if err := os.Remove(filepath.Join(d.dataDir(), "ballast")); err != nil {
					t.Fatal(err)
				}
				d.backTo(t, before)
				fsck(t, d)
			}
		})
	}
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fill makes a file of n bytes, or of what there is space for.
func fill(t *testing.T, path string, n int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for left := n; left > 0 && len(block) > 0; {
		w, err := f.Write(block[:min(left, int64(len(block)))])
		left -= int64(w)
		if err != nil {
			block = block[:len(block)/2] // until not a byte fits
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
