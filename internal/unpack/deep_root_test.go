package unpack

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRootDeepNames: a name of a kilobyte costs what its length is worth, whatever the layers below have: directories that
// no entry gives are not looked for from the root again for each of those above them.
func TestRootDeepNames(t *testing.T) {
	deep := strings.Repeat("d/", 600)
	layer := func(names ...string) *bytes.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, n := range names {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: n, Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b.Bytes())
	}
	base := t.TempDir()
	for _, d := range []string{"lower", "upper", "bottom"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := asRoot
	o.Whiteouts = Overlay
	o.Lowers = []*os.File{}
	begun := time.Now()
	if _, err := extractTo(t, filepath.Join(base, "bottom"), layer(deep+"x"), o); err != nil {
		t.Fatal(err)
	}
	bottom := time.Since(begun)
	if _, err := extractTo(t, filepath.Join(base, "lower"), layer(deep+"x"), o); err != nil {
		t.Fatal(err)
	}
	o.Lowers = []*os.File{open(t, filepath.Join(base, "lower"))}
	begun = time.Now()
	if _, err := extractTo(t, filepath.Join(base, "upper"), layer(deep+"y"), o); err != nil {
		t.Fatal(err)
	}
	above := time.Since(begun)
	t.Logf("as the lowest layer %v, above another %v", bottom, above)
	if bottom > 2*time.Second || above > 4*time.Second {
		t.Errorf("600 directories took %v as the lowest layer, %v above another", bottom, above)
	}
}
