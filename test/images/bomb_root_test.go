package images

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

const (
	bombTime   = 60 * time.Second
	bombMemory = 96 << 20
)

// TestRootBombs: archives that never end, on a small disk, through each entry point: an end in bounded time and memory,
// the disk as it was, and the next image comes in.
func TestRootBombs(t *testing.T) {
	requires(t)
	for _, e := range entryPoints {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			dir := fastDir(t, "bombs")
			d := startOnDisk(t, dir, "overlay", 128)
			reg := startShelf(t)
			small := payloadOf(layer(t, text("etc/hello", "hello\n")))
			try := func() {
				t.Helper()
				if err := e.send(d, reg, small); err != nil {
					t.Errorf("a good image: %v", err)
				}
				d.ok(t, "image", "prune", "-af")
			}
			try()
			before := d.used(t)
			for _, c := range hostiletar.Corpus(filepath.Join(dir, "canary")) {
				// That one fills a disk with links to one file for half a minute, within the limits.
				if !c.Bomb || strings.HasSuffix(c.Name, "members of one name") && os.Getenv("HULL_EXPLOIT_ROUNDS") == "" {
					continue
				}
				base, begun, least := d.memory(t, true), time.Now(), d.watchFree(t)
				err := e.send(d, reg, payload{open: func() io.Reader { return c.Archive() }, size: 8 << 30, digest: sum([]byte(c.Name)), diff: sum(nil), mediaType: layerTar})
				took, grown := time.Since(begun), d.memory(t, false)-base
				if l := least(); l < 1<<20 {
					t.Errorf("%s: %d KiB of the disk were left", c.Name, l>>10)
				}
				switch {
				case err == nil:
					t.Errorf("%s: accepted", c.Name)
				case strings.Contains(err.Error(), "broke"):
					t.Errorf("%s: no clear error: %v", c.Name, err)
				case took > bombTime:
					t.Errorf("%s: it took %v", c.Name, took)
				case grown > bombMemory:
					t.Errorf("%s: hulld grew by %d MiB", c.Name, grown>>20)
				}
				t.Logf("%s: %v, %d KiB: %v", c.Name, took.Round(time.Millisecond), grown>>10, err)
				d.backTo(t, before)
				try()
			}
			fsck(t, d)
		})
	}
}
