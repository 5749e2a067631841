package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

// imageOf writes a layer into an image.
func imageOf(t testing.TB, r io.Reader, o Options) (path string, st Stats, err error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := erofs.NewWriter(f, erofs.Options{})
	if st, err = ExtractImage(context.Background(), w, f, r, o); err != nil {
		return path, st, err
	}
	if err := w.Close(); err != nil {
		t.Fatalf("an accepted archive makes no image: %v", err)
	}
	return path, st, nil
}

// mounted mounts an image until the test ends.
func mounted(t testing.TB, path string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount(path, dir, "erofs", unix.MS_RDONLY, "")
	if err == unix.ENOTBLK || err == unix.ENODEV {
		t.Skip("the kernel cannot mount EROFS from a file")
	}
	if err != nil {
		t.Fatalf("mounting the image: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// needFiles are the stacks whose upper layer cannot go into an image.
var needFiles = map[string]bool{
	"a parent that is a link below":    true,
	"a hard link to a file below":      true,
	"a hard link through a link below": true,
}

// TestRootImageStacks: images stacked by overlayfs show the same tree as the layers applied in place.
func TestRootImageStacks(t *testing.T) {
	for _, s := range stacks {
		t.Run(s.name, func(t *testing.T) {
			applied := t.TempDir()
			var lowers []string // topmost first
			handles := []*os.File{}
			fellBack := false
			for _, l := range s.layers {
				data := archive(t, l...)
				o := asRoot
				o.Whiteouts = Apply
				if _, err := extractTo(t, applied, bytes.NewReader(data), o); err != nil {
					t.Fatalf("in place: %v", err)
				}
				o.Whiteouts, o.Lowers = Overlay, handles
				var dir string
				image, _, err := imageOf(t, bytes.NewReader(data), o)
				switch {
				case errors.Is(err, ErrNeedsFiles):
					fellBack = true
					dir = t.TempDir()
					if _, err := extractTo(t, dir, bytes.NewReader(data), o); err != nil {
						t.Fatal(err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					dir = mounted(t, image)
				}
				lowers = append([]string{dir}, lowers...)
				handles = append([]*os.File{open(t, dir)}, handles...)
			}
			if fellBack != needFiles[s.name] {
				t.Errorf("extracted into a directory: %v", fellBack)
			}
			got, want := treeOf(t, overlayDir(t, lowers, "")), treeOf(t, applied)
			delete(got, ".")
			delete(want, ".")
			sameTrees(t, "images beside in place", got, want)
		})
	}
}

// TestRootImageCorpus: the verdict on each hostile archive is Extract's, and so is what is made, unless
// the image leaves the archive to Extract.
func TestRootImageCorpus(t *testing.T) {
	base := t.TempDir()
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	cases := hostiletar.Corpus(canary.Path)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			o := Options{Whiteouts: Overlay, Devices: true, Limits: Limits{FreeBytes: -1, FreeInodes: -1}}
			if c.Bomb {
				o.Limits = bombLimits
			}
			image, ist, ierr := imageOf(t, c.Archive(), o)
			if errors.Is(ierr, ErrNeedsFiles) {
				left++
				return
			}
			dir := t.TempDir()
			st, err := extractInto(t, dir, c, o)
			if (err == nil) != (ierr == nil) || errors.Is(err, ErrArchive) != errors.Is(ierr, ErrArchive) || errors.Is(err, ErrNeedsLower) != errors.Is(ierr, ErrNeedsLower) {
				t.Fatalf("the directory: %v; the image: %v", err, ierr)
			}
			if cerr := canary.Check(); cerr != nil {
				t.Fatal(cerr)
			}
			if err != nil {
				return
			}
			st.Caged = false
			if st != ist {
				t.Errorf("statistics %+v, want %+v", ist, st)
			}
			got, want := treeOf(t, mounted(t, image), "whiteouts"), treeOf(t, dir, "whiteouts")
			delete(got, ".")
			delete(want, ".")
			sameTrees(t, "image beside directory", got, want)
		})
	}
	if left > len(cases)/6 {
		t.Errorf("%d of %d archives were left to Extract", left, len(cases))
	}
}

// TestRootImageWithoutLowers: what only the lower layers could tell is said, as Extract says it.
func TestRootImageWithoutLowers(t *testing.T) {
	o := asRoot
	o.Whiteouts = Overlay
	_, st, err := imageOf(t, bytes.NewReader(archive(t, file("lib/b", "2"), file("lib/c/d", "2"))), o)
	if err != nil || st.Implied != 2 || st.Root {
		t.Errorf("%+v, %v", st, err)
	}
	if _, _, err = imageOf(t, bytes.NewReader(archive(t, hardlink("h", "d/f"))), o); !errors.Is(err, ErrNeedsLower) {
		t.Errorf("got %v", err)
	}
	o.Lowers = []*os.File{}
	if _, _, err = imageOf(t, bytes.NewReader(archive(t, hardlink("h", "d/f"))), o); !errors.Is(err, ErrNeedsFiles) {
		t.Errorf("with no lower layer: %v", err)
	}
	if _, _, err = imageOf(t, bytes.NewReader(archive(t, symlink("l", "d"), dirEntry("d"), file("l/x", "1"))), o); !errors.Is(err, ErrNeedsFiles) {
		t.Errorf("a parent that is a link: %v", err)
	}
}

// TestRootImageNames: names do not hold the paths that they were cut from, and have a bound.
func TestRootImageNames(t *testing.T) {
	var all []tar.Header
	for i := range 3 {
		all = append(all, file(strings.Repeat("d/", 50)+string(rune('a'+i)), "1"))
	}
	x := &imager{index: indexMost - 10_000}
	x.h = &header{name: "x"}
	if _, err := x.named("name"); err != nil {
		t.Error(err)
	}
	x.index = indexMost
	if _, err := x.named("name"); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
	o := asRoot
	o.Whiteouts = Overlay
	image, _, err := imageOf(t, bytes.NewReader(archive(t, all...)), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := treeOf(t, mounted(t, image)); len(got) != 1+50+3 {
		t.Errorf("%d files", len(got))
	}
}
