package image

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

func show(removed []Removed) string {
	var out []string
	for _, r := range removed {
		switch {
		case r.Untagged == "":
			out = append(out, "deleted")
		case strings.Contains(r.Untagged, "@"):
			out = append(out, r.Untagged[:strings.Index(r.Untagged, "@")]+"@")
		default:
			out = append(out, r.Untagged)
		}
	}
	return strings.Join(out, " ")
}

// TestRemove holds removal to what dockerd untags and deletes.
func TestRemove(t *testing.T) {
	b := pulled(t)
	ctx := t.Context()
	for _, n := range []string{"x:2", "z:1"} {
		if err := b.Tag(ctx, "x:1", parse(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	x, err := b.Find(ctx, "x:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Remove(ctx, x.ID.Short(), RemoveOptions{}); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "(must be forced) - image is referenced in multiple repositories") {
		t.Errorf("by ID, with several names: %v", err)
	}
	for _, c := range []struct{ name, want string }{
		{"x:1", "x:1"},
		{"x:2", "x:2 x@"},              // the last tag of a repository takes its digests along
		{"z:1", "z:1 deleted deleted"}, // the image and the layer that y does not have
		{"y:1", "y:1 y@ deleted deleted"},
	} {
		removed, err := b.Remove(ctx, c.name, RemoveOptions{})
		if err != nil || show(removed) != c.want {
			t.Errorf("removing %s: %s, %v; want %s", c.name, show(removed), err, c.want)
		}
	}
	if _, err := b.Remove(ctx, "y:1", RemoveOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("again: %v", err)
	}
	if n := b.left(snapshots.KindCommitted); n > 0 {
		t.Errorf("%d snapshots are left", n)
	}
	blobs := 0
	if err := b.blobs.Walk(b.meta.Context(ctx), func(content.Info) error { blobs++; return nil }); err != nil || blobs > 0 {
		t.Errorf("%d blobs are left, %v", blobs, err)
	}
}

func TestRemoveForced(t *testing.T) {
	b := pulled(t)
	if err := b.Tag(t.Context(), "x:1", parse(t, "z:1")); err != nil {
		t.Fatal(err)
	}
	x, err := b.Find(t.Context(), "x:1")
	if err != nil {
		t.Fatal(err)
	}
	removed, err := b.Remove(t.Context(), string(x.ID), RemoveOptions{Force: true})
	if err != nil || show(removed) != "x:1 z:1 x@ deleted deleted" {
		t.Errorf("%s, %v", show(removed), err)
	}
}

// TestPrune: what is shared with an image that stays is not counted.
func TestPrune(t *testing.T) {
	b := pulled(t)
	_, freed, err := b.Prune(t.Context(), func(i *Image) bool { return i.Tags[0].Repository.Path == "library/x" })
	if err != nil || freed != 200 {
		t.Errorf("freed %d, %v; want 200", freed, err)
	}
	if _, err := b.Find(t.Context(), "y:1"); err != nil {
		t.Error(err)
	}
	if n := b.left(snapshots.KindCommitted); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
}

func TestUsage(t *testing.T) {
	b := pulled(t)
	all, err := b.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u := b.Usage(all)
	if u.Layers != 300 || u.Shared[all[0].ID] != 100 || u.Shared[all[1].ID] != 100 {
		t.Errorf("got %+v", u)
	}
}

func TestFind(t *testing.T) {
	b := pulled(t)
	x, err := b.Find(t.Context(), "docker.io/library/x:1")
	if err != nil {
		t.Fatal(err)
	}
	hex := strings.TrimPrefix(string(x.ID), "sha256:")
	for _, name := range []string{hex, hex[:12], "sha256:" + hex[:12], "sha256:" + hex, "x:1@" + string(x.Digests[0].Digest), string(x.Targets[0].Digest)} {
		if img, err := b.Find(t.Context(), name); err != nil || img.ID != x.ID {
			t.Errorf("%s: %v %v", name, img, err)
		}
	}
	for name, class := range map[string]func(error) bool{
		"x": errdefs.IsNotFound, "nope": errdefs.IsNotFound, "UPPER": errdefs.IsInvalidArgument, "": errdefs.IsInvalidArgument,
		"sha256:../x": errdefs.IsNotFound, strings.Repeat("a", 10_000): errdefs.IsInvalidArgument, strings.Repeat("0", 64): errdefs.IsNotFound,
	} {
		_, err := b.Find(t.Context(), name)
		if !class(err) {
			t.Errorf("%.20q: %v", name, err)
		} else if len(err.Error()) > 400 {
			t.Errorf("%.20q: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestFilter(t *testing.T) {
	b := pulled(t)
	all, err := b.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "x y"},
		{Filter{Dangling: &yes}, ""},
		{Filter{Labels: []string{"layers=2"}}, "x"},
		{Filter{Labels: []string{"layers"}}, "x y"},
		{Filter{NotLabels: []string{"layers=2"}}, "y"},
		{Filter{References: []string{"?:1"}}, "x y"},
		{Filter{References: []string{"y"}}, "y"},
		{Filter{References: []string{"z*"}}, ""},
		{Filter{Before: "x:1"}, "y"},
		{Filter{Since: "y:1"}, "x"},
		{Filter{Until: time.Now()}, "x y"},
		{Filter{Until: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
	} {
		match, err := c.f.Compile(all)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range all {
			if match(i) {
				got = append(got, strings.TrimPrefix(i.Tags[0].Repository.Path, "library/"))
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: got %v, want %q", c.f, got, c.want)
		}
	}
	if _, err := (Filter{References: []string{"["}}).Compile(all); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad pattern: %v", err)
	}
}

// TestCheck: a damaged blob is found, repaired away, and the image can be pulled again.
func TestCheck(t *testing.T) {
	b := pulled(t)
	ctx := t.Context()
	x, err := b.Find(ctx, "x:1")
	if err != nil {
		t.Fatal(err)
	}
	damage(t, b, x.Layers[1].Blob.Digest.Encoded())
	found, err := b.Check(ctx, false)
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Detail, "another digest") {
		t.Fatalf("found %v, %v", found, err)
	}
	if found, err = b.Check(ctx, true); err != nil || !found[0].Repaired {
		t.Fatalf("found %v, %v", found, err)
	}
	if _, err := b.Pull(ctx, parse(t, "x:1"), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if found, err = b.Check(ctx, false); err != nil || len(found) > 0 {
		t.Errorf("after the pull: %v, %v", found, err)
	}
}

// TestListCached: a list is read once for a state of the store, and anew after each change; what a
// caller does to it is nobody else's.
func TestListCached(t *testing.T) {
	b := pulled(t)
	list := func() []*Image {
		t.Helper()
		all, err := b.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := list()
	if again := list(); again[0] != first[0] {
		t.Error("the same list was read again")
	}
	first[0] = nil
	if again := list(); again[0] == nil {
		t.Error("a caller's change is in the list")
	}
	if err := b.Tag(t.Context(), "x:1", parse(t, "z:9")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(t.Context(), "z:9"); err != nil {
		t.Error(err)
	}
	if _, err := b.Remove(t.Context(), "z:9", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Find(t.Context(), "z:9"); !errdefs.IsNotFound(err) {
		t.Errorf("after the removal: %v", err)
	}
}
