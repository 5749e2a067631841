package snapshot

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// TestRootCheck breaks a store in each way and compares what Check says and repairs.
func TestRootCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver string // empty: all
		damage func(t *testing.T, s *Snapshotter)
		want   string // "kind path", the first problem
		fixed  bool
		gone   []string // names that the repair removes
	}{
		{"orphan", "", func(t *testing.T, s *Snapshotter) { must(t, os.MkdirAll(s.path("77", "fs/x"), 0o700)) }, "orphan snapshots/77", true, nil},
		{"orphan file", "", func(t *testing.T, s *Snapshotter) { write(t, s.path("junk", ""), "x") }, "orphan snapshots/junk", true, nil},
		{"unfinished", "", func(t *testing.T, s *Snapshotter) { must(t, os.MkdirAll(s.path("new-9", "fs"), 0o700)) }, "leftover snapshots/new-9", true, nil},
		{"no directory of an active one", "", func(t *testing.T, s *Snapshotter) { must(t, os.RemoveAll(s.path("3", ""))) }, "unmade snapshots/3", true, nil},
		{"rest of a commit", "", func(t *testing.T, s *Snapshotter) { must(t, os.MkdirAll(s.path("2", "work/work"), 0o700)) }, "leftover snapshots/2/work", true, nil},
		{"mount point", "", func(t *testing.T, s *Snapshotter) { must(t, os.Mkdir(s.root+"/mnt/55", 0o700)) }, "leftover mnt/55", true, nil},
		{"lost layer in use", "", func(t *testing.T, s *Snapshotter) { must(t, os.RemoveAll(s.path("2", ""))) }, "broken snapshots/2", false, nil},
		{"lost layer", "", func(t *testing.T, s *Snapshotter) {
			must(t, s.Remove(context.Background(), "c"))
			must(t, os.RemoveAll(s.path("1", "")))
		}, "broken snapshots/1", true, []string{"one", "two"}},
		{"link for a layer", "", func(t *testing.T, s *Snapshotter) {
			must(t, s.Remove(context.Background(), "c"))
			must(t, os.RemoveAll(s.path("2", "")))
			must(t, os.Symlink("/etc", strings.TrimSuffix(s.path("2", ""), "/")))
		}, "broken snapshots/2", true, []string{"two"}},
		{"broken active", "", func(t *testing.T, s *Snapshotter) { must(t, os.RemoveAll(s.path("3", "fs"))) }, "broken snapshots/3", false, nil},
		{"truncated image", EROFS, func(t *testing.T, s *Snapshotter) {
			must(t, s.Remove(context.Background(), "c"))
			must(t, os.Truncate(s.path("2", "layer.erofs"), 4096))
		}, "broken snapshots/2", true, []string{"two"}},
		{"flipped bit", EROFS, func(t *testing.T, s *Snapshotter) {
			must(t, s.Remove(context.Background(), "c"))
			f, err := os.OpenFile(s.path("1", "layer.erofs"), os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteAt([]byte{0xff}, 1200)
			must(t, err)
		}, "broken snapshots/1", true, []string{"one", "two"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, driver string) {
				if c.driver != "" && c.driver != driver {
					return
				}
				ctx := context.Background()
				s := open(t, t.TempDir(), driver)
				commit(t, s, "one", "", func(dir string) { write(t, dir+"/a", "1") })
				commit(t, s, "two", "one", func(dir string) { write(t, dir+"/b", "2") })
				must(t, s.Create(ctx, snapshots.KindActive, "c", "two"))
				clean(t, s)
				c.damage(t, s)
				must(t, s.Cleanup(ctx))
				for _, repair := range []bool{false, true} {
					problems, err := s.Check(ctx, repair)
					must(t, err)
					if len(problems) == 0 {
						t.Fatalf("repair=%v: nothing found", repair)
					}
					p := problems[len(problems)-1]
					if got := fmt.Sprintf("%s %s", p.Kind, p.Path); got != c.want || p.Repaired != (repair && c.fixed) {
						t.Errorf("repair=%v: %v, want %s, repaired %v", repair, problems, c.want, repair && c.fixed)
					}
				}
				problems, err := s.Check(ctx, false)
				must(t, err)
				if c.fixed != (len(problems) == 0) {
					t.Errorf("after the repair: %v", problems)
				}
				for _, name := range []string{"one", "two"} {
					_, err := s.Stat(ctx, name)
					want := false
					for _, g := range c.gone {
						want = want || g == name
					}
					if errdefs.IsNotFound(err) != want {
						t.Errorf("%s after the repair: %v, want gone: %v", name, err, want)
					}
				}
				if c.fixed && c.gone == nil {
					dir, _ := mounted(t, s, "c", MountOptions{})
					if b, err := os.ReadFile(dir + "/a"); err != nil || string(b) != "1" {
						t.Errorf("after the repair a has %q %v", b, err)
					}
				}
			})
		})
	}
}
