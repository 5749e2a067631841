package image

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// TestRemoveUsed holds removal of an image that containers use to what dockerd says.
func TestRemoveUsed(t *testing.T) {
	const id = "0123456789abcdef"
	for _, c := range []struct {
		what    string
		running bool
		byID    bool
		force   bool
		tags    int
		want    string // of what was removed, or of the error
		left    int    // images
	}{
		{"name, stopped", false, false, false, 1, "conflict: unable to remove repository reference \"x:1\" (must force) - container 0123456789ab is using its referenced image IMAGE", 2},
		{"name, running", true, false, false, 1, "conflict: unable to remove repository reference \"x:1\" (must force) - container 0123456789ab is using its referenced image IMAGE", 2},
		{"one of two names", true, false, false, 2, "x:1 x@", 2},
		{"name, stopped, forced", false, false, true, 1, "x:1 x@ deleted deleted", 1},
		{"name, running, forced", true, false, true, 1, "x:1 x@", 2},
		{"ID, stopped", false, true, false, 1, "conflict: unable to delete IMAGE (must be forced) - image is being used by stopped container 0123456789ab", 2},
		{"ID, running", true, true, false, 1, "conflict: unable to delete IMAGE (cannot be forced) - image is being used by running container 0123456789ab", 2},
		{"ID, running, forced", true, true, true, 1, "conflict: unable to delete IMAGE (cannot be forced) - image is being used by running container 0123456789ab", 2},
		{"ID, stopped, forced", false, true, true, 1, "x:1 x@ deleted deleted", 1},
		{"ID, stopped, two names", false, true, false, 2, "conflict: unable to delete IMAGE (must be forced) - image is referenced in multiple repositories", 2},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := pulled(t)
			ctx := t.Context()
			if c.tags == 2 {
				if err := b.Tag(ctx, "x:1", parse(t, "z:1")); err != nil {
					t.Fatal(err)
				}
			}
			x, key, release, err := b.Hold(ctx, "x:1")
			if err != nil || key == "" {
				t.Fatal(key, err)
			}
			b.SetUsers(func() []User { return []User{{id, x.ID, c.running}} })
			name := "x:1"
			if c.byID {
				name = x.ID.Short()
			}
			removed, err := b.Remove(ctx, name, RemoveOptions{Force: c.force})
			got := show(removed)
			if err != nil {
				got = strings.ReplaceAll(err.Error(), x.ID.Short(), "IMAGE")
				if !errdefs.IsConflict(err) {
					t.Errorf("class of %v", err)
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if all, err := b.Images(ctx); err != nil || len(all) != c.left {
				t.Errorf("%d images are left, %v; want %d", len(all), err, c.left)
			}
			if _, _, err := b.Prune(ctx, func(*Image) bool { return true }); err != nil {
				t.Error(err)
			}
			// Whatever happened to the image, the container's layers are there, until it goes.
			if err := b.meta.Collect(ctx); err != nil {
				t.Fatal(err)
			}
			if n := b.left(snapshots.KindCommitted); n < len(x.Layers) {
				t.Errorf("%d layers are left, the container has %d", n, len(x.Layers))
			}
			b.SetUsers(nil)
			release()
			if _, _, err := b.Prune(ctx, func(*Image) bool { return true }); err != nil {
				t.Error(err)
			}
			if n := b.left(snapshots.KindCommitted); n > 0 {
				t.Errorf("%d layers are left after all", n)
			}
		})
	}
}

func TestHoldErrors(t *testing.T) {
	b := pulled(t)
	if _, _, _, err := b.Hold(t.Context(), "nope"); !errdefs.IsNotFound(err) || err.Error() != "No such image: nope:latest" {
		t.Errorf("an image that is not there: %v", err)
	}
	if _, _, err := b.HoldChain("sha256:00"); !errdefs.IsNotFound(err) {
		t.Errorf("a chain that is not there: %v", err)
	}
	if key, release, err := b.HoldChain(""); key != "" || err != nil {
		t.Errorf("no layers: %q %v", key, err)
	} else {
		release()
	}
}
