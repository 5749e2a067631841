package snapshot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

func TestChoose(t *testing.T) {
	all := []Support{{EROFS, true, ""}, {Overlay, true, ""}, {Native, true, ""}}
	old := []Support{{EROFS, false, "no such file system"}, {Overlay, true, ""}, {Native, true, ""}}
	none := []Support{{EROFS, false, "a"}, {Overlay, false, "b"}, {Native, false, "c"}}
	for _, c := range []struct {
		name, existing, override string
		probed                   []Support
		want                     string
		fails                    func(error) bool
	}{
		{"the best", "", "", all, EROFS, nil},
		{"the best that works", "", "", old, Overlay, nil},
		{"asked for", "", Native, all, Native, nil},
		{"asked for wins over what is there", "overlay 1\n", Native, all, Native, nil},
		{"what is there", "overlay 1\n", "", all, Overlay, nil},
		{"asked for, does not work", "", EROFS, old, "", errdefs.IsFailedPrecondition},
		{"what is there does not work", "erofs 1\n", "", old, "", errdefs.IsFailedPrecondition},
		{"unknown", "", "zfs", all, "", errdefs.IsInvalidArgument},
		{"nothing works", "", "", none, "", errdefs.IsFailedPrecondition},
	} {
		dir := t.TempDir()
		if c.existing != "" {
			if err := os.WriteFile(filepath.Join(dir, "driver"), []byte(c.existing), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Choose(dir, c.override, c.probed)
		if got != c.want || (err != nil) != (c.fails != nil) || c.fails != nil && !c.fails(err) {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
	}
}
