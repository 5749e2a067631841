package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// TestMain gives the tests a mount namespace of their own.
func TestMain(m *testing.M) {
	if os.Getuid() == 0 && os.Getenv("VOLUME_TEST_NS") == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), "VOLUME_TEST_NS=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		runtime.LockOSThread()
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			os.Exit(exit.ExitCode())
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv("VOLUME_TEST_NS") != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB, root string, at func(string)) *Store {
	t.Helper()
	s, err := Open(Config{Root: root, At: at})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func create(t testing.TB, s *Store, o CreateOptions) Volume {
	t.Helper()
	v, err := s.Create(o)
	must(t, err)
	return v
}

// entries lists what the store has on disk.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	e, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, x := range e {
		names = append(names, x.Name())
	}
	return names
}

func TestRootLife(t *testing.T) {
	root := t.TempDir() + "/volumes"
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := openStore(t, root, nil)
	v := create(t, s, CreateOptions{Name: "data", Labels: map[string]string{"a": "1"}})
	again := create(t, s, CreateOptions{Name: "data", Labels: map[string]string{"a": "2"}})
	if again.Labels["a"] != "1" || v.Mountpoint != root+"/data/_data" || v.Driver != "local" {
		t.Errorf("%+v, %+v", v, again)
	}
	for path, mode := range map[string]os.FileMode{root: 0o700, root + "/data": 0o711, v.Mountpoint: 0o755} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %o", path, st.Mode(), err, mode)
		}
	}
	anon := create(t, s, CreateOptions{User: "c1", Quick: true})
	if _, ok := anon.Labels[AnonymousLabel]; !ok || len(anon.Name) != 64 {
		t.Errorf("anonymous: %+v", anon)
	}
	must(t, s.Use("data", "c2"))
	must(t, s.Use("data", "c1"))
	must(t, s.Use("data", "c1"))
	if err := s.Remove("data", true); !errdefs.IsConflict(err) || err.Error() != "remove data: volume is in use - [c1, c2]" {
		t.Errorf("removal of a used one: %v", err)
	}
	yes, no := true, false
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "data anon"}, {Filter{Dangling: &yes}, ""}, {Filter{Dangling: &no}, "data anon"},
		{Filter{Names: []string{"at"}}, "data"}, {Filter{Names: []string{"^d.ta$"}}, "data"}, {Filter{Names: []string{"x"}}, ""},
		{Filter{Labels: []string{"a"}}, "data"}, {Filter{Labels: []string{"a=1"}}, "data"}, {Filter{Labels: []string{"a=2"}}, ""},
		{Filter{NotLabels: []string{"a"}}, "anon"}, {Filter{Drivers: []string{"local"}}, "data anon"}, {Filter{Drivers: []string{"x"}}, ""},
	} {
		var got []string
		for _, v := range s.List(c.f) {
			got = append(got, strings.ReplaceAll(v.Name, anon.Name, "anon"))
		}
		slices.Sort(got)
		slices.Reverse(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, want %s", c.f, got, c.want)
		}
	}
	s.Release("data", "c1")
	s.Release("data", "c2")
	if got := s.Users("data"); !slices.Equal(got, []string{"c1"}) {
		t.Errorf("users %v: c1 has used it twice", got)
	}
	s.Release("data", "c1")
	s.Release(anon.Name, "c1")
	must(t, os.WriteFile(v.Mountpoint+"/file", make([]byte, 100<<10), 0o600))
	if size, _, err := s.Usage(t.Context(), "data"); err != nil || size < 100<<10 || size > 200<<10 {
		t.Errorf("usage %d %v", size, err)
	}
	removed, _, err := s.Prune(t.Context(), Filter{}, false)
	if err != nil || len(removed) != 1 || removed[0] != anon.Name {
		t.Errorf("pruned %v %v", removed, err)
	}

	// A restart finds what there is.
	must(t, s.Close())
	s = openStore(t, root, nil)
	if got, err := s.Get("data"); err != nil || got.Labels["a"] != "1" || !got.Created.Equal(v.Created) {
		t.Errorf("after a restart: %+v %v", got, err)
	}
	removed, freed, err := s.Prune(t.Context(), Filter{}, true)
	if err != nil || len(removed) != 1 || freed < 100<<10 {
		t.Errorf("pruned all: %v %d %v", removed, freed, err)
	}
	if _, err := s.Get("data"); !errdefs.IsNotFound(err) || err.Error() != "get data: no such volume" {
		t.Errorf("after the removal: %v", err)
	}
	if err := s.Remove("data", false); !errdefs.IsNotFound(err) {
		t.Errorf("again: %v", err)
	}
	must(t, s.Remove("data", true))
	s.gone.Wait()
	if e := entries(t, root); len(e) > 0 {
		t.Errorf("left: %v", e)
	}
	if _, err := s.Create(CreateOptions{Name: "xx", Driver: "foo"}); !errdefs.IsNotFound(err) || err.Error() != `error looking up volume plugin foo: plugin "foo" not found` {
		t.Errorf("a driver that is not there: %v", err)
	}
}

// TestRootCrash kills the store at each point, and holds the next one to whole volumes and no rest.
func TestRootCrash(t *testing.T) {
	image := t.TempDir()
	must(t, os.Mkdir(image+"/data", 0o755))
	must(t, os.WriteFile(image+"/data/file", []byte("from the image"), 0o600))
	open := func(context.Context) (*os.File, error) { return os.Open(image) }
	for _, point := range []string{"volume.directory", "volume.written", "volume.named", "volume.mounted", "volume.copy", "volume.copied", "volume.trashed"} {
		t.Run(point, func(t *testing.T) {
			root := t.TempDir()
			s := openStore(t, root, func(p string) {
				if p == point {
					panic(point)
				}
			})
			died := func() (died bool) {
				defer func() { died = recover() != nil }()
				if _, err := s.Create(CreateOptions{Name: "data", Quick: true}); err != nil {
					t.Error(err)
				}
				if _, err := s.Mount(t.Context(), MountRequest{Name: "data", User: "c", Image: open, Destination: "/data"}); err != nil {
					t.Error(err)
				}
				must(t, s.Remove("data", false))
				return false
			}
			if !died() {
				t.Fatal("the point was not passed")
			}
			copyRoot(t, root)
			s = openStore(t, root+".copy", nil)
			s.gone.Wait()
			for _, name := range entries(t, root+".copy") {
				if strings.HasPrefix(name, ".") {
					t.Errorf("left: %s", name)
				}
				if e := entries(t, root+".copy/"+name); !slices.Equal(e, []string{"_data", "meta.json"}) {
					t.Errorf("in the volume: %v", e)
				}
				if _, err := s.Get(name); err != nil {
					t.Error(err)
				}
				h, err := s.Mount(t.Context(), MountRequest{Name: name, User: "c", Image: open, Destination: "/data"})
				must(t, err)
				if b, err := os.ReadFile(linux.FDPath(int(h.File.Fd())) + "/file"); string(b) != "from the image" {
					t.Errorf("the file of the image: %q %v", b, err)
				}
				h.File.Close()
			}
		})
	}
}

// copyRoot makes root.copy as the disk is at this moment: the store of root has its locks still.
func copyRoot(t *testing.T, root string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", root, root+".copy").CombinedOutput(); err != nil {
		t.Fatalf("%s %v", out, err)
	}
}

func TestRootTornMeta(t *testing.T) {
	root := t.TempDir()
	s := openStore(t, root, nil)
	v := create(t, s, CreateOptions{Name: "data", Labels: map[string]string{"a": "1"}})
	must(t, os.WriteFile(v.Mountpoint+"/file", []byte("x"), 0o600))
	must(t, s.Close())
	must(t, os.Truncate(root+"/data/meta.json", 0))
	s = openStore(t, root, nil)
	if got, err := s.Get("data"); err != nil || len(got.Labels) > 0 || got.Created.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
	if b, err := os.ReadFile(v.Mountpoint + "/file"); string(b) != "x" {
		t.Errorf("the files: %q %v", b, err)
	}
}

func TestRootCopyUp(t *testing.T) {
	image := t.TempDir()
	must(t, os.MkdirAll(image+"/var/lib/db/sub", 0o750))
	must(t, os.WriteFile(image+"/var/lib/db/file", []byte("x"), 0o640))
	must(t, os.Chown(image+"/var/lib/db/file", 999, 998))
	must(t, os.Chown(image+"/var/lib/db", 999, 998))
	must(t, unix.Chmod(image+"/var/lib/db", 0o1770))
	must(t, os.Symlink("file", image+"/var/lib/db/link"))
	must(t, unix.Setxattr(image+"/var/lib/db/file", "user.x", []byte("y"), 0))
	canary := t.TempDir()
	must(t, os.WriteFile(canary+"/token", []byte("canary"), 0o600))
	must(t, os.Symlink(strings.Repeat("../", 30)+canary, image+"/out"))
	must(t, os.Symlink(canary, image+"/abs"))
	must(t, os.Symlink("var/lib/db", image+"/in"))
	s := openStore(t, t.TempDir(), nil)
	open := func(context.Context) (*os.File, error) { return os.Open(image) }
	mount := func(name, dest string) string {
		t.Helper()
		v := create(t, s, CreateOptions{Name: name})
		h, err := s.Mount(t.Context(), MountRequest{Name: name, User: "c", Image: open, Destination: dest})
		must(t, err)
		defer h.File.Close()
		if h.Path != v.Mountpoint {
			t.Errorf("path %q", h.Path)
		}
		var a, b unix.Stat_t // the descriptor is what the path is now
		must(t, unix.Fstat(int(h.File.Fd()), &a))
		must(t, unix.Stat(v.Mountpoint, &b))
		if a.Ino != b.Ino {
			t.Error("the descriptor is of another directory")
		}
		return v.Mountpoint
	}
	for _, dest := range []string{"/var/lib/db", "/in"} {
		m := mount("v"+filepath.Base(dest), dest)
		var st unix.Stat_t
		must(t, unix.Stat(m, &st))
		if st.Mode&0o7777 != 0o1770 || st.Uid != 999 || st.Gid != 998 {
			t.Errorf("%s: the directory is %o %d:%d", dest, st.Mode, st.Uid, st.Gid)
		}
		must(t, unix.Lstat(m+"/file", &st))
		if st.Mode&0o7777 != 0o640 || st.Uid != 999 || st.Gid != 998 {
			t.Errorf("%s: the file is %o %d:%d", dest, st.Mode, st.Uid, st.Gid)
		}
		buf := make([]byte, 9)
		if n, err := unix.Getxattr(m+"/file", "user.x", buf); err != nil || string(buf[:n]) != "y" {
			t.Errorf("%s: attribute %q %v", dest, buf[:n], err)
		}
		if l, err := os.Readlink(m + "/link"); err != nil || l != "file" {
			t.Errorf("%s: link %q %v", dest, l, err)
		}
	}
	for _, dest := range []string{"/out", "/abs", "/none", "/var/lib/db/file", "/proc/self/root"} {
		if e := entries(t, mount("w"+filepath.Base(dest), dest)); len(e) > 0 {
			t.Errorf("%s: %v was copied", dest, e)
		}
	}
	// What is in the volume already stays.
	v := create(t, s, CreateOptions{Name: "full"})
	must(t, os.WriteFile(v.Mountpoint+"/own", nil, 0o600))
	if e := entries(t, mount("full", "/var/lib/db")); !slices.Equal(e, []string{"own"}) {
		t.Errorf("a full volume has %v now", e)
	}
	// One that another container has keeps its directory.
	create(t, s, CreateOptions{Name: "shared"})
	h, err := s.Mount(t.Context(), MountRequest{Name: "shared", User: "other"})
	must(t, err)
	defer h.File.Close()
	mount("shared", "/var/lib/db")
	if e := entries(t, linux.FDPath(int(h.File.Fd()))); len(e) != 3 {
		t.Errorf("the other container sees %v", e)
	}
}

func TestRootSubpath(t *testing.T) {
	s := openStore(t, t.TempDir(), nil)
	v := create(t, s, CreateOptions{Name: "data"})
	canary := t.TempDir()
	must(t, os.WriteFile(canary+"/token", []byte("canary"), 0o600))
	must(t, os.MkdirAll(v.Mountpoint+"/a/b", 0o755))
	must(t, os.WriteFile(v.Mountpoint+"/a/b/file", []byte("x"), 0o644))
	must(t, os.Symlink("a/b", v.Mountpoint+"/link"))
	must(t, os.Symlink(canary, v.Mountpoint+"/out"))
	must(t, os.Symlink("/proc/self/root"+canary, v.Mountpoint+"/magic"))
	get := func(sub string) (string, error) {
		h, err := s.Mount(t.Context(), MountRequest{Name: "data", User: "c", Subpath: sub})
		if err != nil {
			return "", err
		}
		defer h.File.Close()
		defer func() { must(t, s.Unmount("data", "c")) }()
		if h.Path != "" {
			t.Errorf("%s: path %q", sub, h.Path)
		}
		p := linux.FDPath(int(h.File.Fd()))
		if b, err := os.ReadFile(p); err == nil {
			return string(b), nil
		}
		return strings.Join(entries(t, p), " "), nil
	}
	for sub, want := range map[string]string{"a": "b", "a/b": "file", "link": "file", "link/file": "x", "a/../a/b": "file"} {
		if got, err := get(sub); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", sub, got, err, want)
		}
	}
	for _, sub := range []string{"none", "out", "out/token", "magic/token", "../../../../../../.." + canary} {
		if got, err := get(sub); err == nil || !strings.Contains(err.Error(), "cannot access path "+v.Mountpoint+"/"+sub) {
			t.Errorf("%s: %q %v", sub, got, err)
		}
	}
	if v := s.volumes["data"]; len(v.mounts) != 0 {
		t.Errorf("still mounted by %v", v.mounts)
	}
}

// TestRootSubpathSwap: a container that exchanges a directory and a link never gets at the host.
func TestRootSubpathSwap(t *testing.T) {
	s := openStore(t, t.TempDir(), nil)
	v := create(t, s, CreateOptions{Name: "data"})
	canary := t.TempDir()
	must(t, os.WriteFile(canary+"/token", []byte("canary"), 0o600))
	must(t, os.MkdirAll(v.Mountpoint+"/dir", 0o755))
	must(t, os.Symlink(canary, v.Mountpoint+"/evil"))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, v.Mountpoint+"/dir", unix.AT_FDCWD, v.Mountpoint+"/evil", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 5000 {
		h, err := s.Mount(t.Context(), MountRequest{Name: "data", User: "c", Subpath: "dir"})
		if err != nil {
			continue
		}
		if _, err := os.Stat(linux.FDPath(int(h.File.Fd())) + "/token"); err == nil {
			t.Fatal("the canary was seen")
		}
		h.File.Close()
		must(t, s.Unmount("data", "c"))
	}
	close(stop)
	<-done
}

func TestRootDriverOptions(t *testing.T) {
	root := t.TempDir()
	s := openStore(t, root, nil)
	other := t.TempDir()
	must(t, os.WriteFile(other+"/there", nil, 0o600))
	v := create(t, s, CreateOptions{Name: "ram", Options: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0700,noexec"}})
	create(t, s, CreateOptions{Name: "bind", Options: map[string]string{"type": "none", "device": other, "o": "bind,ro"}})
	create(t, s, CreateOptions{Name: "bad", Options: map[string]string{"type": "none", "device": "/nonexistent", "o": "bind"}})
	h, err := s.Mount(t.Context(), MountRequest{Name: "ram", User: "c1"})
	must(t, err)
	var fs unix.Statfs_t
	must(t, unix.Fstatfs(int(h.File.Fd()), &fs))
	if fs.Type != unix.TMPFS_MAGIC || fs.Blocks*uint64(fs.Bsize) != 1<<20 || fs.Flags&unix.ST_NOEXEC == 0 {
		t.Errorf("%+v", fs)
	}
	h.File.Close()
	must(t, os.WriteFile(v.Mountpoint+"/x", []byte("x"), 0o600))
	h2, err := s.Mount(t.Context(), MountRequest{Name: "ram", User: "c2"})
	must(t, err)
	h2.File.Close()
	must(t, s.Unmount("ram", "c1"))
	if _, err := os.Stat(v.Mountpoint + "/x"); err != nil {
		t.Errorf("the second container lost it: %v", err)
	}

	// A restart while a container has it.
	must(t, s.Close())
	s = openStore(t, root, nil)
	must(t, s.Mounted("ram", "c2"))
	s.Settle()
	if _, err := os.Stat(v.Mountpoint + "/x"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	must(t, s.Unmount("ram", "c2"))
	if e := entries(t, v.Mountpoint); len(e) > 0 {
		t.Errorf("after the last unmount: %v", e)
	}

	// A restart after the container went.
	h, err = s.Mount(t.Context(), MountRequest{Name: "bind", User: "c1"})
	must(t, err)
	if e := entries(t, linux.FDPath(int(h.File.Fd()))); !slices.Equal(e, []string{"there"}) {
		t.Errorf("bind: %v", e)
	}
	if err := os.WriteFile(linux.FDPath(int(h.File.Fd()))+"/y", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write: %v", err)
	}
	h.File.Close()
	must(t, s.Close())
	s = openStore(t, root, nil)
	s.Settle()
	if e := entries(t, root+"/bind/_data"); len(e) > 0 {
		t.Errorf("still attached: %v", e)
	}
	h, err = s.Mount(t.Context(), MountRequest{Name: "bind", User: "c1"})
	must(t, err)
	h.File.Close()
	must(t, s.Close())
	s = openStore(t, root, nil)
	must(t, s.Remove("bind", false)) // and the directory that is behind it stays
	s.gone.Wait()
	if _, err := os.Stat(other + "/there"); err != nil {
		t.Errorf("the bind's source: %v", err)
	}
	if _, err := s.Mount(t.Context(), MountRequest{Name: "bad", User: "c"}); err == nil || !strings.Contains(err.Error(), "failed to mount local volume: mount /nonexistent:") {
		t.Errorf("a device that is not there: %v", err)
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(b), root) {
		t.Errorf("left in the mount table: %v", err)
	}
}

func TestRootTransfer(t *testing.T) {
	s := openStore(t, t.TempDir(), nil)
	v := create(t, s, CreateOptions{Name: "from"})
	w := create(t, s, CreateOptions{Name: "to"})
	must(t, os.MkdirAll(v.Mountpoint+"/d/e", 0o750))
	must(t, os.WriteFile(v.Mountpoint+"/d/file", []byte("x"), 0o640))
	must(t, os.Chown(v.Mountpoint+"/d/file", 5, 6))
	must(t, os.Symlink("/etc/passwd", v.Mountpoint+"/link"))
	var b bytes.Buffer
	must(t, s.Export(t.Context(), "from", &b))
	must(t, s.Import(t.Context(), "to", &b))
	var st unix.Stat_t
	must(t, unix.Lstat(w.Mountpoint+"/d/file", &st))
	if st.Uid != 5 || st.Gid != 6 || st.Mode&0o777 != 0o640 {
		t.Errorf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	}
	if l, err := os.Readlink(w.Mountpoint + "/link"); l != "/etc/passwd" {
		t.Errorf("%q %v", l, err)
	}
	h, err := s.Mount(t.Context(), MountRequest{Name: "to", User: "c"})
	must(t, err)
	h.File.Close()
	if err := s.Import(t.Context(), "to", strings.NewReader("")); !errdefs.IsConflict(err) {
		t.Errorf("import into a mounted volume: %v", err)
	}
	if len(s.volumes["from"].mounts)+len(s.Users("from"))+len(s.Users("to")) > 0 {
		t.Error("the transfer still has a volume")
	}
}

func TestRootPropagation(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	f, err := os.Open(dir)
	must(t, err)
	defer f.Close()
	for _, c := range []struct {
		flags           uintptr
		propagation, ok string
	}{
		{unix.MS_PRIVATE, "rprivate", ""}, {unix.MS_PRIVATE, "", ""},
		{unix.MS_PRIVATE, "rshared", fmt.Sprintf("path %s is mounted on %s but it is not a shared mount", dir, dir)},
		{unix.MS_PRIVATE, "slave", fmt.Sprintf("path %s is mounted on %s but it is not a shared or slave mount", dir, dir)},
		{unix.MS_SHARED, "shared", ""}, {unix.MS_SHARED, "rslave", ""},
	} {
		must(t, unix.Mount("", dir, "", c.flags, ""))
		err := CheckPropagation(f, dir, c.propagation)
		if (err == nil) != (c.ok == "") || err != nil && err.Error() != c.ok {
			t.Errorf("%v: %v", c, err)
		}
	}
}
