package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
	"golang.org/x/sys/unix"
)

// TestRootRoundTrip: all that an archive can hold survives being written and extracted.
func TestRootRoundTrip(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fillTree(t, from)
	ws, st := pipe(t, from, to, asRoot)
	if ws.DiffID != st.DiffID {
		t.Errorf("written as %s, read as %s", ws.DiffID, st.DiffID)
	}
	sameTrees(t, "round trip", treeOf(t, to), treeOf(t, from))
	if !st.SetID {
		t.Error("set-id files and capabilities were not noticed")
	}
	if _, st = pipe(t, t.TempDir(), t.TempDir(), asRoot); st.SetID {
		t.Error("an empty tree has set-id files")
	}
}

// TestRootGNUTar: what GNU tar writes, in each of its formats, is extracted as GNU tar does, and
// GNU tar extracts what Write writes.
func TestRootGNUTar(t *testing.T) {
	from := t.TempDir()
	fillTree(t, from)
	want := treeOf(t, from)
	for _, format := range [][]string{
		{"--format=gnu", "--sparse"}, {"--format=pax", "--sparse", "--sparse-version=0.0"}, {"--format=pax", "--sparse", "--sparse-version=0.1"},
		{"--format=pax", "--sparse", "--sparse-version=1.0"}, {"--format=pax"}, {"--format=gnu"},
	} {
		args := append([]string{"-C", from, "-cf", "-", "--numeric-owner"}, format...)
		if format[0] == "--format=pax" {
			args = append(args, "--xattrs", "--xattrs-include=*")
		}
		args = append(args, ".")
		out, err := exec.Command("tar", args...).Output()
		if err != nil {
			t.Fatalf("tar %v: %v", args, err)
		}
		to := t.TempDir()
		if _, err := extractTo(t, to, bytes.NewReader(out), asRoot); err != nil {
			t.Errorf("%v: %v", format, err)
			continue
		}
		got := treeOf(t, to)
		if format[0] == "--format=gnu" { // whole seconds, no extended attributes
			other := t.TempDir()
			cmd := exec.Command("tar", "-C", other, "-xpf", "-", "--numeric-owner")
			cmd.Stdin = bytes.NewReader(out)
			if msg, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("tar -x: %v: %s", err, msg)
			}
			sameTrees(t, fmt.Sprint(format), got, treeOf(t, other))
		} else {
			sameTrees(t, fmt.Sprint(format), got, want)
		}
		if len(format) > 1 {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(to, "sparse"), &st); err != nil || st.Blocks > 1024 {
				t.Errorf("%v: the sparse file has %d blocks, %v", format, st.Blocks, err)
			}
		}
	}
	to := t.TempDir()
	cmd := exec.Command("tar", "-C", to, "-xpf", "-", "--numeric-owner", "--xattrs", "--xattrs-include=*")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var msg bytes.Buffer
	cmd.Stderr = &msg
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), in, open(t, from), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tar -x: %v: %s", err, &msg)
	}
	sameTrees(t, "Write and tar -x", treeOf(t, to), want)
}

// TestRootIDMaps: ids are mapped on the way in and back on the way out.
func TestRootIDMaps(t *testing.T) {
	maps := []IDMap{{0, 100000, 65536}, {65536, 400000, 10}}
	from, to, back := t.TempDir(), t.TempDir(), t.TempDir()
	fillTree(t, from)
	if err := os.Remove(filepath.Join(from, "lib")); err != nil { // its group is 2^32-2
		t.Fatal(err)
	}
	if err := unix.Chown(filepath.Join(from, "etc/passwd"), 65537, 0); err != nil {
		t.Fatal(err)
	}
	o := asRoot
	o.UIDMap, o.GIDMap = maps, maps
	pipe(t, from, to, o)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(to, "etc/passwd"), &st); err != nil || st.Uid != 400001 || st.Gid != 100000 {
		t.Errorf("the owner is %d:%d, %v", st.Uid, st.Gid, err)
	}
	var b bytes.Buffer
	if _, err := Write(context.Background(), &b, open(t, to), WriteOptions{UIDMap: maps, GIDMap: maps}); err != nil {
		t.Fatal(err)
	}
	if _, err := extractTo(t, back, &b, asRoot); err != nil {
		t.Fatal(err)
	}
	sameTrees(t, "mapped and back", treeOf(t, back, "dirtimes"), treeOf(t, from, "dirtimes"))

	o.UIDMap = maps[:1]
	if _, err := extractTo(t, t.TempDir(), bytes.NewReader(archive(t, tar.Header{Name: "x", Uid: 65536})), o); !errors.Is(err, ErrArchive) {
		t.Errorf("an id outside of the map: %v", err)
	}
	if _, err := Write(context.Background(), io.Discard, open(t, from), WriteOptions{UIDMap: maps, GIDMap: maps}); err == nil {
		t.Error("an owner outside of the map was written")
	}
}

// TestRootOwner: one owner for all entries (COPY --chown), and set-group-id directories that do not hand on what the archive does not say.
func TestRootOwner(t *testing.T) {
	o := asRoot
	o.Owner = &Owner{UID: 5, GID: 6}
	root := t.TempDir()
	setgid := dirEntry("d")
	setgid.Mode, setgid.Gid = 0o2775, 77
	data := archive(t, setgid, file("d/f", "x"), dirEntry("d/e"), symlink("d/l", "f"), file("implied/f", "x"))
	if _, err := extractTo(t, root, bytes.NewReader(data), o); err != nil {
		t.Fatal(err)
	}
	for p, d := range treeOf(t, root) {
		if p != "." && !strings.Contains(d, " 5:6 ") {
			t.Errorf("%s is %s", p, d)
		}
	}
	root = t.TempDir()
	if _, err := extractTo(t, root, bytes.NewReader(data), asRoot); err != nil {
		t.Fatal(err)
	}
	tree := treeOf(t, root)
	for p, want := range map[string]string{"d": "42775 0:77 ", "d/f": "100644 0:0 ", "d/e": "40755 0:0 ", "d/l": "120777 0:0 "} {
		if !strings.HasPrefix(tree[p], want) {
			t.Errorf("%s is %s, want %s", p, tree[p], want)
		}
	}
}

// TestRootDevices: only when asked.
func TestRootDevices(t *testing.T) {
	data := archive(t, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}, tar.Header{Typeflag: tar.TypeFifo, Name: "p"})
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(data), Options{})
	if err != nil || st.SkippedDevices != 1 || st.Nodes != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := os.Lstat(filepath.Join(root, "null")); !os.IsNotExist(err) {
		t.Errorf("a device was made: %v", err)
	}
}

// TestRootCage: the thread that makes files cannot open anything outside, even if it is told to;
// other threads can, before and after.
func TestRootCage(t *testing.T) {
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(archive(t, file("a", "x"))), asRoot)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Caged {
		t.Skip("this kernel has no Landlock")
	}
	d, low, elsewhere := open(t, root), open(t, t.TempDir()), t.TempDir()
	var inside, outside, lower, write error
	err = onOwnThread(func() error {
		if _, _, err := cage(d, []*os.File{low}); err != nil {
			return err
		}
		inside = create(int(d.Fd()), "b")
		lower = create(int(low.Fd()), "b")
		_, outside = unix.Open("/etc/passwd", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		write = unix.Mkdir(elsewhere+"/x", 0o755)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if inside != nil || outside != unix.EACCES || lower != unix.EACCES || write != unix.EACCES {
		t.Errorf("inside: %v; outside: %v, %v; in a lower layer: %v", inside, outside, write, lower)
	}
	if _, err := os.ReadFile("/etc/passwd"); err != nil {
		t.Errorf("the cage is around other threads too: %v", err)
	}
}

func create(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// TestRootMounts: a mount below the root is not entered, unless asked.
func TestRootMounts(t *testing.T) {
	root := t.TempDir()
	m := filepath.Join(root, "m")
	if err := os.Mkdir(m, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", m, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(m, unix.MNT_DETACH)
	data := archive(t, file("m/x", "y"))
	if _, err := extractTo(t, root, bytes.NewReader(data), asRoot); !errors.Is(err, ErrArchive) {
		t.Errorf("got %v", err)
	}
	o := asRoot
	o.Mounts = true
	if _, err := extractTo(t, root, bytes.NewReader(data), o); err != nil {
		t.Error(err)
	}
}

// TestRootDiskFull: a full disk is the system's error, and is given back.
func TestRootDiskFull(t *testing.T) {
	m := t.TempDir()
	if err := unix.Mount("tmpfs", m, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(m, unix.MNT_DETACH)
	_, err := extractTo(t, m, bytes.NewReader(archive(t, file("big", strings.Repeat("x", 4<<20)))), asRoot)
	if !errors.Is(err, unix.ENOSPC) || errors.Is(err, ErrArchive) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(m); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := extractTo(t, m, bytes.NewReader(archive(t, file("small", "x"))), asRoot); err != nil {
		t.Errorf("after it: %v", err)
	}
	if _, err := extractTo(t, m, bytes.NewReader(archive(t, file("small", "x"))), Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("with less free space than must be left: %v", err)
	}
}

// TestRootSwap: a tree that others change while it is written never shows what is outside of it
// (CVE-2023-0778): a directory and a link are exchanged all the time.
func TestRootSwap(t *testing.T) {
	base := t.TempDir()
	secret := filepath.Join(base, "secret")
	root := filepath.Join(base, "root")
	for _, d := range []string{secret, root, root + "/d", root + "/d/e"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for p, data := range map[string]string{secret + "/f": "SECRET", root + "/d/f": "fine", root + "/file": "fine"} {
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for l, to := range map[string]string{"l": "../secret", "fl": "../secret/f"} {
		if err := os.Symlink(to, filepath.Join(root, l)); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/l", unix.RENAME_EXCHANGE)
			unix.Renameat2(unix.AT_FDCWD, root+"/file", unix.AT_FDCWD, root+"/fl", unix.RENAME_EXCHANGE)
		}
	}()
	d := open(t, root)
	changed := int64(0)
	for range 1000 {
		var b bytes.Buffer
		st, err := Write(context.Background(), &b, d, WriteOptions{})
		if err != nil {
			t.Error(err)
			break
		}
		changed += st.Changed
		if bytes.Contains(b.Bytes(), []byte("SECRET")) {
			t.Error("the archive has a file from outside")
			break
		}
	}
	close(stop)
	<-stopped
	t.Logf("%d files changed while they were read", changed)
}

// TestRootExtractSwap: an archive extracted into a tree that a hostile program changes all the time touches
// nothing outside (CVE-2018-15664).
func TestRootExtractSwap(t *testing.T) {
	base := t.TempDir()
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(base, "root")
	for _, d := range []string{root, root + "/d", root + "/d/dir"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../canary", root+"/l"); err != nil {
		t.Fatal(err)
	}
	d := open(t, root+"/d") // the directory, whatever its name
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/l", unix.RENAME_EXCHANGE)
			unix.Renameat2(int(d.Fd()), "file", int(d.Fd()), "link", unix.RENAME_EXCHANGE)
		}
	}()
	own := file("d/file", "evil")
	own.Mode, own.Uid = 0o777, 7
	data := archive(t, dirEntry("d/dir"), own, symlink("d/link", "../../canary/file"), tar.Header{Typeflag: tar.TypeFifo, Name: "d/x", Mode: 0o777, Uid: 7},
		file("d/dir/file", "evil"), hardlink("d/h", "d/file"), file("d/passwd", "evil"))
	fine := 0
	for range 500 {
		if _, err := extractTo(t, root, bytes.NewReader(data), asRoot); err == nil {
			fine++
		}
		if err := canary.Check(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-stopped
	t.Logf("%d extractions of 500 were not disturbed", fine)
}

// TestRootDebian: part of this machine's Debian is extracted as GNU tar does it, and written so that GNU
// tar gets the same from it.
func TestRootDebian(t *testing.T) {
	base := t.TempDir()
	image := filepath.Join(base, "debian.tar")
	parts := []string{"usr/sbin", "usr/lib/apt", "usr/lib/systemd", "usr/share/zoneinfo"}
	args := []string{"-C", "/", "-cf", image, "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name", "--ignore-failed-read", "--warning=none"}
	for _, p := range parts {
		if _, err := os.Stat("/" + p); err == nil {
			args = append(args, p)
		}
	}
	var changed *exec.ExitError
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil && !(errors.As(err, &changed) && changed.ExitCode() == 1) {
		t.Fatalf("tar -c: %v: %s", err, out)
	}
	plain, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	gnuTar := func(file string) map[string]string {
		dir := t.TempDir()
		if out, err := exec.Command("tar", "-C", dir, "-xpf", file, "--numeric-owner", "--xattrs", "--xattrs-include=*").CombinedOutput(); err != nil {
			t.Fatalf("tar -x: %v: %s", err, out)
		}
		return treeOf(t, dir, "above")
	}
	want := gnuTar(image)
	dir := t.TempDir()
	o := asRoot
	o.Whiteouts = Overlay
	st, err := extractTo(t, dir, bytes.NewReader(plain), o)
	if err != nil {
		t.Fatal(err)
	}
	if st.DiffID != sumOf(plain) || st.DroppedXattrs != 0 {
		t.Errorf("%+v", st)
	}
	sameTrees(t, "extracted", treeOf(t, dir, "above"), want)
	again := filepath.Join(base, "again.tar")
	f, err := os.Create(again)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), f, open(t, dir), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	sameTrees(t, "written", gnuTar(again), want)
}

// TestRootRefusedUppers: an upperdir whose content is elsewhere, and names that mean something else in a layer.
func TestRootRefusedUppers(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"metacopy": func(dir string) error {
			return unix.Setxattr(dir+"/f", "trusted.overlay.metacopy", nil, 0)
		},
		"redirect": func(dir string) error {
			return unix.Setxattr(dir+"/d", "trusted.overlay.redirect", []byte("/e"), 0)
		},
		"whiteout name": func(dir string) error { return os.WriteFile(dir+"/d/.wh.x", nil, 0o644) },
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/d", 0o755), os.WriteFile(dir+"/f", nil, 0o644), prepare(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := DiffUpper(context.Background(), io.Discard, open(t, dir), false, WriteOptions{}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}
