package unpack

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// treeOf describes every file of a tree in all that an archive carries: kind, mode, owner, time,
// links, size, device, target, extended attributes, content. Only for trees that the test trusts.
func treeOf(t testing.TB, root string, lessOf ...string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	groups := make(map[inode][]string)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if slices.Contains(lessOf, "above") && (rel == "." || rel == "usr" || rel == "usr/share" || rel == "usr/lib") {
			return nil // no entries: made by whoever extracts
		}
		kind := st.Mode & unix.S_IFMT
		var b strings.Builder
		fmt.Fprintf(&b, "%o %d:%d", st.Mode, st.Uid, st.Gid)
		if !(kind == unix.S_IFDIR && slices.Contains(lessOf, "dirtimes")) && !(isWhiteout(&st) && slices.Contains(lessOf, "whiteouts")) {
			fmt.Fprintf(&b, " %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch kind {
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %q", to)
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " size %d %x", st.Size, sha256.Sum256(data))
		case unix.S_IFCHR, unix.S_IFBLK:
			fmt.Fprintf(&b, " dev %d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
		}
		if kind != unix.S_IFDIR && st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			groups[id] = append(groups[id], rel)
		}
		names := make([]byte, 64<<10)
		n, err := unix.Llistxattr(path, names)
		if err != nil && err != unix.ENOTSUP {
			return err
		}
		list := strings.Split(strings.TrimRight(string(names[:max(n, 0)]), "\x00"), "\x00")
		slices.Sort(list)
		for _, name := range list {
			if name == "" || strings.HasPrefix(name, "trusted.overlay.") && slices.Contains(lessOf, "overlay") {
				continue
			}
			value := make([]byte, 64<<10)
			n, err := unix.Lgetxattr(path, name, value)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s=%x", name, value[:n])
		}
		out[rel] = b.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		slices.Sort(g)
		for _, p := range g {
			out[p] += " links " + strings.Join(g, ",")
		}
	}
	return out
}

// sameTrees reports the differences of two trees.
func sameTrees(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	n := 0
	report := func(format string, args ...any) {
		if n++; n <= 12 {
			t.Errorf(what+": "+format, args...)
		}
	}
	for p, w := range want {
		if g, ok := got[p]; !ok {
			report("%q is missing", p)
		} else if g != w {
			report("%q is %s, want %s", p, g, w)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			report("%q is too much", p)
		}
	}
}

// overlayDir mounts lower layers, topmost first, and returns the mount point. With
// upper, the mount is writable.
func overlayDir(t testing.TB, lowers []string, upper string) string {
	t.Helper()
	at := t.TempDir()
	opts := "lowerdir=" + strings.Join(lowers, ":")
	if upper != "" {
		work := upper + ".work"
		if err := os.MkdirAll(work, 0o755); err != nil {
			t.Fatal(err)
		}
		opts += ",upperdir=" + upper + ",workdir=" + work
	} else if len(lowers) == 1 {
		opts += ":" + t.TempDir() // without an upperdir, overlayfs wants two
	}
	if err := unix.Mount("overlay", at, "overlay", 0, opts); err != nil {
		t.Fatalf("mounting overlay %s: %v", opts, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
	})
	return at
}

// copyTree copies a tree with everything, by our own writer and reader.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	pipe(t, from, to, Options{Whiteouts: Apply, Devices: true})
}
