package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/erofs"
)

// canary makes a directory that must be the same in the end.
func canary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/fs", 0o700))
	must(t, os.Mkdir(dir+"/work", 0o700))
	write(t, dir+"/fs/token", "secret")
	f, err := os.Create(dir + "/layer.erofs")
	must(t, err)
	defer f.Close()
	w := erofs.NewWriter(f, erofs.Options{})
	_, err = w.Add(w.Root(), "token", erofs.Meta{Mode: unix.S_IFREG | 0o600, Size: 6}, strings.NewReader("secret"))
	must(t, err)
	must(t, w.Close())
	before := files(t, dir)
	t.Cleanup(func() {
		if after := files(t, dir); after != before {
			t.Errorf("the canary changed:\n%s\nwas:\n%s", after, before)
		}
	})
	return dir
}

// TestRootLinksForDirectories: a link in place of a snapshot's directory, or of a part of it, is
// never followed (SECURITY.md R1), whatever is asked of the snapshot.
func TestRootLinksForDirectories(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		for _, part := range []string{"", "/fs", "/work", "/layer.erofs"} {
			t.Run("snapshots/ID"+part, func(t *testing.T) {
				ctx := context.Background()
				target := canary(t)
				s := open(t, t.TempDir(), driver)
				commit(t, s, "base", "", func(dir string) { write(t, dir+"/a", "1") })
				must(t, s.Create(ctx, snapshots.KindActive, "c", "base"))
				must(t, s.Create(ctx, snapshots.KindActive, "alone", ""))
				for id := range 4 {
					p := s.path(fmt.Sprint(id), "") + part
					if _, err := os.Lstat(p); err != nil {
						continue
					}
					must(t, os.RemoveAll(p))
					must(t, os.Symlink(target+part, p))
				}
				if d, ok := s.driver.(*erofsDriver); ok {
					d.forget("1") // as after a restart
				}
				for _, key := range []string{"c", "alone"} {
					if f, err := s.Mount(ctx, key, MountOptions{}); err == nil {
						if _, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d/token", f.Fd())); err == nil {
							t.Errorf("Mount of %s shows the canary", key)
						}
						f.Close()
					}
					if u, err := s.Usage(ctx, key); err == nil && u.Inodes > 1 && part == "/fs" {
						t.Errorf("Usage of %s counts the canary: %+v", key, u)
					}
					if err := s.Commit(ctx, "committed-"+key, key); err == nil && (part == "" || part == "/fs") {
						t.Errorf("Commit of %s takes the canary", key)
					}
				}
				must(t, s.Create(ctx, snapshots.KindView, "view-of-alone", ""))
				for _, key := range []string{"c", "view-of-alone"} {
					mounts, err := s.Mounts(ctx, key)
					if err != nil {
						continue
					}
					for _, m := range mounts {
						if part != "/work" && strings.Contains(fmt.Sprint(m), "/1/"+part) {
							t.Errorf("Mounts of %s hands on a link: %v", key, m)
						}
					}
				}
				if problems, err := s.Check(ctx, false); err != nil || len(problems) == 0 && (part == "" || part == "/fs") {
					t.Errorf("Check finds nothing: %v", err)
				}
				for range 2 {
					var names []string
					must(t, s.Walk(ctx, func(_ context.Context, i snapshots.Info) error { names = append(names, i.Name); return nil }))
					for _, name := range names {
						_ = s.Remove(ctx, name) // children first by the second round
					}
				}
				clean(t, s)
			})
		}
	})
}

// TestRootNames: names are any bytes and never a path.
func TestRootNames(t *testing.T) {
	ctx := context.Background()
	target := canary(t)
	root := t.TempDir()
	s := open(t, root, Overlay)
	for _, name := range []string{"../../../" + target, target, "..", ".", "/", "a\nb", "\xff\xfe", "new-1", "sha256:../../etc", strings.Repeat("x", maxNameBytes-7), "metadata.db"} {
		key := name + " active"
		must(t, s.Create(ctx, snapshots.KindActive, key, ""))
		must(t, s.Commit(ctx, name, key))
		must(t, s.Create(ctx, snapshots.KindView, key, name))
		_, done := mounted(t, s, key, MountOptions{})
		done()
		must(t, s.Remove(ctx, key))
		must(t, s.Remove(ctx, name))
	}
	for _, name := range []string{"", strings.Repeat("x", maxNameBytes+1), "a\x00b"} {
		if err := s.Create(ctx, snapshots.KindActive, name, ""); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Create %.20q: %v, want InvalidArgument", name, err)
		}
		if err := s.Commit(ctx, name, "x"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Commit %.20q: %v, want InvalidArgument", name, err)
		}
	}
	entries, err := os.ReadDir(root)
	must(t, err)
	if len(entries) != 5 {
		t.Errorf("the store has %v", entries)
	}
	clean(t, s)
}

// TestRootRemoveHostileTree: what a container can leave in its directory goes away, and nothing
// else: deep trees, links to the host, immutable files.
func TestRootRemoveHostileTree(t *testing.T) {
	const depth = 600
	// The tree is deeper than there are descriptors.
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: depth / 3, Max: limit.Max}))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		target := canary(t)
		s := open(t, t.TempDir(), driver)
		must(t, s.Create(ctx, snapshots.KindActive, "c", ""))
		dir, done := mounted(t, s, "c", MountOptions{})
		must(t, os.Symlink(target, dir+"/link"))
		must(t, os.Symlink(target, dir+"/fs"))
		write(t, dir+"/immutable", "x")
		must(t, os.Mkdir(dir+"/immutable-dir", 0o700))
		write(t, dir+"/immutable-dir/x", "x")
		for _, name := range []string{"/immutable-dir/x", "/immutable", "/immutable-dir"} {
			setImmutable(t, dir+name)
		}
		at, err := unix.Open(dir+"/.", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		for range depth {
			must(t, unix.Mkdirat(at, "d", 0o700))
			next, err := unix.Openat(at, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			unix.Close(at)
			must(t, err)
			at = next
			must(t, unix.Symlinkat(target, at, "link"))
		}
		unix.Close(at)
		done()
		u, err := s.Usage(ctx, "c")
		must(t, err)
		if u.Inodes < 2*depth {
			t.Errorf("%d inodes, there are more than %d", u.Inodes, 2*depth)
		}
		if driver != Overlay { // the others read the tree to copy it
			must(t, s.Commit(ctx, "deep", "c"))
			must(t, s.Create(ctx, snapshots.KindActive, "c", "deep"))
			must(t, s.Remove(ctx, "c"))
			must(t, s.Remove(ctx, "deep"))
		} else {
			must(t, s.Remove(ctx, "c"))
		}
		must(t, s.Cleanup(ctx))
		if entries, err := os.ReadDir(s.root + "/trash"); err != nil || len(entries) > 0 {
			t.Errorf("in the trash after Cleanup: %v %v", entries, err)
		}
		clean(t, s)
	})
}

// setImmutable is chattr +i.
func setImmutable(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10); err != nil {
		t.Logf("the file system has no immutable flag: %v", err)
	}
}

// TestRootOverlayAttributes: a layer may not tell overlayfs where to find a directory or a file's
// data (redirect and metacopy attributes of a hostile layer).
func TestRootOverlayAttributes(t *testing.T) {
	for _, driver := range []string{Overlay, EROFS} {
		t.Run(driver, func(t *testing.T) {
			ctx := context.Background()
			s := open(t, t.TempDir(), driver)
			commit(t, s, "base", "", func(dir string) {
				must(t, os.Mkdir(dir+"/secret", 0o700))
				write(t, dir+"/secret/token", "secret")
			})
			must(t, s.Create(ctx, snapshots.KindActive, "h", ""))
			dir, done := mounted(t, s, "h", MountOptions{})
			must(t, os.Mkdir(dir+"/public", 0o755))
			must(t, unix.Setxattr(dir+"/public", "trusted.overlay.redirect", []byte("/secret"), 0))
			write(t, dir+"/meta", "")
			must(t, os.Truncate(dir+"/meta", 6))
			must(t, unix.Setxattr(dir+"/meta", "trusted.overlay.metacopy", nil, 0))
			must(t, unix.Setxattr(dir+"/meta", "trusted.overlay.redirect", []byte("/secret/token"), 0))
			done()
			must(t, s.CommitAll(ctx, Commitment{"hostile", "h", []snapshots.Opt{snapshots.WithParent("base")}}))
			must(t, s.Create(ctx, snapshots.KindActive, "c", "hostile"))
			dir, _ = mounted(t, s, "c", MountOptions{})
			if b, err := os.ReadFile(dir + "/public/token"); err == nil {
				t.Errorf("the redirect was followed: %q", b)
			}
			if b, err := os.ReadFile(dir + "/meta"); err == nil && string(b) == "secret" {
				t.Error("the metacopy was followed")
			}
		})
	}
}

// TestRootImageKeepsLayerAttributes: in an image are overlayfs' attributes that belong to the
// layer, not those that tie files to one mount.
func TestRootImageKeepsLayerAttributes(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), EROFS)
	commit(t, s, "base", "", func(dir string) {
		must(t, os.Mkdir(dir+"/d", 0o755))
		write(t, dir+"/d/old", "old")
		write(t, dir+"/f", "old")
	})
	must(t, s.Create(ctx, snapshots.KindActive, "c", "base"))
	dir, done := mounted(t, s, "c", MountOptions{})
	must(t, os.RemoveAll(dir+"/d"))
	must(t, os.Mkdir(dir+"/d", 0o755)) // opaque
	write(t, dir+"/f", "new")          // copied up: has an origin
	must(t, unix.Setxattr(dir+"/f", "trusted.overlay.opaque", []byte("inner"), 0))
	done()
	must(t, s.Commit(ctx, "layer", "c"))
	f, err := s.Layer(ctx, "layer")
	must(t, err)
	defer f.Close()
	layer := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	for path, want := range map[string]string{"/d": "trusted.overlay.opaque", "/f": "trusted.overlay.overlay.opaque"} {
		names, err := xattrNames(func(buf []byte) (int, error) { return unix.Llistxattr(layer+path, buf) })
		must(t, err)
		if len(names) != 1 || names[0] != want {
			t.Errorf("%s has %v, want %s alone", path, names, want)
		}
	}
}

// TestRootClosed: after Close everything is refused, and a second opener is while it is open.
func TestRootClosed(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	s := open(t, root, Overlay)
	if _, err := Open(Config{Root: root, Driver: Overlay}); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("opened twice: %v", err)
	}
	must(t, s.Create(ctx, snapshots.KindActive, "c", ""))
	must(t, s.Close())
	for name, err := range map[string]error{
		"Create":  s.Create(ctx, snapshots.KindActive, "d", ""),
		"Remove":  s.Remove(ctx, "c"),
		"Cleanup": s.Cleanup(ctx),
		"Commit":  s.Commit(ctx, "n", "c"),
		"Walk":    s.Walk(ctx, func(context.Context, snapshots.Info) error { return nil }),
	} {
		if !errors.Is(err, errdefs.ErrUnavailable) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if _, err := Open(Config{Root: root, Driver: Native}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a store of overlay opened as native: %v", err)
	}
	if info, err := os.Stat(root); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store has mode %v %v, want 0700", info.Mode(), err)
	}
}
