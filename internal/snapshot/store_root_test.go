package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

func open(t testing.TB, root, driver string) *Snapshotter {
	t.Helper()
	return openConfig(t, Config{Root: root, Driver: driver})
}

func openConfig(t testing.TB, cfg Config) *Snapshotter {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mounted mounts a snapshot and returns a path to it, good until the test ends or done is called.
func mounted(t testing.TB, s *Snapshotter, key string, o MountOptions) (path string, done func()) {
	t.Helper()
	f, err := s.Mount(context.Background(), key, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return linux.FDPath(int(f.Fd())), func() { f.Close() }
}

// commit makes a committed snapshot by changing a tree.
func commit(t testing.TB, s *Snapshotter, name, parent string, change func(dir string)) {
	t.Helper()
	ctx := context.Background()
	must(t, s.Create(ctx, snapshots.KindActive, name+"-active", parent))
	dir, done := mounted(t, s, name+"-active", MountOptions{})
	change(dir)
	done()
	must(t, s.Commit(ctx, name, name+"-active"))
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// files lists a tree as "path mode owner content" lines.
func files(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir+"/.", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %d %x", len(data), sha256.Sum256(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			out.WriteString(" " + target)
		case unix.S_IFCHR, unix.S_IFBLK:
			fmt.Fprintf(&out, " %d", st.Rdev)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			fmt.Fprintf(&out, " %d.%09d links %d", st.Mtim.Sec, st.Mtim.Nsec, st.Nlink)
		}
		names, err := xattrNames(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
		if err != nil {
			return err
		}
		for _, name := range names {
			if !overlayXattr(name) {
				fmt.Fprintf(&out, " %s", name)
			}
		}
		out.WriteString("\n")
		return nil
	}))
	return out.String()
}

// clean fails the test when the store and the disk differ.
func clean(t testing.TB, s *Snapshotter) {
	t.Helper()
	must(t, s.Cleanup(context.Background()))
	problems, err := s.Check(context.Background(), false)
	must(t, err)
	for _, p := range problems {
		t.Errorf("check: %v", p)
	}
}

// mountsBelow lists the mounts below a directory.
func mountsBelow(t testing.TB, dir string) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var out []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			out = append(out, f[4])
		}
	}
	return out
}

// makeTree makes every kind of file.
func makeTree(t testing.TB, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir+"/etc/deep/er", 0o750))
	write(t, dir+"/etc/file", "a file\n")
	must(t, os.Link(dir+"/etc/file", dir+"/etc/deep/hard"))
	must(t, os.Symlink("/etc/passwd", dir+"/etc/link"))
	must(t, unix.Mknod(dir+"/etc/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Chmod(dir+"/etc/null", 0o666))
	must(t, unix.Mkfifo(dir+"/etc/fifo", 0o600))
	write(t, dir+"/etc/suid", strings.Repeat("x", 9000))
	must(t, os.Chown(dir+"/etc/suid", 1000, 1001))
	must(t, unix.Chmod(dir+"/etc/suid", 0o4755))
	must(t, unix.Setxattr(dir+"/etc/suid", "user.a", []byte("b"), 0))
	must(t, unix.Setxattr(dir+"/etc/suid", "security.capability", append([]byte{0, 0, 0, 2, 0, 4}, make([]byte, 14)...), 0))
	must(t, os.Lchown(dir+"/etc/link", 7, 8))
	f, err := os.Create(dir + "/etc/sparse")
	must(t, err)
	_, err = f.WriteAt([]byte("in the middle"), 5<<20+123)
	must(t, err)
	must(t, f.Truncate(64<<20))
	must(t, f.Close())
	for _, name := range []string{"etc/file", "etc/suid", "etc/link", "etc/sparse", "etc/fifo", "etc/null"} {
		ts := []unix.Timespec{{Sec: 1, Nsec: 2}, {Sec: 1234567890, Nsec: 987654321}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+name, ts, unix.AT_SYMLINK_NOFOLLOW))
	}
	must(t, os.Chown(dir+"/etc", 3, 4))
	must(t, unix.Chmod(dir+"/etc", 0o2751))
}

// TestRootTrees: what goes into a layer comes out of it, through a commit, on a child, in a view.
func TestRootTrees(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		root := t.TempDir()
		s := open(t, root, driver)
		plain := t.TempDir()
		makeTree(t, plain)
		must(t, os.Chmod(plain, 0o711))
		must(t, os.Chown(plain, 11, 12))
		commit(t, s, "base", "", func(dir string) {
			makeTree(t, dir)
			must(t, os.Chmod(dir+"/.", 0o711))
			must(t, os.Chown(dir+"/.", 11, 12))
		})
		want := files(t, plain)
		must(t, s.Create(ctx, snapshots.KindView, "view", "base"))
		view, _ := mounted(t, s, "view", MountOptions{})
		if got := files(t, view); got != want {
			t.Errorf("view:\n%s\nwant:\n%s", got, want)
		}
		if err := os.WriteFile(view+"/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing to a view: %v, want EROFS", err)
		}
		must(t, s.Create(ctx, snapshots.KindActive, "child", "base"))
		child, _ := mounted(t, s, "child", MountOptions{})
		if got := files(t, child); got != want {
			t.Errorf("child:\n%s\nwant:\n%s", got, want)
		}
		// Changes are the child's alone.
		write(t, child+"/etc/file", "changed")
		must(t, os.Remove(child+"/etc/link"))
		must(t, os.RemoveAll(child+"/etc/deep"))
		must(t, os.Mkdir(child+"/etc/deep", 0o700))
		if got := files(t, view); got != want {
			t.Errorf("the parent changed with its child:\n%s\nwant:\n%s", got, want)
		}
		ro, done := mounted(t, s, "child", MountOptions{ReadOnly: true})
		if err := os.WriteFile(ro+"/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing to a read-only mount of an active snapshot: %v, want EROFS", err)
		}
		done()
		after := files(t, child)
		must(t, s.Commit(ctx, "second", "child"))
		must(t, s.Create(ctx, snapshots.KindView, "view2", "second"))
		view2, _ := mounted(t, s, "view2", MountOptions{})
		if got := files(t, view2); got != after {
			t.Errorf("after the commit:\n%s\nwant:\n%s", got, after)
		}
		if m := mountsBelow(t, root); len(m) > 0 {
			t.Errorf("mounts by descriptor are in the mount table: %v", m)
		}
		clean(t, s)
	})
}

// TestRootSparse: holes stay holes, in copies and in images.
func TestRootSparse(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		s := open(t, t.TempDir(), driver)
		commit(t, s, "base", "", func(dir string) {
			f, err := os.Create(dir + "/sparse")
			must(t, err)
			_, err = f.WriteAt([]byte("x"), 1<<30)
			must(t, err)
			must(t, f.Truncate(3<<30+5))
			must(t, f.Close())
		})
		must(t, s.Create(ctx, snapshots.KindActive, "child", "base"))
		dir, _ := mounted(t, s, "child", MountOptions{})
		info, err := os.Stat(dir + "/sparse")
		must(t, err)
		if info.Size() != 3<<30+5 {
			t.Errorf("size %d, want %d", info.Size(), 3<<30+5)
		}
		for _, key := range []string{"base", "child"} {
			u, err := s.Usage(ctx, key)
			must(t, err)
			if u.Size > 1<<20 {
				t.Errorf("%s uses %d bytes", key, u.Size)
			}
		}
	})
}

// TestRootUsage compares with du, which counts as we do: blocks, and each inode once.
func TestRootUsage(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ctx := context.Background()
		s := open(t, t.TempDir(), driver)
		must(t, s.Create(ctx, snapshots.KindActive, "a", ""))
		dir, done := mounted(t, s, "a", MountOptions{})
		makeTree(t, dir)
		u, err := s.Usage(ctx, "a")
		must(t, err)
		out, err := exec.Command("du", "-s", "--block-size=1", s.path("1", "fs")).Output()
		must(t, err)
		inodes, err := exec.Command("du", "-s", "--inodes", s.path("1", "fs")).Output()
		must(t, err)
		if want := strings.Fields(string(out))[0]; fmt.Sprint(u.Size) != want {
			t.Errorf("%d bytes, du says %s", u.Size, want)
		}
		if want := strings.Fields(string(inodes))[0]; fmt.Sprint(u.Inodes) != want {
			t.Errorf("%d inodes, du says %s", u.Inodes, want)
		}
		done()
		must(t, s.Commit(ctx, "b", "a"))
		c, err := s.Usage(ctx, "b")
		must(t, err)
		if driver == EROFS {
			if c.Inodes != 1 || c.Size < 9000 || c.Size > 1<<20 {
				t.Errorf("the image: %+v", c)
			}
		} else if c != u {
			t.Errorf("committed %+v, active %+v", c, u)
		}
	})
}

// userNamespace is a user namespace that maps 0…65535 to base….
func userNamespace(t *testing.T, base int) *os.File {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	m := []syscall.SysProcIDMap{{ContainerID: 0, HostID: base, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: m, GidMappings: m}
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestRootIDMapped: a container in a user namespace sees its own ids; on disk nothing is shifted.
func TestRootIDMapped(t *testing.T) {
	const base = 200000
	eachDriver(t, func(t *testing.T, driver string) {
		for _, detached := range []bool{true, false} {
			t.Run(fmt.Sprintf("detached=%v", detached), func(t *testing.T) {
				ctx := context.Background()
				root := t.TempDir()
				s := openConfig(t, Config{Root: root, Driver: driver, attach: !detached})
				commit(t, s, "base", "", func(dir string) {
					write(t, dir+"/file", "x")
					must(t, os.Chown(dir+"/file", 1000, 1001))
					must(t, os.Mkdir(dir+"/home", 0o755))
					for _, name := range []string{"old", "log"} {
						write(t, dir+"/home/"+name, "old\n")
						must(t, os.Chown(dir+"/home/"+name, 33, 33))
					}
					must(t, os.Chown(dir+"/home", 33, 33))
				})
				must(t, s.Create(ctx, snapshots.KindActive, "c", "base"))
				f, err := s.Mount(ctx, "c", MountOptions{UserNS: userNamespace(t, base)})
				must(t, err)
				defer f.Close()
				point, err := os.MkdirTemp("", "idmapped-") // t.TempDir is closed to others
				must(t, err)
				defer os.Remove(point)
				must(t, os.Chmod(point, 0o755))
				pfd, err := unix.Open(point, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				must(t, err)
				defer unix.Close(pfd)
				must(t, linux.MoveMount(int(f.Fd()), pfd))
				defer unix.Unmount(point, unix.MNT_DETACH)

				var st unix.Stat_t
				must(t, unix.Stat(point+"/file", &st))
				if st.Uid != base+1000 || st.Gid != base+1001 {
					t.Errorf("file of 1000:1001 shows %d:%d, want %d:%d", st.Uid, st.Gid, base+1000, base+1001)
				}
				cmd := exec.Command("sh", "-c", "echo new > home/new && chmod 4711 home/new && echo more >> home/log && rm home/old && mkdir home/d && mv home/d home/e")
				cmd.Dir = point
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: base + 33, Gid: base + 33, NoSetGroups: false}}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("writing as uid %d: %v\n%s", base+33, err, out)
				}
				must(t, unix.Unmount(point, unix.MNT_DETACH))
				must(t, s.Commit(ctx, "done", "c"))
				must(t, s.Create(ctx, snapshots.KindView, "v", "done"))
				v, _ := mounted(t, s, "v", MountOptions{})
				must(t, unix.Stat(v+"/home/new", &st))
				if log, err := os.ReadFile(v + "/home/log"); err != nil || string(log) != "old\nmore\n" {
					t.Errorf("home/log: %q %v", log, err)
				}
				if _, err := os.Stat(v + "/home/old"); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("home/old: %v, want that it is deleted", err)
				}
				if st.Uid != 33 || st.Gid != 33 {
					t.Errorf("on disk the file written inside belongs to %d:%d, want 33:33", st.Uid, st.Gid)
				}
				if m := mountsBelow(t, root); len(m) > 0 {
					t.Errorf("left mounted: %v", m)
				}
				clean(t, s)
			})
		}
	})
}

// TestRootIDMappedWithoutRoot: a mapping that has no root cannot carry an overlay.
func TestRootIDMappedWithoutRoot(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), Overlay)
	commit(t, s, "base", "", func(dir string) { write(t, dir+"/file", "x") })
	must(t, s.Create(ctx, snapshots.KindActive, "c", "base"))
	cmd := exec.Command("sleep", "60")
	m := []syscall.SysProcIDMap{{ContainerID: 1, HostID: 300000, Size: 100}, {ContainerID: 200, HostID: 0, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: m, GidMappings: m}
	must(t, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	must(t, err)
	defer ns.Close()
	if f, err := s.Mount(ctx, "c", MountOptions{UserNS: ns}); err == nil {
		f.Close()
		t.Error("it was mounted")
	} else if !strings.Contains(err.Error(), "does not map root") {
		t.Errorf("%v, want that it says so", err)
	}
}

// TestRootWorkDirectory: overlayfs makes a mount read-only when it cannot use its work directory.
// That must not pass for a writable one.
func TestRootWorkDirectory(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir(), Overlay)
	commit(t, s, "base", "", func(dir string) { write(t, dir+"/file", "x") })
	must(t, s.Create(ctx, snapshots.KindActive, "c", "base"))
	work, err := os.Open(s.path("2", "work"))
	must(t, err)
	defer work.Close()
	const immutable = 0x10 // FS_IMMUTABLE_FL
	if err := unix.IoctlSetPointerInt(int(work.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
		t.Skipf("the file system has no immutable flag: %v", err)
	}
	defer unix.IoctlSetPointerInt(int(work.Fd()), unix.FS_IOC_SETFLAGS, 0)
	if f, err := s.Mount(ctx, "c", MountOptions{}); err == nil {
		f.Close()
		t.Error("it was mounted")
	} else if !strings.Contains(err.Error(), "work directory") {
		t.Errorf("%v, want that it names the work directory", err)
	}
}

// TestRootDepth: more layers than a page of mount options holds names for.
func TestRootDepth(t *testing.T) {
	const depth = 300 // "/proc/self/fd/123:" makes 17 bytes of 4096
	for _, driver := range []string{Overlay, EROFS} {
		t.Run(driver, func(t *testing.T) {
			ctx := context.Background()
			syncs := 0
			s := openConfig(t, Config{Root: t.TempDir(), Driver: driver, At: func(step string) {
				if step == "commit.synced" {
					syncs++
				}
			}})
			var all []Commitment
			for i := range depth {
				key := fmt.Sprintf("active-%d", i)
				must(t, s.Create(ctx, snapshots.KindActive, key, ""))
				dir, done := mounted(t, s, key, MountOptions{})
				write(t, fmt.Sprintf("%s/file-%d", dir, i), "x")
				write(t, dir+"/same", fmt.Sprint(i))
				done()
				c := Commitment{Name: fmt.Sprintf("layer-%d", i), Key: key}
				if i > 0 {
					c.Opts = []snapshots.Opt{snapshots.WithParent(fmt.Sprintf("layer-%d", i-1))}
				}
				all = append(all, c)
			}
			must(t, s.CommitAll(ctx, all...))
			if syncs != 1 {
				t.Errorf("%d syncs for one image, want 1", syncs)
			}
			must(t, s.Create(ctx, snapshots.KindActive, "c", fmt.Sprintf("layer-%d", depth-1)))
			dir, _ := mounted(t, s, "c", MountOptions{})
			entries, err := os.ReadDir(dir)
			must(t, err)
			if len(entries) != depth+1 {
				t.Errorf("%d files, want %d", len(entries), depth+1)
			}
			if b, _ := os.ReadFile(dir + "/same"); string(b) != fmt.Sprint(depth-1) {
				t.Errorf("the topmost layer does not win: %q", b)
			}
		})
	}
}

// TestRootVolatile: a volatile snapshot can be mounted again in the same boot, not in the next.
func TestRootVolatile(t *testing.T) {
	for _, driver := range []string{Overlay, EROFS} {
		t.Run(driver, func(t *testing.T) {
			ctx := context.Background()
			s := open(t, t.TempDir(), driver)
			commit(t, s, "base", "", func(dir string) { write(t, dir+"/a", "1") })
			must(t, s.Create(ctx, snapshots.KindActive, "c", "base", snapshots.WithLabels(map[string]string{LabelVolatile: "true"})))
			dir, done := mounted(t, s, "c", MountOptions{})
			write(t, dir+"/b", "2")
			// What the option is for: a sync does nothing, and overlayfs says that it is on.
			if _, err := os.Stat(s.path("2", "work/work/incompat/volatile")); err != nil {
				t.Errorf("the mount is not volatile: %v", err)
			}
			done()
			dir, done = mounted(t, s, "c", MountOptions{})
			if b, _ := os.ReadFile(dir + "/b"); string(b) != "2" {
				t.Errorf("after the second mount b has %q", b)
			}
			done()
			if m, err := s.Mounts(ctx, "c"); err != nil || !strings.Contains(strings.Join(m[0].Options, ","), "volatile") {
				t.Errorf("Mounts: %v %v, want the option volatile", m, err)
			}
			clean(t, s)
			must(t, os.WriteFile(s.path("2", volatileBoot), []byte("another boot\n"), 0o600))
			if _, err := s.Mount(ctx, "c", MountOptions{}); err == nil || !strings.Contains(err.Error(), "restarted") {
				t.Errorf("after a restart of the host: %v", err)
			}
			must(t, s.Remove(ctx, "c"))
		})
	}
}
