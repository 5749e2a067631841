package erofs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	oracle "github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"
)

const manyNames = 3000 // more than a block of directory entries holds

func digestOf(p []byte) string { return fmt.Sprintf("%x", sha256.Sum256(p))[:12] }

// writeSample makes an image with every kind of entry. want has what describe finds in it.
func writeSample(t *testing.T) (path string, want map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sample.erofs")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Options{UUID: [16]byte{1, 2, 3}, BuildTime: 7})
	want = make(map[string]string)
	add := func(parent *Node, rel string, m Meta, body []byte) *Node {
		t.Helper()
		m.Sec, m.Nsec = 1700000000+int64(len(want)), 123456789
		n, err := w.Add(parent, filepath.Base(rel), m, bytes.NewReader(body))
		if err != nil {
			t.Fatalf("add %s: %v", rel, err)
		}
		line := fmt.Sprintf("%o %d:%d %d.%d", m.Mode, m.UID, m.GID, m.Sec, m.Nsec)
		switch m.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			line += fmt.Sprintf(" %d %s", len(body), digestOf(body))
		case unix.S_IFLNK:
			line += fmt.Sprintf(" %d %s", len(m.Target), digestOf([]byte(m.Target)))
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" %d:%d", m.Major, m.Minor)
		}
		for _, x := range m.Xattrs {
			line += fmt.Sprintf(" %s=%s", x.Name, digestOf(x.Value))
		}
		want[rel] = line
		return n
	}
	file := func(parent *Node, rel string, body []byte, x ...Xattr) *Node {
		return add(parent, rel, Meta{Mode: unix.S_IFREG | 0o4755, UID: 1000, GID: 70000, Size: int64(len(body)), Xattrs: x}, body)
	}
	root := w.Root()
	dir := add(root, "dir", Meta{Mode: unix.S_IFDIR | 0o1777, UID: 3, GID: 4, Xattrs: []Xattr{{"trusted.overlay.opaque", []byte("y")}}}, nil)
	file(dir, "dir/empty", nil)
	small := file(dir, "dir/small", []byte("hello\n"))
	for _, size := range []int{1, 4031, 4032, 4033, 4095, 4096, 4097, 8192 + 17, 3<<20 + 5} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i*7 + i>>8 + 1)
		}
		file(dir, fmt.Sprintf("dir/size-%d", size), body)
	}
	hole := make([]byte, 5<<20)
	copy(hole[3<<20:], "in the middle")
	file(dir, "dir/holes", hole)
	file(dir, "dir/xattrs", []byte("x"), Xattr{"user.a", []byte("1")}, Xattr{"security.capability", append([]byte{0, 0, 0, 2, 0, 4}, make([]byte, 14)...)}, Xattr{"trusted.long", bytes.Repeat([]byte("v"), 3000)})
	file(dir, "dir/bigxattr", bytes.Repeat([]byte("y"), 5000), Xattr{"user.big", bytes.Repeat([]byte("v"), 30000)})
	add(dir, "dir/link", Meta{Mode: unix.S_IFLNK | 0o777, Target: "../../etc/passwd"}, nil)
	add(dir, "dir/longlink", Meta{Mode: unix.S_IFLNK | 0o777, Target: strings.Repeat("a/", 2040)}, nil)
	add(dir, "dir/null", Meta{Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}, nil)
	add(dir, "dir/whiteout", Meta{Mode: unix.S_IFCHR}, nil)
	add(dir, "dir/disk", Meta{Mode: unix.S_IFBLK | 0o600, Major: 259, Minor: 70000}, nil)
	add(dir, "dir/fifo", Meta{Mode: unix.S_IFIFO | 0o600}, nil)
	add(dir, "dir/sock", Meta{Mode: unix.S_IFSOCK | 0o600}, nil)
	file(dir, "dir/"+strings.Repeat("n", 255), []byte("long name"))
	file(dir, "dir/\xff\xfe bytes", []byte("not UTF-8"))
	deep := dir
	rel := "dir"
	for i := range 50 {
		rel += fmt.Sprintf("/d%d", i)
		deep = add(deep, rel, Meta{Mode: unix.S_IFDIR | 0o700}, nil)
	}
	many := add(root, "many", Meta{Mode: unix.S_IFDIR | 0o755}, nil)
	for i := range manyNames {
		// Out of order: the writer sorts.
		k := (i*7919 + 13) % manyNames
		file(many, fmt.Sprintf("many/file-%05d", k), fmt.Appendf(nil, "%d", k))
	}
	if err := w.Link(root, "hard", small); err != nil {
		t.Fatal(err)
	}
	want["hard"] = want["dir/small"]
	gone := file(root, "gone", []byte("removed"))
	delete(want, "gone")
	if err := w.Link(root, "gone2", gone); err != nil {
		t.Fatal(err)
	}
	w.Remove(root, "gone")
	w.Remove(root, "gone2")
	if err := w.SetMeta(root, Meta{Mode: unix.S_IFDIR | 0o711, UID: 5, GID: 6, Xattrs: []Xattr{{"user.root", bytes.Repeat([]byte("r"), 5000)}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path, want
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path, line := range want {
		if got[path] != line {
			t.Errorf("%s:\n got %s\nwant %s", path, got[path], line)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is there and should not be", path)
		}
	}
}

// TestOracleReadsImage lets another implementation read the image: names, modes, data, links.
func TestOracleReadsImage(t *testing.T) {
	path, want := writeSample(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := oracle.Open(f)
	if err != nil {
		t.Fatalf("go-erofs refuses the image: %v", err)
	}
	seen := 0
	err = fs.WalkDir(img, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		seen++
		line, ok := want[path]
		if !ok {
			t.Errorf("%s is there and should not be", path)
			return nil
		}
		if d.Type().IsRegular() {
			data, err := fs.ReadFile(img, path)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if !strings.Contains(line, fmt.Sprintf(" %d %s", len(data), digestOf(data))) {
				t.Errorf("%s: content differs from %s", path, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(want) {
		t.Errorf("%d entries, want %d", seen, len(want))
	}
}

func TestImageIsDeterministic(t *testing.T) {
	a, _ := writeSample(t)
	b, _ := writeSample(t)
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("the same entries gave two images")
	}
}

func TestHolesTakeNoSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Options{})
	const size = 1 << 40
	if _, err := w.Add(w.Root(), "sparse", Meta{Mode: unix.S_IFREG | 0o600, Size: size}, &hole{left: size}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(w.Root(), "zeros", Meta{Mode: unix.S_IFREG | 0o600, Size: 8 << 20}, bytes.NewReader(make([]byte, 8<<20))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > 1<<20 || st.Size < size {
		t.Errorf("the image of a file of %d zero bytes has %d bytes and uses %d", size, st.Size, used)
	}
}

// hole is a body that knows it has only zeros.
type hole struct{ left int64 }

func (h *hole) SkipHole(limit int64) (int64, error) {
	n := min(h.left, limit)
	h.left -= n
	return n, nil
}
func (h *hole) Read(p []byte) (int, error) {
	return 0, errors.New("a hole was read")
}

func TestInspect(t *testing.T) {
	path, want := writeSample(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Inspect(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	if s.UUID[0] != 1 || s.Blocks*4096 != uint64(len(good)) || s.Inodes != uint64(len(want)) { // "hard" is a second name, the root is not in want
		t.Errorf("Inspect: %+v, image of %d bytes, %d names", s, len(good), len(want))
	}
	for name, broken := range map[string][]byte{
		"empty":     nil,
		"zeros":     make([]byte, 8192),
		"truncated": good[:len(good)-4096],
		"flipped":   func() []byte { b := slices.Clone(good); b[superOffset+40] ^= 1; return b }(),
		"root":      func() []byte { b := slices.Clone(good); b[rootOffset+4] ^= 1; return b }(),
	} {
		if _, err := Inspect(bytes.NewReader(broken), int64(len(broken))); !errors.Is(err, ErrNotImage) {
			t.Errorf("%s: %v, want ErrNotImage", name, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	reg := Meta{Mode: unix.S_IFREG | 0o644}
	for _, c := range []struct {
		name string
		add  func(w *Writer) error
		want string
	}{
		{"slash", func(w *Writer) error { _, err := w.Add(w.Root(), "a/b", reg, nil); return err }, "not the name of a file"},
		{"dots", func(w *Writer) error { _, err := w.Add(w.Root(), "..", reg, nil); return err }, "not the name of a file"},
		{"nul", func(w *Writer) error { _, err := w.Add(w.Root(), "a\x00b", reg, nil); return err }, "not the name of a file"},
		{"long", func(w *Writer) error { _, err := w.Add(w.Root(), strings.Repeat("x", 256), reg, nil); return err }, "at most 255"},
		{"twice", func(w *Writer) error {
			if _, err := w.Add(w.Root(), "a", reg, nil); err != nil {
				return err
			}
			_, err := w.Add(w.Root(), "a", reg, nil)
			return err
		}, "file exists"},
		{"below a file", func(w *Writer) error {
			n, err := w.Add(w.Root(), "a", reg, nil)
			if err != nil {
				return err
			}
			_, err = w.Add(n, "b", reg, nil)
			return err
		}, "parent is not a directory"},
		{"link to a directory", func(w *Writer) error { return w.Link(w.Root(), "x", w.Root()) }, "one name"},
		{"short body", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Size: 10}, strings.NewReader("12"))
			return err
		}, io.ErrUnexpectedEOF.Error()},
		{"short body of blocks", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Size: 10000}, strings.NewReader("12"))
			return err
		}, io.ErrUnexpectedEOF.Error()},
		{"negative", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Size: -1}, nil)
			return err
		}, "-1 bytes"},
		{"17 TB", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Size: 17 << 40}, &hole{17 << 40})
			return err
		}, "grows beyond"},
		{"xattr name space", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Xattrs: []Xattr{{"system.nfs4_acl", nil}}}, nil)
			return err
		}, "cannot store this name"},
		{"xattr value", func(w *Writer) error {
			_, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Xattrs: []Xattr{{"user.a", make([]byte, 1<<16)}}}, nil)
			return err
		}, "at most 65535"},
		{"no type", func(w *Writer) error { _, err := w.Add(w.Root(), "a", Meta{Mode: 0o644}, nil); return err }, "no type"},
		{"empty link", func(w *Writer) error { _, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFLNK}, nil); return err }, "symbolic link"},
		{"root xattrs", func(w *Writer) error {
			return w.SetMeta(w.Root(), Meta{Mode: unix.S_IFDIR, Xattrs: []Xattr{{"user.a", make([]byte, 65535)}, {"user.b", make([]byte, 65535)}}})
		}, "there is room for"},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		w := NewWriter(f, Options{})
		if err := c.add(w); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		f.Close()
	}
}

// TestAfterFailure: an image whose data was lost half way cannot be finished.
func TestAfterFailure(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Options{})
	if _, err := w.Add(w.Root(), "a", Meta{Mode: unix.S_IFREG, Size: 10}, strings.NewReader("12")); err == nil {
		t.Fatal("a short body was taken")
	}
	if err := w.Close(); err == nil {
		t.Error("Close finishes an image after a failure")
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(f, info.Size()); !errors.Is(err, ErrNotImage) {
		t.Errorf("Inspect of the unfinished image: %v", err)
	}
}
