package snapshot

import (
	"context"
	"os"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
)

// TestRootOfParentLayer: a layer that says nothing of its root directory gets its parent's when it is
// committed above it, as a directory and as an image; one that says something keeps it.
func TestRootOfParentLayer(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name, driver string
		image        bool
	}{{"overlay", Overlay, false}, {"erofs files", EROFS, false}, {"erofs image", EROFS, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir(), c.driver)
			commit(t, s, "base", "", func(dir string) {
				must(t, os.Chown(dir, 5, 6))
				must(t, os.Chmod(dir, 0o711|os.ModeSticky))
			})
			for _, inherits := range []bool{true, false} {
				name := map[bool]string{true: "inherits", false: "has its own"}[inherits]
				must(t, s.Create(ctx, snapshots.KindActive, "x", ""))
				if c.image {
					m, err := s.Mounts(ctx, "x")
					must(t, err)
					w, err := s.ImageAt(ctx, m[0].Source)
					must(t, err)
					_, err = w.Add(w.Root(), "d", erofs.Meta{Mode: unix.S_IFDIR | 0o700}, nil)
					must(t, err)
					must(t, w.Finish())
				}
				opts := []snapshots.Opt{snapshots.WithParent("base")}
				if inherits {
					opts = append(opts, snapshots.WithLabels(map[string]string{LabelRoot: "parent"}))
				}
				must(t, s.Commit(ctx, name, "x", opts...))
				must(t, s.Create(ctx, snapshots.KindActive, name+" c", name))
				dir, _ := mounted(t, s, name+" c", MountOptions{})
				var st unix.Stat_t
				must(t, unix.Stat(dir, &st))
				want := unix.Stat_t{Mode: unix.S_IFDIR | 0o755}
				if inherits {
					want = unix.Stat_t{Mode: unix.S_IFDIR | 0o1711, Uid: 5, Gid: 6}
				}
				if st.Mode != want.Mode || st.Uid != want.Uid || st.Gid != want.Gid {
					t.Errorf("%s: the root is %o %d:%d, want %o %d:%d", name, st.Mode, st.Uid, st.Gid, want.Mode, want.Uid, want.Gid)
				}
			}
			clean(t, s)
		})
	}
	s := open(t, t.TempDir(), EROFS)
	if _, err := s.ImageAt(ctx, "/etc/fs"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an image elsewhere: %v", err)
	}
	if _, err := s.ImageAt(ctx, s.path("77", "fs")); !errdefs.IsNotFound(err) {
		t.Errorf("an image of no snapshot: %v", err)
	}
}
