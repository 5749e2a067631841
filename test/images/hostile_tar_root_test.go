package images

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

// verdicts are what the entry points make of each case of the corpus.
type verdicts struct {
	mu    sync.Mutex
	cases map[string]map[string]string // case, entry point: what it said, or the tree that it made
}

// TestRootHostileTar: each hostile archive through each entry point of hulld: the verdict of the
// corpus, for the same reason, with the same tree, and the canary as it was.
func TestRootHostileTar(t *testing.T) {
	requires(t)
	base := fastDir(t, "tar")
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		t.Fatal(err)
	}
	all := &verdicts{cases: make(map[string]map[string]string)}
	t.Run("entry", func(t *testing.T) {
		for i, e := range entryPoints {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				// As far from the canary as the corpus thinks: names with ".." lead to its parent.
				dir := filepath.Join(base, fmt.Sprint(i))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				all.run(t, startHulld(t, dir), e, canary)
			})
		}
	})
	for name, by := range all.cases {
		for _, e := range entryPoints[1:] {
			if want, got := by[entryPoints[0].name], by[e.name]; want != got {
				t.Errorf("%s: %s makes of it\n%s\nand %s\n%s", name, entryPoints[0].name, want, e.name, got)
			}
		}
	}
	if len(all.cases) < 400 {
		t.Errorf("%d cases", len(all.cases))
	}
}

// run sends all cases but the bombs, which have a test of their own.
func (v *verdicts) run(t *testing.T, d *daemon, e entryPoint, canary *hostiletar.Canary) {
	reg := startShelf(t)
	made := make(map[string]string) // trees by diffID: what is there is not made again
	for _, c := range hostiletar.Corpus(canary.Path) {
		if c.Bomb {
			continue
		}
		data, err := io.ReadAll(c.Archive())
		if err != nil {
			t.Fatal(err)
		}
		p := payloadOf(data)
		before := newest(t, d)
		err = e.send(d, reg, p)
		if cerr := canary.Check(); cerr != nil {
			t.Fatalf("%s: %v", c.Name, cerr)
		}
		said := ""
		switch {
		case c.Refused && err == nil:
			t.Errorf("%s: accepted", c.Name)
		case !c.Refused && err != nil:
			t.Errorf("%s: %v", c.Name, err)
		case err != nil:
			said = reason(t, c.Name, err)
		default:
			if id := newest(t, d); id != before {
				made[p.diff] = tree(t, d, id)
			}
			said = made[p.diff]
		}
		v.note(c.Name, e.name, said)
	}
	onlySnapshots(t, d)
	fsck(t, d)
	// What was refused left nothing, and what was accepted can be removed.
	d.ok(t, "image", "prune", "-af")
	left := func() []string { return append(files(t, snapshotsDir(d)), files(t, blobsDir(d))...) }
	for deadline := time.Now().Add(20 * time.Second); len(left()) > 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	if l := left(); len(l) > 0 {
		t.Errorf("with no image left, these are: %v", l)
	}
	if n := files(t, filepath.Join(d.dir, "data", "meta", "content", "ingest")); len(n) > 0 {
		t.Errorf("ingests are left: %v", n)
	}
}

func (v *verdicts) note(name, entry, said string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cases[name] == nil {
		v.cases[name] = make(map[string]string)
	}
	v.cases[name][entry] = said
}

// reason is what an error says of the archive, without what leads to it.
func reason(t *testing.T, name string, err error) string {
	t.Helper()
	text := err.Error()
	_, why, ok := strings.Cut(text, "unpack: ")
	if !ok || !strings.Contains(why, "archive refused") || strings.ContainsAny(text, "\n\r") || len(text) > 1200 {
		t.Errorf("%s: the error is not one line that says why the archive is refused: %q", name, text)
	}
	return why
}

func snapshotsDir(d *daemon) string {
	return filepath.Join(d.dir, "data", "snapshots", "overlay", "snapshots")
}

func blobsDir(d *daemon) string {
	return filepath.Join(d.dir, "data", "meta", "content", "blobs", "sha256")
}

// newest is the snapshot made last; 0 for none.
func newest(t *testing.T, d *daemon) int {
	t.Helper()
	last := 0
	for _, name := range files(t, snapshotsDir(d)) {
		if id, err := strconv.Atoi(name); err == nil {
			last = max(last, id)
		}
	}
	return last
}

func tree(t *testing.T, d *daemon, id int) string {
	t.Helper()
	lines, err := hostiletar.List(filepath.Join(snapshotsDir(d), strconv.Itoa(id), "fs"))
	if err != nil {
		t.Error(err)
	}
	// Each entry point has directories of its own, and archives name the canary beside them.
	return strings.Join(lines, "\n")
}

// onlySnapshots looks beside the roots, where "../x" of an archive would be.
func onlySnapshots(t *testing.T, d *daemon) {
	t.Helper()
	for _, id := range files(t, snapshotsDir(d)) {
		for _, name := range files(t, filepath.Join(snapshotsDir(d), id)) {
			if !slices.Contains([]string{"fs", "work"}, name) {
				t.Errorf("beside a root there is %s", name)
			}
		}
	}
}
