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
		for _, driver := range []string{"overlay", "erofs", "native"} {
			for i, e := range entryPoints {
				if driver != "overlay" && e.name != "pull" {
					continue
				}
				t.Run(driver+"/"+e.name, func(t *testing.T) {
					t.Parallel()
					dir := filepath.Join(base, fmt.Sprint(driver, i))
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					if driver == "erofs" { // the kernel mounts no image from a file on a tmpfs
						all.run(t, startOnDisk(t, dir, driver, 128), e, canary)
						return
					}
					all.run(t, startDriver(t, dir, driver), e, canary)
				})
			}
		}
	})
	for name, by := range all.cases {
		first := "overlay " + entryPoints[0].name
		for e, got := range by {
			if want := by[first]; want != got && strings.HasPrefix(e, "overlay ") {
				t.Errorf("%s: %s makes of it\n%s\nand %s\n%s", name, first, want, e, got)
			}
		}
	}
	if len(all.cases) < 400/sample() {
		t.Errorf("%d cases", len(all.cases))
	}
}

// sample is HULL_TEST_SAMPLE: each how many cases one is tried; 1, all of them, when it is not
// given. CI has no time for all.
func sample() int {
	return max(1, atoi(os.Getenv("HULL_TEST_SAMPLE")))
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// caseTime bounds each archive; most take a hundredth of a second.
const caseTime = 20 * time.Second

// run sends all cases but the bombs, which have a test of their own.
func (v *verdicts) run(t *testing.T, d *daemon, e entryPoint, canary *hostiletar.Canary) {
	reg := startShelf(t)
	made := make(map[string]string) // trees by diffID: what is there is not made again
	for i, c := range hostiletar.Corpus(canary.Path) {
		if c.Bomb || i%sample() != 0 {
			continue
		}
		data, err := io.ReadAll(c.Archive())
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 && e.name == "import" {
			continue // as with Docker, nothing at all is an empty file system
		}
		p := payloadOf(data)
		before := newest(t, d)
		begun := time.Now()
		err = e.send(d, reg, p)
		if took := time.Since(begun); took > caseTime {
			t.Errorf("%s: it took %v", c.Name, took)
		}
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
			if said = made[p.diff]; said == "" {
				t.Errorf("%s: accepted, and there is no new snapshot", c.Name)
			}
		}
		v.note(c.Name, d.driver+" "+e.name, said)
	}
	onlySnapshots(t, d)
	fsck(t, d)
	// What was refused left nothing, and what was accepted can be removed.
	d.ok(t, "image", "prune", "-af")
	nothingLeft(t, d)
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
	// What load and import compress anew comes to its end before it is unpacked.
	for _, decoder := range []string{"not a good xz stream", "bzip2 data invalid"} {
		if i := strings.Index(text, decoder); i >= 0 {
			return text[i:]
		}
	}
	_, why, ok := strings.Cut(text, "unpack: ")
	if !ok || !strings.Contains(why, "archive refused") || strings.ContainsAny(text, "\n\r") || len(text) > 1200 {
		t.Errorf("%s: the error is not one line that says why the archive is refused: %q", name, text)
	}
	return why
}

func snapshotsDir(d *daemon) string {
	return filepath.Join(d.dataDir(), "snapshots", d.driver, "snapshots")
}

func blobsDir(d *daemon) string {
	return filepath.Join(d.dataDir(), "meta", "content", "blobs", "sha256")
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
	if d.driver != "overlay" { // an image, or whiteouts that were obeyed
		return "made " + d.driver
	}
	lines, err := hostiletar.List(filepath.Join(snapshotsDir(d), strconv.Itoa(id), "fs"))
	if err != nil {
		t.Error(err)
	}
	return "a tree:\n" + strings.Join(lines, "\n")
}

// onlySnapshots looks beside the roots, where "../x" of an archive would be.
func onlySnapshots(t *testing.T, d *daemon) {
	t.Helper()
	for _, id := range files(t, snapshotsDir(d)) {
		for _, name := range files(t, filepath.Join(snapshotsDir(d), id)) {
			if !slices.Contains([]string{"fs", "work", "layer.erofs"}, name) {
				t.Errorf("beside a root there is %s", name)
			}
		}
	}
}
