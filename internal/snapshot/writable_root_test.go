package snapshot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
	"github.com/hull-dev/hull/internal/unpack"
)

// writableDir is a directory for a writable layer, on the store's file system.
func writableDir(t testing.TB) *os.File {
	t.Helper()
	d, err := os.Open(t.TempDir())
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// mountWritable mounts a writable layer and returns a path to it.
func mountWritable(t testing.TB, s *Snapshotter, parent string, dir *os.File, o WritableOptions) (path string, done func()) {
	t.Helper()
	f, err := s.MountWritable(context.Background(), parent, dir, o)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return linux.FDPath(int(f.Fd())), func() { f.Close() }
}

// image makes two layers and returns the name of the upper one.
func image(t testing.TB, s *Snapshotter) string {
	t.Helper()
	commit(t, s, "base", "", func(dir string) {
		must(t, os.Chmod(dir, 0o751))
		must(t, os.MkdirAll(dir+"/etc/deep", 0o755))
		must(t, os.MkdirAll(dir+"/gone/sub", 0o755))
		must(t, os.MkdirAll(dir+"/opaque/sub", 0o755))
		must(t, os.Mkdir(dir+"/todir", 0o755))
		write(t, dir+"/todir/x", "x")
		write(t, dir+"/etc/passwd", "root")
		write(t, dir+"/etc/deep/same", "same")
		write(t, dir+"/opaque/old", "old")
		write(t, dir+"/opaque/kept", "kept")
		write(t, dir+"/hidden", "hidden")
		write(t, dir+"/tofile", "f")
	})
	commit(t, s, "top", "base", func(dir string) {
		write(t, dir+"/etc/top", "top")
		must(t, os.Remove(dir+"/hidden"))
	})
	return "top"
}

func TestRootWritable(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		root := t.TempDir()
		s := open(t, root, driver)
		parent := image(t, s)
		dir := writableDir(t)
		must(t, s.MakeWritable(ctx, parent, dir))
		path, done := mountWritable(t, s, parent, dir, WritableOptions{})
		if _, err := os.Stat(path + "/hidden"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file that the upper layer of the image removed: %v", err)
		}
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		if st.Mode&0o7777 != 0o751 {
			t.Errorf("mode of the root %o, want 751 as in the image", st.Mode&0o7777)
		}
		change(t, path)
		want := files(t, path)
		got := listChanges(t, s, parent, dir)
		if got != wantChanges {
			t.Errorf("changes:\n%s\nwant:\n%s", got, wantChanges)
		}
		done()

		// The layer of it gives the same tree, above the same parent.
		var layer bytes.Buffer
		_, err := s.DiffWritable(ctx, parent, dir, &layer, unpack.WriteOptions{})
		must(t, err)
		second := writableDir(t)
		must(t, s.MakeWritable(ctx, parent, second))
		upper, err := os.Open(second.Name() + "/upper")
		must(t, err)
		defer upper.Close()
		o := unpack.Options{Whiteouts: unpack.Overlay, Devices: true}
		if driver == Native {
			o.Whiteouts = unpack.Apply
		}
		_, err = unpack.Extract(ctx, upper, &layer, o)
		must(t, err)
		path, _ = mountWritable(t, s, parent, second, WritableOptions{})
		if got := files(t, path); got != want {
			t.Errorf("the tree after diff and extraction:\n%s\nwant:\n%s", got, want)
		}

		// Again, and what was written is there.
		path, done = mountWritable(t, s, parent, dir, WritableOptions{MountOptions: MountOptions{ReadOnly: true, Attr: unix.MOUNT_ATTR_NODEV}})
		if got := files(t, path); got != want {
			t.Errorf("the tree after a second mount:\n%s\nwant:\n%s", got, want)
		}
		if err := os.WriteFile(path+"/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("a write to a read-only mount: %v", err)
		}
		var fs unix.Statfs_t
		must(t, unix.Statfs(path, &fs))
		if fs.Flags&unix.ST_NODEV == 0 {
			t.Error("the mount lacks nodev")
		}
		done()
		u, err := s.UsageWritable(ctx, dir)
		must(t, err)
		if u.Size < 100<<10 {
			t.Errorf("usage %d bytes, 100 KiB were written", u.Size)
		}
		if m := mountsBelow(t, root); len(m) > 0 {
			t.Errorf("left in the mount table: %v", m)
		}
		clean(t, s)
	})
}

// change does one of each.
func change(t testing.TB, path string) {
	t.Helper()
	must(t, os.WriteFile(path+"/etc/passwd", []byte("root2"), 0o644))
	must(t, os.Remove(path+"/etc/top"))
	write(t, path+"/etc/new", strings.Repeat("new", 40<<10))
	must(t, os.RemoveAll(path+"/gone"))
	must(t, os.RemoveAll(path+"/opaque"))
	must(t, os.Mkdir(path+"/opaque", 0o755))
	write(t, path+"/opaque/kept", "other")
	write(t, path+"/opaque/new", "new")
	must(t, os.RemoveAll(path+"/todir"))
	write(t, path+"/todir", "file now")
	must(t, os.Remove(path+"/tofile"))
	must(t, os.Mkdir(path+"/tofile", 0o755))
	write(t, path+"/tofile/in", "in")
	write(t, path+"/hidden", "again")
	must(t, os.Chmod(path+"/etc/deep/same", 0o600)) // and back: copied up, and the same
	must(t, os.Chmod(path+"/etc/deep/same", 0o644))
	must(t, unix.Mknod(path+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
}

const wantChanges = `/etc C
/etc/new A
/etc/passwd C
/etc/top D
/gone D
/hidden A
/null A
/opaque C
/opaque/kept C
/opaque/new A
/opaque/old D
/opaque/sub D
/todir C
/tofile C
/tofile/in A`

// listChanges gives them in the order of paths. Whoever is told of a change has been told of the
// directory that it is in.
func listChanges(t testing.TB, s *Snapshotter, parent string, dir *os.File) string {
	t.Helper()
	var all []string
	told := map[string]bool{"/": true}
	must(t, s.ChangesWritable(context.Background(), parent, dir, nil, func(c Change) error {
		if told[c.Path] = true; !told[filepath.Dir(c.Path)] {
			t.Errorf("%s before its directory", c.Path)
		}
		all = append(all, c.Path+" "+c.Kind.String())
		return nil
	}))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func TestRootWritableScratch(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := open(t, t.TempDir(), driver)
		dir := writableDir(t)
		must(t, s.MakeWritable(context.Background(), "", dir))
		path, done := mountWritable(t, s, "", dir, WritableOptions{})
		write(t, path+"/file", "x")
		done()
		if got := listChanges(t, s, "", dir); got != "/file A" {
			t.Errorf("changes %q", got)
		}
		var layer bytes.Buffer
		if _, err := s.DiffWritable(context.Background(), "", dir, &layer, unpack.WriteOptions{}); err != nil || !strings.Contains(layer.String(), "file") {
			t.Errorf("layer: %v", err)
		}
	})
}

func TestRootWritableMapped(t *testing.T) {
	const base = 300000
	eachDriver(t, func(t *testing.T, driver string) {
		for _, detached := range []bool{true, false} {
			ctx := context.Background()
			root := t.TempDir()
			s := openConfig(t, Config{Root: root, Driver: driver, attach: !detached})
			parent := image(t, s)
			dir := writableDir(t)
			must(t, s.MakeWritable(ctx, parent, dir))
			path, _ := mountWritable(t, s, parent, dir, WritableOptions{MountOptions: MountOptions{UserNS: userNamespace(t, base)}})
			var st unix.Stat_t
			must(t, unix.Stat(path+"/etc/passwd", &st))
			if st.Uid != base {
				t.Errorf("owner %d of a file of the image, want %d", st.Uid, base)
			}
			must(t, linux.AsFSUser(base+7, base+8, func() error { return os.WriteFile(path+"/etc/../x", nil, 0o600) }))
			if m := mountsBelow(t, root); len(m) > 0 {
				t.Errorf("in the host's mount table: %v", m)
			}
		}
	})
}

func TestRootWritableVolatile(t *testing.T) {
	for _, driver := range drivers(t, t.TempDir()) {
		if driver == Native {
			continue
		}
		t.Run(driver, func(t *testing.T) {
			ctx := context.Background()
			s := open(t, t.TempDir(), driver)
			parent := image(t, s)
			dir := writableDir(t)
			must(t, s.MakeWritable(ctx, parent, dir))
			o := WritableOptions{Volatile: true}
			path, done := mountWritable(t, s, parent, dir, o)
			if opts := overlayOptionsOf(t, path); !strings.Contains(opts, "volatile") {
				t.Errorf("options %q", opts)
			}
			write(t, path+"/file", "x")
			done()
			path, done = mountWritable(t, s, parent, dir, o) // in the same boot nothing is lost
			if b, err := os.ReadFile(path + "/file"); err != nil || string(b) != "x" {
				t.Errorf("after a second mount: %q %v", b, err)
			}
			done()
			must(t, os.WriteFile(dir.Name()+"/"+volatileBoot, []byte("another boot"), 0o600))
			if _, err := s.MountWritable(ctx, parent, dir, o); err == nil || !strings.Contains(err.Error(), "the host was restarted") {
				t.Errorf("after a restart of the host: %v", err)
			}
		})
	}
}

func TestRootWritableErrors(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		s := open(t, t.TempDir(), driver)
		parent := image(t, s)
		dir := writableDir(t)
		if err := s.MakeWritable(ctx, "none", dir); !errdefs.IsNotFound(err) {
			t.Errorf("above a snapshot that is not there: %v", err)
		}
		if e, _ := os.ReadDir(dir.Name()); len(e) > 0 {
			t.Errorf("left behind: %v", e)
		}
		if _, err := s.MountWritable(ctx, parent, dir, WritableOptions{}); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a directory that was never made: %v", err)
		}
		// A link in the place of upper is not followed (R1).
		must(t, s.MakeWritable(ctx, parent, dir))
		must(t, os.RemoveAll(dir.Name()+"/upper"))
		must(t, os.Symlink("/", dir.Name()+"/upper"))
		if _, err := s.MountWritable(ctx, parent, dir, WritableOptions{}); !errors.Is(err, unix.ELOOP) {
			t.Errorf("upper is a link: %v", err)
		}
		if err := s.ChangesWritable(ctx, parent, dir, nil, func(Change) error { return nil }); !errors.Is(err, unix.ELOOP) {
			t.Errorf("changes of a link: %v", err)
		}
	})
}

// TestRootWritableRedirect: an upper directory that another mount option wrote is refused, not misread.
func TestRootWritableRedirect(t *testing.T) {
	s := open(t, t.TempDir(), Overlay)
	parent := image(t, s)
	dir := writableDir(t)
	must(t, s.MakeWritable(context.Background(), parent, dir))
	must(t, os.Mkdir(dir.Name()+"/upper/moved", 0o755))
	must(t, unix.Setxattr(dir.Name()+"/upper/moved", "trusted.overlay.redirect", []byte("etc"), 0))
	var layer bytes.Buffer
	if _, err := s.DiffWritable(context.Background(), parent, dir, &layer, unpack.WriteOptions{}); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("a redirected directory: %v", err)
	}
}

// TestRootWritableLeaveOut: mount points that the runtime made are no changes, unless there is something in them.
func TestRootWritableLeaveOut(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := open(t, t.TempDir(), driver)
		parent := image(t, s)
		dir := writableDir(t)
		must(t, s.MakeWritable(context.Background(), parent, dir))
		path, done := mountWritable(t, s, parent, dir, WritableOptions{})
		write(t, path+"/etc/hosts", "")
		write(t, path+"/etc/hostname", "mine")
		must(t, os.Mkdir(path+"/proc", 0o755))
		must(t, os.MkdirAll(path+"/sys/x", 0o755))
		done()
		leaveOut := map[string]bool{"etc/hosts": true, "etc/hostname": true, "proc": true, "sys": true}
		var got []string
		must(t, s.ChangesWritable(context.Background(), parent, dir, leaveOut, func(c Change) error {
			got = append(got, c.Kind.String()+" "+c.Path)
			return nil
		}))
		if want := "C /etc, A /etc/hostname, A /sys, A /sys/x"; strings.Join(got, ", ") != want {
			t.Errorf("%v, want %s", got, want)
		}
		var layer bytes.Buffer
		if _, err := s.DiffWritable(context.Background(), parent, dir, &layer, unpack.WriteOptions{LeaveOut: leaveOut}); err != nil {
			t.Fatal(err)
		}
		if l := layer.String(); strings.Contains(l, "etc/hosts\x00") || strings.Contains(l, "proc/") || !strings.Contains(l, "etc/hostname") || !strings.Contains(l, "sys/x/") {
			t.Error("the layer has a mount point, or lacks what is in one")
		}
	})
}
