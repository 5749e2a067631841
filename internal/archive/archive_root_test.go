package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/unpack"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain is also the container: a process in namespaces of its own that does what its argument says.
func TestMain(m *testing.M) {
	if root := os.Getenv("ARCHIVE_TEST_ROOT"); root != "" {
		if err := contained(root); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// contained makes root the root directory, with a tmpfs on /vol, a read-only one on /ro, and procfs.
func contained(root string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{root, root, "", unix.MS_BIND},
		{"tmpfs", root + "/vol", "tmpfs", 0},
		{"tmpfs", root + "/ro", "tmpfs", unix.MS_RDONLY},
		{"proc", root + "/proc", "proc", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.WriteFile("/vol/inside", []byte("volume"), 0o640)
}

const base = 300000

// running starts a container in root; mapped: with a user namespace of its own.
func running(t testing.TB, root string, mapped bool) *View {
	t.Helper()
	for _, d := range []string{"vol", "ro", "proc"} {
		must(t, os.MkdirAll(root+"/"+d, 0o755))
		if mapped {
			must(t, os.Chown(root+"/"+d, base, base))
		}
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "ARCHIVE_TEST_ROOT="+root)
	var pidfd int
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd}
	var ids *IDs
	if mapped {
		ids = &IDs{base, 65536}
		maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: 65536}}
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = maps, maps
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: false}
	}
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait(); unix.Close(pidfd) })
	b := make([]byte, 4096)
	if n, _ := stdout.Read(b); string(b[:n]) != "ready\n" {
		t.Fatalf("the container: %s", b[:n])
	}
	v, err := Running(pidfd, cmd.Process.Pid, ids)
	must(t, err)
	t.Cleanup(func() { v.Close() })
	return v
}

// tree is a directory that everybody can reach, below which a container lives.
func tree(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "archive-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// stopped is the view of a container that does not run.
func stopped(t testing.TB, root string, mounts ...Mount) *View {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	v, err := Stopped(os.NewFile(uintptr(fd), root), mounts)
	must(t, err)
	t.Cleanup(func() { v.Close() })
	return v
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

// out lists what a path is as an archive: "NAME UID:GID MODE CONTENT" lines.
func out(v *View, path string) (string, error) {
	o, err := v.Open(path)
	if err != nil {
		return "", err
	}
	defer o.Close()
	var b bytes.Buffer
	if err := o.Write(context.Background(), &b); err != nil {
		return "", err
	}
	return list(&b)
}

func list(r io.Reader) (string, error) {
	var lines []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return strings.Join(lines, "\n"), nil
		}
		if err != nil {
			return "", err
		}
		c, err := io.ReadAll(io.LimitReader(tr, 100))
		if err != nil {
			return "", err
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %d:%d %o %s%s", h.Name, h.Uid, h.Gid, h.Mode, c, h.Linkname)))
	}
}

// archive makes a tar.
func archive(headers ...tar.Header) *bytes.Buffer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.PAXRecords["content"]
		h.PAXRecords = nil
		h.Size = int64(len(content))
		h.ModTime = time.Unix(1, 0)
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return &b
}

func file(name, content string, uid, gid int) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Uid: uid, Gid: gid, PAXRecords: map[string]string{"content": content}}
}

// rootfs is what the containers have.
func rootfs(t testing.TB, dir string, owner int) {
	t.Helper()
	must(t, os.MkdirAll(dir+"/etc/sub", 0o755))
	must(t, os.Mkdir(dir+"/tmp", 0o777))
	must(t, os.WriteFile(dir+"/etc/passwd", []byte("root"), 0o644))
	must(t, os.WriteFile(dir+"/etc/sub/x", []byte("x"), 0o600))
	must(t, os.Symlink("etc", dir+"/link"))
	must(t, os.Symlink("/etc/passwd", dir+"/abs"))
	must(t, os.Symlink("../../../etc/passwd", dir+"/etc/up"))
	must(t, os.Symlink("/nowhere/at/all", dir+"/broken"))
	must(t, os.Symlink("loop", dir+"/loop"))
	must(t, filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(p, owner, owner)
		}
		return err
	}))
	must(t, os.Lchown(dir+"/etc/sub/x", owner+33, owner+34))
}

func TestRootStat(t *testing.T) {
	root := tree(t)
	rootfs(t, root, 0)
	v := stopped(t, root)
	for p, want := range map[string]string{
		"/etc/passwd": "passwd -rw-r--r-- 4 ", "etc/passwd": "passwd -rw-r--r-- 4 ", "/etc": "etc drwxr-xr-x ", "/etc/": "etc drwxr-xr-x ", "/etc/.": ". drwxr-xr-x ",
		"/": "/ drwxr-xr-x ", "/link": "link Lrwxrwxrwx 3 /etc", "/link/": "link drwxr-xr-x ", "/link/passwd": "passwd -rw-r--r-- 4 ",
		"/abs": "abs Lrwxrwxrwx 11 /etc/passwd", "/etc/up": "up Lrwxrwxrwx 19 /etc/passwd", "/broken": "broken Lrwxrwxrwx 15 /nowhere/at/all",
		"/../../etc/passwd": "passwd -rw-r--r-- 4 ", "/loop": "loop Lrwxrwxrwx 4 /loop",
	} {
		s, err := v.Stat(p)
		size := fmt.Sprint(s.Size) + " "
		if s.Mode.IsDir() {
			size = ""
		}
		if got := fmt.Sprintf("%s %s %s%s", s.Name, s.Mode, size, s.LinkTarget); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", p, got, err, want)
		}
	}
	for _, p := range []string{"/none", "/etc/passwd/x", "/etc/passwd/", "/broken/x"} {
		if _, err := v.Stat(p); !errdefs.IsNotFound(err) || err.Error() != "Could not find the file "+p+" in the container" {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := v.Stat("/loop/x"); err == nil || errdefs.IsNotFound(err) {
		t.Errorf("a loop: %v", err)
	}
}

func TestRootCopyOut(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		root := tree(t)
		owner := 0
		if mapped {
			owner = base
		}
		rootfs(t, root, owner)
		must(t, os.WriteFile(root+"/etc/foreign", nil, 0o644))
		must(t, os.Chown(root+"/etc/foreign", 500000, 500000))
		v := running(t, root, mapped)
		foreign := 500000
		if mapped {
			foreign = overflow
		}
		for p, want := range map[string]string{
			"/etc/passwd": "passwd 0:0 644 root",
			"/etc":        fmt.Sprintf("etc/ 0:0 755\netc/foreign %d:%d 644\netc/passwd 0:0 644 root\netc/up 0:0 777 ../../../etc/passwd\netc/sub/ 0:0 755\netc/sub/x 33:34 600 x", foreign, foreign),
			"/etc/sub/.":  "./ 0:0 755\n./x 33:34 600 x",
			"/link/sub":   "sub/ 0:0 755\nsub/x 33:34 600 x",
			"/abs":        "abs 0:0 777 /etc/passwd",
			"/vol":        "vol/ 0:0 1777\nvol/inside 0:0 640 volume", // what is mounted
			"/proc":       fmt.Sprintf("proc/ %d:%d 555", map[bool]int{false: 0, true: overflow}[mapped], map[bool]int{false: 0, true: overflow}[mapped]),
		} {
			if got, err := out(v, p); err != nil || got != want && p != "/proc" || p == "/proc" && !strings.HasPrefix(got, "proc/") || strings.Count(got, "\n") != strings.Count(want, "\n") {
				t.Errorf("mapped %v: %s: %v\n%s\nwant\n%s", mapped, p, err, got, want)
			}
		}
		if _, err := out(v, "/proc/1/root/etc/passwd"); !errors.Is(err, unix.ELOOP) {
			t.Errorf("through a magic link: %v", err)
		}
	}
}

func TestRootCopyIn(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		root := tree(t)
		owner := 0
		if mapped {
			owner = base
		}
		rootfs(t, root, owner)
		v := running(t, root, mapped)
		must(t, v.CopyIn(t.Context(), "/link/sub", archive(file("new", "n", 5, 6), file("big", "b", 100000, 100000)), CopyInOptions{}))
		var st unix.Stat_t
		must(t, unix.Stat(root+"/etc/sub/new", &st))
		if int(st.Uid) != owner+5 || int(st.Gid) != owner+6 {
			t.Errorf("mapped %v: owner %d:%d", mapped, st.Uid, st.Gid)
		}
		must(t, unix.Stat(root+"/etc/sub/big", &st))
		if want := map[bool]int{false: 100000, true: base}[mapped]; int(st.Uid) != want {
			t.Errorf("mapped %v: owner %d of an id that the container does not have, want %d", mapped, st.Uid, want)
		}
		must(t, v.CopyIn(t.Context(), "/vol", archive(file("v", "v", 5, 6)), CopyInOptions{Owner: &unpack.Owner{UID: 7, GID: 8}}))
		if got, err := out(v, "/vol/v"); got != "v 7:8 640 v" {
			t.Errorf("mapped %v: %q %v", mapped, got, err)
		}
		if _, err := os.Stat(root + "/vol/v"); err == nil {
			t.Error("written below the volume")
		}
		for _, c := range []struct{ path, want string }{
			{"/etc/passwd", "extraction point is not a directory"},
			{"/none", "Could not find the file /none in the container"},
			{"/ro", "mounted volume is marked read-only"},
		} {
			if err := v.CopyIn(t.Context(), c.path, archive(file("x", "", 0, 0)), CopyInOptions{}); err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %s", c.path, err, c.want)
			}
		}
		same := CopyInOptions{NoOverwriteDirNonDir: true}
		if err := v.CopyIn(t.Context(), "/etc", archive(file("sub", "", 0, 0)), same); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a file over a directory: %v", err)
		}
		if err := v.CopyIn(t.Context(), "/etc", archive(tar.Header{Typeflag: tar.TypeDir, Name: "passwd/"}), same); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a directory over a file: %v", err)
		}
		v.ReadOnly = true
		if err := v.CopyIn(t.Context(), "/etc", archive(file("x", "", 0, 0)), CopyInOptions{}); err == nil || err.Error() != "container rootfs is marked read-only" {
			t.Errorf("a read-only root: %v", err)
		}
		must(t, v.CopyIn(t.Context(), "/vol", archive(file("w", "", 0, 0)), CopyInOptions{}))
	}
}

func TestRootStopped(t *testing.T) {
	root, vol, ro := tree(t), tree(t), tree(t)
	rootfs(t, root, 0)
	must(t, os.WriteFile(vol+"/in", []byte("in"), 0o644))
	must(t, os.WriteFile(ro+"/file", []byte("f"), 0o644))
	before, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	v := stopped(t, root,
		Mount{open(t, vol), "/link/vol", false}, // in /etc
		Mount{open(t, ro), "/made/for/it", true},
		Mount{open(t, ro+"/file"), "/etc/one", false},
	)
	for p, want := range map[string]string{"/etc/vol": "vol/ 0:0 755\nvol/in 0:0 644 in", "/made/for/it/file": "file 0:0 644 f", "/etc/one": "one 0:0 644 f"} {
		if got, err := out(v, p); got != want || err != nil {
			t.Errorf("%s: %q %v", p, got, err)
		}
	}
	must(t, v.CopyIn(t.Context(), "/etc/vol", archive(file("x", "x", 0, 0)), CopyInOptions{}))
	if b, err := os.ReadFile(vol + "/x"); string(b) != "x" {
		t.Errorf("in the volume: %q %v", b, err)
	}
	if err := v.CopyIn(t.Context(), "/made/for/it", archive(file("x", "x", 0, 0)), CopyInOptions{}); err == nil || err.Error() != "mounted volume is marked read-only" {
		t.Errorf("a read-only volume: %v", err)
	}
	if after, err := os.ReadFile("/proc/self/mountinfo"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the host's mount table has changed, %v", err)
	}
	var b bytes.Buffer
	must(t, v.Export(t.Context(), &b))
	l, err := list(&b)
	must(t, err)
	if strings.Contains(l, "vol/in") || !strings.Contains(l, "etc/vol/ 0:0") || !strings.Contains(l, "etc/passwd 0:0 644 root") {
		t.Errorf("the export has a volume's files, or lacks the container's:\n%s", l)
	}
	must(t, v.Close())
	if err := unix.Rmdir(root + "/made/for/it"); err != nil { // EBUSY: still a mount point
		t.Errorf("after the end: %v", err)
	}
}

func TestRootExportRunning(t *testing.T) {
	root := tree(t)
	rootfs(t, root, base)
	v := running(t, root, true)
	var b bytes.Buffer
	must(t, v.Export(t.Context(), &b))
	l, err := list(&b)
	must(t, err)
	if strings.Contains(l, "inside") || !strings.Contains(l, "etc/sub/x 33:34 600 x") || strings.Contains(l, "proc/1") || !strings.Contains(l, "proc/ 0:0") {
		t.Errorf("%s", l)
	}
}

// TestRootEnded: a process number that is somebody else's now is not taken for the container.
func TestRootEnded(t *testing.T) {
	var pidfd int
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	must(t, cmd.Run())
	defer unix.Close(pidfd)
	if v, err := Running(pidfd, os.Getpid(), nil); err == nil {
		v.Close()
		t.Error("the host's root was taken for a container's")
	}
}

// TestRootSwap: a container that exchanges a directory and a link while files are copied neither reads
// nor changes the host (CVE-2018-15664, CVE-2019-10152).
func TestRootSwap(t *testing.T) {
	root, canary := tree(t), tree(t)
	must(t, os.Mkdir(root+"/dir-of-ours", 0o755))
	must(t, os.WriteFile(root+"/dir-of-ours/token", []byte("own"), 0o644))
	must(t, os.WriteFile(canary+"/token", []byte("canary"), 0o644))
	must(t, os.Symlink(canary, root+"/evil"))
	must(t, os.Symlink(strings.Repeat("../", 20)+canary, root+"/dir-of-ours/up"))
	v := stopped(t, root)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, root+"/dir-of-ours", unix.AT_FDCWD, root+"/evil", unix.RENAME_EXCHANGE)
			}
		}
	}()
	worked := 0
	from, into := []string{"/dir-of-ours/token", "/dir-of-ours/.", "/evil/token", "/dir-of-ours/up/token"}, []string{"/dir-of-ours", "/evil"}
	for i := range 5000 {
		p := from[i%len(from)]
		got, err := out(v, p)
		if strings.Contains(got, "token 0:0 644 canary") {
			t.Fatalf("%s: the canary was read: %s", p, got)
		}
		if err == nil {
			worked++
		}
		if err := v.CopyIn(t.Context(), into[i%len(into)], archive(file("up/token", "evil", 0, 0), file("token", "evil", 0, 0)), CopyInOptions{}); err == nil {
			worked++
		}
	}
	close(stop)
	<-done
	if worked == 0 {
		t.Error("nothing was ever copied")
	}
	if b, err := os.ReadFile(canary + "/token"); string(b) != "canary" {
		t.Errorf("the canary: %q %v", b, err)
	}
	if e, _ := os.ReadDir(canary); len(e) != 1 {
		t.Errorf("new files beside the canary: %v", e)
	}
}

// TestRootTrojans: nothing of the container is run or loaded, whatever an archive is packed with
// (CVE-2014-9357, CVE-2026-41567, CVE-2019-14271).
func TestRootTrojans(t *testing.T) {
	root := tree(t)
	marker := tree(t) + "/ran"
	for _, d := range []string{"bin", "usr/bin", "lib", "usr/lib/x86_64-linux-gnu", "tmp"} {
		must(t, os.MkdirAll(root+"/"+d, 0o755))
	}
	for _, name := range []string{"xz", "unxz", "unpigz", "gzip", "gunzip", "bzip2", "zstd", "unzstd", "tar"} {
		for _, d := range []string{"bin", "usr/bin"} {
			must(t, os.WriteFile(root+"/"+d+"/"+name, []byte("#!/bin/busybox sh\necho "+name+" >"+marker+"\n"), 0o755))
		}
	}
	for _, lib := range []string{"libnss_files.so.2", "libnss_compat.so.2", "libc.so.6"} {
		must(t, os.WriteFile(root+"/lib/"+lib, []byte("trojan"), 0o755))
	}
	t.Setenv("PATH", root+"/bin:"+os.Getenv("PATH"))
	v := running(t, root, true)
	plain := archive(file("x", "content", 0, 0)).Bytes()
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	_, _ = g.Write(plain)
	must(t, g.Close())
	z, err := zstd.NewWriter(&zs)
	must(t, err)
	_, _ = z.Write(plain)
	must(t, z.Close())
	var x bytes.Buffer
	xw, err := xz.NewWriter(&x)
	must(t, err)
	_, _ = xw.Write(plain)
	must(t, xw.Close())
	for format, b := range map[string][]byte{"tar": plain, "gzip": gz.Bytes(), "zstd": zs.Bytes(), "xz": x.Bytes(), "broken xz": x.Bytes()[:20], "broken bzip2": []byte("BZh91AY&SY")} {
		err := v.CopyIn(t.Context(), "/tmp", bytes.NewReader(b), CopyInOptions{})
		if (err != nil) != strings.HasPrefix(format, "broken") {
			t.Errorf("%s: %v", format, err)
		}
	}
	if b, err := os.ReadFile(marker); err == nil {
		t.Errorf("a program of the container ran: %s", b)
	}
}
