package image

import (
	"bytes"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func linux(arch string) ocispec.Platform { return ocispec.Platform{OS: "linux", Architecture: arch} }

// several is a store with x:1, an index of three of which two are here.
func several(t *testing.T) (*bench, ocispec.Descriptor) {
	t.Helper()
	b := newBench(t, true)
	index := b.remote.index(t, "s390x", here().Architecture, "riscv64")
	ref := b.remote.tag(t, "x:1", index)
	for _, p := range []ocispec.Platform{here(), linux("riscv64")} {
		if _, err := b.Pull(t.Context(), ref, PullOptions{Platform: &p}); err != nil {
			t.Fatal(err)
		}
	}
	return b, index.Descriptor
}

func isMissingPlatform(err error) bool {
	return errdefs.IsNotFound(err) && strings.Contains(err.Error(), "was found but does not provide the specified platform (linux/s390x)")
}

func TestFindFor(t *testing.T) {
	b, index := several(t)
	img, err := b.FindFor(t.Context(), "x:1", linux("riscv64"))
	if err != nil || img.Config.Architecture != "riscv64" || img.Targets[0].Digest != index.Digest || len(img.Tags) != 1 ||
		img.Chosen == nil || img.Chosen.Digest != img.Manifest.Descriptor.Digest || img.Chosen.Platform.Architecture != "riscv64" {
		t.Errorf("got %+v, %v", img, err)
	}
	if _, err := b.FindFor(t.Context(), "x:1", linux("s390x")); !isMissingPlatform(err) {
		t.Errorf("got %v", err)
	}
	if _, err := b.FindFor(t.Context(), "y", linux("s390x")); !errdefs.IsNotFound(err) || isMissingPlatform(err) {
		t.Errorf("got %v", err)
	}
}

func TestManifests(t *testing.T) {
	b, _ := several(t)
	img, err := b.Find(t.Context(), "x:1")
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.Manifests(t.Context(), img)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for i, want := range []bool{false, true, true} {
		m := all[i]
		if m.Available != want || m.Kind != KindImage || (m.Content > 0) != want || (m.Unpacked > 0) != want || m.Platform.OS != "linux" {
			t.Errorf("manifest %d: %+v", i, m)
		}
	}
	single := pulled(t)
	img, err = single.Find(t.Context(), "y:1")
	if err != nil {
		t.Fatal(err)
	}
	all, err = single.Manifests(t.Context(), img)
	if err != nil || len(all) != 1 || !all[0].Available || all[0].Platform.Architecture != here().Architecture || all[0].Unpacked != img.Size {
		t.Errorf("of one manifest: %+v, %v", all, err)
	}
}

// TestSavePlatforms: an archive of what was asked for, which brings just that.
func TestSavePlatforms(t *testing.T) {
	b, index := several(t)
	write := func(want ...ocispec.Platform) []byte {
		t.Helper()
		a, err := b.Save(t.Context(), []string{"x:1"}, want)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		var out bytes.Buffer
		if err := a.Write(&out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if _, err := b.Save(t.Context(), []string{"x:1"}, []ocispec.Platform{linux("s390x")}); !isMissingPlatform(err) {
		t.Errorf("got %v", err)
	}
	both := write(here(), linux("riscv64"))
	for _, c := range []struct {
		archive []byte
		want    []ocispec.Platform
		has     []string
		index   bool
	}{
		{both, nil, []string{here().Architecture, "riscv64"}, true},
		{both, []ocispec.Platform{linux("riscv64")}, []string{"riscv64"}, true},
		{write(linux("riscv64")), nil, []string{"riscv64"}, false},
	} {
		other := newBench(t, true)
		if err := other.Load(t.Context(), bytes.NewReader(c.archive), c.want, nil); err != nil {
			t.Fatal(err)
		}
		other.forget()
		if err := other.meta.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{here().Architecture, "riscv64", "s390x"} {
			img, err := other.FindFor(t.Context(), "x:1", linux(arch))
			wanted := strings.Contains(strings.Join(c.has, " "), arch)
			if (err == nil) != wanted || err == nil && (img.Targets[0].Digest == index.Digest) != c.index {
				t.Errorf("%v: %s: %v", c.has, arch, err)
			}
		}
	}
	if err := newBench(t, true).Load(t.Context(), bytes.NewReader(both), []ocispec.Platform{linux("s390x")}, nil); !isMissingPlatform(err) {
		t.Errorf("loading what is not there: %v", err)
	}
	if err := newBench(t, true).Load(t.Context(), bytes.NewReader(without(t, save(t, pulled(t), "y:1"), "index.json")), []ocispec.Platform{linux("s390x")}, nil); !isMissingPlatform(err) {
		t.Errorf("loading what is not there, without an index: %v", err)
	}
}

// TestRemovePlatforms: one goes, the name and the others stay; the last one does not go.
func TestRemovePlatforms(t *testing.T) {
	b, index := several(t)
	remove := func(arch string) error {
		_, err := b.RemovePlatforms(t.Context(), "x:1", []ocispec.Platform{linux(arch)})
		return err
	}
	if err := remove("s390x"); !isMissingPlatform(err) {
		t.Errorf("one that is not here: %v", err)
	}
	if err := remove("riscv64"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.FindFor(t.Context(), "x:1", linux("riscv64")); !errdefs.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	img, err := b.FindFor(t.Context(), "x:1", here())
	if err != nil || img.Targets[0].Digest != index.Digest {
		t.Errorf("the other one: %v", err)
	}
	if err := remove(here().Architecture); !errdefs.IsConflict(err) {
		t.Errorf("the last one: %v", err)
	}
	if _, err := pulled(t).RemovePlatforms(t.Context(), "y:1", []ocispec.Platform{here()}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("of an image of one platform: %v", err)
	}
}
