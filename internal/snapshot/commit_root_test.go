package snapshot

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
)

// TestRootCommitAll: all or none.
func TestRootCommitAll(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		s := open(t, t.TempDir(), driver)
		for _, key := range []string{"a", "b", "c"} {
			must(t, s.Create(ctx, snapshots.KindActive, key, ""))
			dir, done := mounted(t, s, key, MountOptions{})
			write(t, dir+"/"+key, key)
			done()
		}
		must(t, s.Commit(ctx, "there", "c"))
		for name, all := range map[string][]Commitment{
			"name is taken":   {{Name: "x", Key: "a"}, {Name: "there", Key: "b"}},
			"no such key":     {{Name: "x", Key: "a"}, {Name: "y", Key: "z"}},
			"no such parent":  {{Name: "x", Key: "a"}, {Name: "y", Key: "b", Opts: []snapshots.Opt{snapshots.WithParent("nobody")}}},
			"same name twice": {{Name: "x", Key: "a"}, {Name: "x", Key: "b"}},
			"same key twice":  {{Name: "x", Key: "a"}, {Name: "y", Key: "a"}},
		} {
			if err := s.CommitAll(ctx, all...); err == nil {
				t.Errorf("%s: no error", name)
			}
			for _, key := range []string{"a", "b"} {
				if info, err := s.Stat(ctx, key); err != nil || info.Kind != snapshots.KindActive {
					t.Errorf("%s: afterwards %s is %v %v", name, key, info.Kind, err)
				}
			}
			if _, err := s.Stat(ctx, "x"); !errdefs.IsNotFound(err) {
				t.Errorf("%s: the first was committed: %v", name, err)
			}
		}
		clean(t, s)
		// What is written after a commit that failed is in the one that succeeds.
		dir, done := mounted(t, s, "a", MountOptions{})
		write(t, dir+"/later", "later")
		done()
		must(t, s.CommitAll(ctx, Commitment{Name: "x", Key: "a"}, Commitment{Name: "y", Key: "b"}))
		must(t, s.Create(ctx, snapshots.KindView, "v", "x"))
		dir, _ = mounted(t, s, "v", MountOptions{})
		if b, err := os.ReadFile(dir + "/later"); err != nil || string(b) != "later" {
			t.Errorf("later: %q %v", b, err)
		}
		clean(t, s)
	})
}

// TestRootImage: a layer written as an image is what its entries say, and survives a commit that
// fails.
func TestRootImage(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), EROFS)
	commit(t, s, "base", "", func(dir string) { write(t, dir+"/old", "old"); write(t, dir+"/kept", "kept") })
	must(t, s.Create(ctx, snapshots.KindActive, "extract", "base"))
	abandoned, err := s.NewImage(ctx, "extract")
	must(t, err)
	must(t, abandoned.Abort())
	w, err := s.NewImage(ctx, "extract")
	must(t, err)
	_, err = w.Add(w.Root(), "new", erofs.Meta{Mode: unix.S_IFREG | 0o640, Size: 3}, strings.NewReader("new"))
	must(t, err)
	_, err = w.Add(w.Root(), "old", erofs.Meta{Mode: unix.S_IFCHR}, nil) // a whiteout
	must(t, err)
	must(t, w.Finish())
	must(t, w.Abort())
	if err := s.Commit(ctx, "base", "extract"); !errdefs.IsAlreadyExists(err) {
		t.Fatalf("commit under a name that is taken: %v", err)
	}
	if u, err := s.Usage(ctx, "extract"); err != nil || u.Inodes != 1 {
		t.Errorf("usage of the image: %+v %v", u, err)
	}
	must(t, s.Commit(ctx, "layer", "extract"))
	must(t, s.Create(ctx, snapshots.KindActive, "c", "layer"))
	dir, _ := mounted(t, s, "c", MountOptions{})
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 || entries[0].Name() != "kept" || entries[1].Name() != "new" {
		t.Errorf("the tree has %v, want kept and new", entries)
	}
	if _, err := s.NewImage(ctx, "layer"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("an image for a committed snapshot: %v", err)
	}
	clean(t, s)
	other := open(t, t.TempDir(), Native)
	must(t, other.Create(ctx, snapshots.KindActive, "c", ""))
	if _, err := other.NewImage(ctx, "c"); !errdefs.IsNotImplemented(err) {
		t.Errorf("an image with the native driver: %v", err)
	}
}

// TestRootLayersShareMemory: containers on one layer share its superblock, and so its page cache.
func TestRootLayersShareMemory(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), EROFS)
	commit(t, s, "base", "", func(dir string) { write(t, dir+"/file", "x") })
	dev := func() uint64 {
		f, err := s.Layer(ctx, "base")
		must(t, err)
		defer f.Close()
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		return st.Dev
	}
	first := dev()
	must(t, s.Create(ctx, snapshots.KindView, "v", "base"))
	if second := dev(); second != first {
		t.Errorf("the layer is on devices %d and %d", first, second)
	}
	m, err := s.Mounts(ctx, "v")
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Stat(m[0].Source, &st))
	if st.Dev != first {
		t.Errorf("Mounts shows the layer on device %d, Mount on %d", st.Dev, first)
	}
}

// TestRootParallel: many at once, on shared parents, with removals in between; run with -race.
func TestRootParallel(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		s := open(t, t.TempDir(), driver)
		commit(t, s, "base", "", func(dir string) { write(t, dir+"/file", "x") })
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 5 {
					key := string(rune('a'+i)) + string(rune('0'+j))
					err := s.Create(ctx, snapshots.KindActive, key, "base")
					if err == nil {
						var f *os.File
						if f, err = s.Mount(ctx, key, MountOptions{}); err == nil {
							f.Close()
						}
					}
					if err == nil && j%2 == 0 {
						if err = s.Commit(ctx, key+"-layer", key); err == nil {
							key += "-layer"
						}
					}
					if err == nil {
						_, err = s.Usage(ctx, key)
					}
					if err == nil {
						err = s.Remove(ctx, key)
					}
					if err != nil {
						t.Errorf("%s: %v", key, err)
					}
				}
			})
		}
		wg.Wait()
		// The same key by many: one wins.
		var won, lost int
		var mu sync.Mutex
		for range 8 {
			wg.Go(func() {
				err := s.Create(ctx, snapshots.KindActive, "same", "base")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errdefs.IsAlreadyExists(err):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 7 {
			t.Errorf("%d made the same key, %d were refused", won, lost)
		}
		clean(t, s)
	})
}

// TestReaderHoles: a reader gives back a sparse file byte for byte, holes in steps of 4096.
func TestReaderHoles(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer f.Close()
	const size = 3<<20 + 77
	_, err = f.WriteAt([]byte("data"), 1<<20+5)
	must(t, err)
	must(t, f.Truncate(size))
	r := &reader{fd: int(f.Fd())}
	var got []byte
	skipped := int64(0)
	for int64(len(got)) < size {
		n, err := r.SkipHole(size - int64(len(got)))
		must(t, err)
		if n%4096 != 0 && int64(len(got))+n != size {
			t.Fatalf("skipped %d bytes", n)
		}
		skipped += n
		got = append(got, make([]byte, n)...)
		if int64(len(got)) == size {
			break
		}
		buf := make([]byte, 1000)
		k, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, buf[:k]...)
	}
	want, err := os.ReadFile(f.Name())
	must(t, err)
	if string(got) != string(want) {
		t.Error("the content differs")
	}
	if skipped == 0 {
		t.Log("the file system of the temporary directory has no holes")
	}
}
