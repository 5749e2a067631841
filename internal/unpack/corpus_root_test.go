package unpack

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// bombLimits let a bomb end soon.
var bombLimits = Limits{Bytes: 32 << 20, Entries: 2_000, FreeBytes: -1, FreeInodes: -1}

// runCase extracts a case into a new root beside the canary and returns what it made.
func runCase(t *testing.T, base string, c hostiletar.Case, o Options) ([]string, error) {
	t.Helper()
	root := filepath.Join(base, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	}()
	o.Limits = Limits{FreeBytes: -1, FreeInodes: -1}
	if c.Bomb {
		o.Limits = bombLimits
	}
	start := time.Now()
	_, xerr := extractInto(t, root, c, o)
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	tree, err := hostiletar.List(root)
	if err != nil {
		t.Fatal(err)
	}
	if xerr != nil && len(tree) > 0 {
		t.Errorf("failed (%v) and left %d things in a directory that was empty, %s among them", xerr, len(tree), tree[0])
	}
	return tree, xerr
}

// TestRootHostileCorpus: one verdict for each archive in each mode, the canary as it was, and
// the tree of testdata/corpus.txt.
func TestRootHostileCorpus(t *testing.T) {
	base := t.TempDir()
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		t.Fatal(err)
	}
	cases := hostiletar.Corpus(canary.Path)
	if len(cases) < 200 {
		t.Errorf("the corpus has %d archives, want at least 200", len(cases))
	}
	fds := countFDs(t)
	var golden bytes.Buffer
	var above []string // the canary's parents, quoted: they depend on the machine
	for dir := filepath.Dir(canary.Path); dir != "/"; dir = filepath.Dir(dir) {
		above = append(above, fmt.Sprintf("%q", dir[1:]), fmt.Sprintf(`/root%s"`, dir))
	}
	seen := make(map[string]bool)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if seen[c.Name] {
				t.Fatal("two cases of one name")
			}
			seen[c.Name] = true
			trees := make(map[Whiteouts][]string)
			for _, mode := range []Whiteouts{Overlay, Apply, Plain} {
				tree, err := runCase(t, base, c, Options{Whiteouts: mode})
				if cerr := canary.Check(); cerr != nil {
					t.Fatal(cerr)
				}
				want := c.Refused || c.Layer && mode == Plain
				switch {
				case want && err == nil:
					t.Errorf("mode %d: accepted, and made %q", mode, tree)
				case !want && err != nil:
					t.Errorf("mode %d: %v", mode, err)
				case err != nil && !errors.Is(err, ErrArchive):
					t.Errorf("mode %d: the error is not the archive's: %v", mode, err)
				case err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000):
					t.Errorf("mode %d: the error is no sentence: %q", mode, err)
				}
				trees[mode] = tree
			}
			if !c.Layer && !slices.Equal(trees[Overlay], trees[Apply]) || !c.Layer && !slices.Equal(trees[Apply], trees[Plain]) {
				t.Errorf("the modes made different trees: %q %q %q", trees[Overlay], trees[Apply], trees[Plain])
			}
			verdict := "accepted"
			if c.Refused {
				verdict = "refused"
			}
			fmt.Fprintf(&golden, "%s: %s\n", c.Name, verdict)
			var lines []string
			for _, l := range trees[Overlay] {
				if slices.ContainsFunc(above, func(dir string) bool { return strings.Contains(l, dir) }) {
					continue
				}
				lines = append(lines, strings.ReplaceAll(l, strings.Trim(canary.Path, "/"), "CANARY"))
			}
			slices.Sort(lines)
			for _, l := range lines {
				fmt.Fprintf(&golden, "\t%s\n", l)
			}
		})
	}
	if n := countFDs(t); n != fds {
		t.Errorf("%d descriptors are open, %d before", n, fds)
	}
	if len(seen) == len(cases) { // not with -run of some
		checkGolden(t, "corpus.txt", golden.Bytes())
	}
}

// checkGolden compares with a file of testdata; lines about long paths are left out.
func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	var b bytes.Buffer
	for line := range bytes.Lines(got) {
		if !bytes.Contains(line, []byte("…(")) && !bytes.Contains(line, []byte("d/d/d/")) {
			b.Write(line)
		}
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("%s differs (run with -update and look at the difference)", path)
		for i, l := range strings.Split(b.String(), "\n") {
			if w := strings.Split(string(want), "\n"); i >= len(w) || w[i] != l {
				t.Errorf("line %d: %s", i+1, l)
				break
			}
		}
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestRootBombMemory: a bomb does not grow the process.
func TestRootBombMemory(t *testing.T) {
	base := t.TempDir()
	for _, c := range hostiletar.Corpus(filepath.Join(base, "canary")) {
		if !c.Bomb {
			continue
		}
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := runCase(t, base, c, Options{Whiteouts: Overlay}); err == nil {
			t.Errorf("%s: accepted", c.Name)
		}
		runtime.ReadMemStats(&after)
		if grown := after.HeapInuse - min(before.HeapInuse, after.HeapInuse); grown > 24<<20 {
			t.Errorf("%s: the heap grew by %d MiB", c.Name, grown>>20)
		}
	}
}
