package erofs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// mountImage mounts an image with the kernel and returns a path to its root.
func mountImage(t *testing.T, path string) string {
	t.Helper()
	fs, err := linux.OpenFS("erofs")
	if err != nil {
		t.Skipf("the kernel has no EROFS: %v", err)
	}
	defer fs.Close()
	if err := fs.String("source", path); err != nil {
		t.Fatal(err)
	}
	fd, err := fs.Mount(unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		t.Fatalf("the kernel refuses the image: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return linux.FDPath(fd)
}

// TestRootKernelReadsImage writes every kind of entry and compares what the kernel shows.
func TestRootKernelReadsImage(t *testing.T) {
	path, want := writeSample(t)
	root := mountImage(t, path)
	got := make(map[string]string)
	describe(t, root, "", got)
	compare(t, got, want)

	var a, b unix.Stat_t
	if err := unix.Stat(root+"/dir/small", &a); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(root+"/hard", &b); err != nil {
		t.Fatal(err)
	}
	if a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("hard links: inodes %d and %d, link count %d; want the same and 2", a.Ino, b.Ino, a.Nlink)
	}
	if err := unix.Stat(root, &a); err != nil {
		t.Fatal(err)
	}
	if a.Nlink != 4 {
		t.Errorf("the root has two directories and link count %d, want 4", a.Nlink)
	}
	// Names are found by the kernel's binary search, not only listed.
	for i := range manyNames {
		if _, err := os.Lstat(fmt.Sprintf("%s/many/file-%05d", root, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// describe records path → "mode uid gid mtime size content xattrs" of a tree.
func describe(t *testing.T, dir, rel string, out map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		p, r := filepath.Join(dir, e.Name()), filepath.Join(rel, e.Name())
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%o %d:%d %d.%d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %d %s", len(data), digestOf(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(p)
			if err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %d %s", len(target), digestOf([]byte(target)))
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		buf := make([]byte, 4096)
		if n, err := unix.Llistxattr(p, buf); err == nil && n > 0 {
			for name := range strings.SplitSeq(string(bytes.TrimRight(buf[:n], "\x00")), "\x00") {
				value := make([]byte, 64<<10)
				n, err := unix.Lgetxattr(p, name, value)
				if err != nil {
					t.Fatalf("%s %s: %v", r, name, err)
				}
				line += fmt.Sprintf(" %s=%s", name, digestOf(value[:n]))
			}
		}
		out[r] = line
		if e.IsDir() {
			describe(t, p, r, out)
		}
	}
}
