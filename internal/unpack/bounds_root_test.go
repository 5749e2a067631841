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

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
	"golang.org/x/sys/unix"
)

// TestRootCage: the thread that makes files cannot open anything outside, even if it is told to;
// other threads can, before and after.
func TestRootCage(t *testing.T) {
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(archive(t, file("a", "x"))), asRoot)
	if err != nil {
		t.Fatal(err)
	}
	if abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || abi < 2 {
		t.Skip("this kernel has no Landlock")
	}
	if !st.Caged {
		t.Error("the extraction does not say that it was caged")
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

// TestRootTooDeep: a tree that is deeper than a path can say is an error that says so, and costs no
// descriptor a level.
func TestRootTooDeep(t *testing.T) {
	root := t.TempDir()
	fd, err := unix.Open(root, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range 20 {
		name := strings.Repeat("n", 250)
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		next, oerr := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd, err = next, oerr
	}
	unix.Close(fd)
	if _, err := Write(context.Background(), io.Discard, open(t, root), WriteOptions{}); err == nil || !strings.Contains(err.Error(), "cannot hold") {
		t.Errorf("got %v", err)
	}
	// In place, such a tree can be removed all the same.
	o := asRoot
	o.Whiteouts = Apply
	if _, err := extractTo(t, root, bytes.NewReader(archive(t, file(".wh..wh..opq", ""))), o); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("left %d", len(left))
	}
}
