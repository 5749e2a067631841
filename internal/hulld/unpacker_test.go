package hulld

import (
	"slices"
	"testing"
)

// TestOverlayDirs: directories come out of mount options as overlayfs would read them.
func TestOverlayDirs(t *testing.T) {
	for _, c := range []struct {
		options []string
		upper   string
		lowers  []string
	}{
		{[]string{"index=off", "upperdir=/s/3/fs", "workdir=/s/3/work", "lowerdir=/s/2/fs:/s/1/fs"}, "/s/3/fs", []string{"/s/2/fs", "/s/1/fs"}},
		{[]string{"lowerdir+=/a:b", "lowerdir+=/c"}, "", []string{"/a:b", "/c"}},
		{[]string{`lowerdir=/a\:b:/c\\d`}, "", []string{"/a:b", `/c\d`}},
	} {
		upper, lowers := overlayDirs(c.options)
		if upper != c.upper || !slices.Equal(lowers, c.lowers) {
			t.Errorf("%q: %q %q, want %q %q", c.options, upper, lowers, c.upper, c.lowers)
		}
	}
}
