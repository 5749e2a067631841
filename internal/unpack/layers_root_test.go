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
	"time"

	"golang.org/x/sys/unix"
)

var asRoot = Options{Devices: true, Limits: Limits{FreeBytes: -1, FreeInodes: -1}}

// pipe writes one tree as a layer and extracts it into another directory.
func pipe(t testing.TB, from, to string, o Options) (WriteStats, Stats) {
	t.Helper()
	d := open(t, from)
	r, w := io.Pipe()
	var ws WriteStats
	var werr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ws, werr = Write(context.Background(), w, d, WriteOptions{})
		w.CloseWithError(werr)
	}()
	st, err := extractTo(t, to, r, o)
	r.CloseWithError(err)
	<-done
	if err != nil || werr != nil {
		t.Fatal(err, werr)
	}
	return ws, st
}

func open(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// stacks are layers, lowest first. Each must give the same tree as overlay mount and applied in place.
var stacks = []struct {
	name   string
	layers [][]tar.Header
}{
	{"whiteout of a file", [][]tar.Header{
		{file("a", "1"), file("b", "1")}, {file(".wh.a", "")}}},
	{"whiteout of a directory", [][]tar.Header{
		{dirEntry("d"), dirEntry("d/e"), file("d/e/f", "1"), file("x", "")}, {file(".wh.d", "")}}},
	{"whiteout of a link leaves its target", [][]tar.Header{
		{file("t", "1"), symlink("l", "t"), dirEntry("d"), file("d/f", "1"), symlink("m", "d")}, {file(".wh.l", ""), file(".wh.m", "")}}},
	{"whiteout of what is not there", [][]tar.Header{
		{dirEntry("d"), file("d/f", "1")}, {dirEntry("d"), file("d/.wh.g", ""), file(".wh.e", "")}}},
	{"opaque first", [][]tar.Header{
		{dirEntry("d"), file("d/old", "1"), dirEntry("d/sub"), file("d/sub/x", "1")}, {dirEntry("d"), file("d/.wh..wh..opq", ""), file("d/new", "2")}}},
	{"opaque last", [][]tar.Header{
		{dirEntry("d"), file("d/old", "1"), dirEntry("d/sub"), file("d/sub/x", "1")}, {dirEntry("d"), file("d/new", "2"), dirEntry("d/sub"), file("d/sub/y", "2"), file("d/.wh..wh..opq", "")}}},
	{"opaque root", [][]tar.Header{
		{file("a", "1"), dirEntry("d"), file("d/f", "1")}, {file("b", "2"), file(".wh..wh..opq", "")}}},
	{"whiteout and the same file both orders", [][]tar.Header{
		{file("a", "1"), file("b", "1")}, {file(".wh.a", ""), file("a", "2"), file("b", "2"), file(".wh.b", "")}}},
	{"whiteout and the same directory both orders", [][]tar.Header{
		{dirEntry("a"), file("a/x", "1"), dirEntry("b"), file("b/x", "1")},
		{file(".wh.a", ""), dirEntry("a"), file("a/y", "2"), dirEntry("b"), file("b/y", "2"), file(".wh.b", "")}}},
	{"directory over file file over directory", [][]tar.Header{
		{file("a", "1"), dirEntry("b"), file("b/x", "1")}, {dirEntry("a"), file("a/y", "2"), file("b", "2")}}},
	{"directory file and directory in one layer", [][]tar.Header{
		{dirEntry("a"), file("a/x", "1")}, {file("a", "2"), dirEntry("a"), file("a/y", "2")}}},
	{"link over directory directory over link", [][]tar.Header{
		{dirEntry("a"), file("a/x", "1"), symlink("b", "a")}, {symlink("a", "c"), dirEntry("c"), file("c/z", "2"), dirEntry("b"), file("b/y", "2")}}},
	{"merged directories with other attributes", [][]tar.Header{
		{{Typeflag: tar.TypeDir, Name: "d", Mode: 0o1777, Uid: 7, Gid: 8, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}, file("d/x", "1")},
		{{Typeflag: tar.TypeDir, Name: "d", Mode: 0o750, Uid: 9, PAXRecords: map[string]string{"SCHILY.xattr.user.b": "2"}}, file("d/y", "2")}}},
	{"three layers", [][]tar.Header{
		{dirEntry("d"), file("d/a", "1"), file("d/b", "1")}, {dirEntry("d"), file("d/.wh.a", ""), file("d/c", "2")}, {dirEntry("d"), file("d/a", "3"), file("d/.wh.c", "")}}},
	{"a parent that is no entry", [][]tar.Header{
		{{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777, Uid: 5, Gid: 6, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}, file("tmp/x", "1")},
		{file("tmp/y", "2"), file("new/z", "2")}}},
	{"a parent that is a link below", [][]tar.Header{
		{dirEntry("usr"), dirEntry("usr/lib"), file("usr/lib/a", "1"), symlink("lib", "usr/lib"), symlink("abs", "/usr")},
		{file("lib/b", "2"), file("abs/lib/c", "2")}}},
	{"a hard link to a file below", [][]tar.Header{
		{dirEntry("d"), {Name: "d/f", Gname: "content", Mode: 0o4755, Uid: 3, Gid: 4, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "1"}}},
		{hardlink("h", "d/f"), hardlink("i", "h")}}},
	{"a hard link through a link below", [][]tar.Header{
		{dirEntry("d"), file("d/f", "1"), symlink("l", "d")}, {hardlink("h", "l/f")}}},
	{"a name below what a whiteout hides", [][]tar.Header{
		{dirEntry("d"), file("d/old", "1"), dirEntry("d/sub"), file("d/sub/old", "1")}, {file(".wh.d", ""), file("d/sub/new", "2")}}},
	{"a name below an opaque directory's child", [][]tar.Header{
		{dirEntry("d"), {Typeflag: tar.TypeDir, Name: "d/s", Mode: 0o700}, file("d/s/old", "1")}, {dirEntry("d"), file("d/.wh..wh..opq", ""), file("d/s/new", "2")}}},
	{"whiteouts in a layer between", [][]tar.Header{
		{dirEntry("d"), {Typeflag: tar.TypeDir, Name: "d/s", Mode: 0o700}, symlink("l", "d")}, {file(".wh.d", ""), file(".wh.l", "")}, {file("d/s/x", "3"), file("l/x", "3")}}},
	{"opaque in a layer between", [][]tar.Header{
		{dirEntry("d"), {Typeflag: tar.TypeDir, Name: "d/s", Mode: 0o700}, symlink("d/l", "s")}, {dirEntry("d"), file("d/.wh..wh..opq", "")}, {file("d/s/x", "3"), file("d/l/x", "3")}}},
	{"whiteout after a name below it", [][]tar.Header{
		{dirEntry("d"), file("d/old", "1"), dirEntry("d/e"), file("d/e/old", "1")}, {file("d/e/new", "2"), file(".wh.d", "")}}},
	{"whiteout of what was replaced", [][]tar.Header{
		{dirEntry("a"), file("a/x", "1")}, {file("a", "2")}, {file(".wh.a", ""), dirEntry("b")}}},
}

// TestRootStacks: overlay and in place give the same tree, the one that overlayfs shows.
func TestRootStacks(t *testing.T) {
	for _, s := range stacks {
		t.Run(s.name, func(t *testing.T) {
			applied := t.TempDir()
			var lowers []string // topmost first
			var handles []*os.File
			for _, l := range s.layers {
				data := archive(t, l...)
				o := asRoot
				o.Whiteouts = Apply
				if _, err := extractTo(t, applied, bytes.NewReader(data), o); err != nil {
					t.Fatalf("in place: %v", err)
				}
				dir := t.TempDir()
				o.Whiteouts, o.Lowers = Overlay, handles
				if handles == nil {
					o.Lowers = []*os.File{}
				}
				if _, err := extractTo(t, dir, bytes.NewReader(data), o); err != nil {
					t.Fatalf("overlay: %v", err)
				}
				lowers = append([]string{dir}, lowers...)
				handles = append([]*os.File{open(t, dir)}, handles...)
			}
			merged := overlayDir(t, lowers, "")
			got, want := treeOf(t, merged), treeOf(t, applied)
			delete(got, ".")
			delete(want, ".")
			sameTrees(t, "overlay beside in place", got, want)
		})
	}
}

// TestRootWithoutLowers: what only the lower layers could tell is counted, or has its own error, so that
// the caller can extract again with them.
func TestRootWithoutLowers(t *testing.T) {
	o := asRoot
	o.Whiteouts = Overlay
	st, err := extractTo(t, t.TempDir(), bytes.NewReader(archive(t, file("lib/b", "2"), file("lib/c/d", "2"))), o)
	if err != nil || st.Implied != 2 {
		t.Errorf("%+v, %v", st.Implied, err)
	}
	root := t.TempDir()
	_, err = extractTo(t, root, bytes.NewReader(archive(t, hardlink("h", "d/f"))), o)
	if !errors.Is(err, ErrNeedsLower) || !errors.Is(err, ErrArchive) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	o.Lowers = []*os.File{}
	if _, err = extractTo(t, t.TempDir(), bytes.NewReader(archive(t, hardlink("h", "d/f"))), o); err == nil || errors.Is(err, ErrNeedsLower) {
		t.Errorf("with no lower layer: %v", err)
	}
	st, err = extractTo(t, t.TempDir(), bytes.NewReader(archive(t, file("lib/b", "2"))), o)
	if err != nil || st.Implied != 0 {
		t.Errorf("with no lower layer: %+v, %v", st.Implied, err)
	}
}

// TestRootLowersAreNotFollowed: links in a lower layer lead nowhere outside, and nothing is written there.
func TestRootLowersAreNotFollowed(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	low := filepath.Join(base, "low")
	for _, d := range []string{outside, low} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{"abs", "rel"} {
		to := outside
		if l == "rel" {
			to = "../outside"
		}
		if err := os.Symlink(to, filepath.Join(low, l)); err != nil {
			t.Fatal(err)
		}
	}
	before := treeOf(t, base)
	for _, l := range []string{"abs", "rel"} {
		o := asRoot
		o.Whiteouts, o.Lowers = Overlay, []*os.File{open(t, low)}
		dir := t.TempDir()
		if _, err := extractTo(t, dir, bytes.NewReader(archive(t, file(l+"/x", "2"))), o); err != nil {
			t.Error(err)
		}
		if _, err := extractTo(t, t.TempDir(), bytes.NewReader(archive(t, hardlink("h", l+"/f"))), o); !errors.Is(err, ErrArchive) {
			t.Errorf("a hard link through %s: %v", l, err)
		}
	}
	sameTrees(t, "the lower layer and outside", treeOf(t, base), before)
}

// TestRootUserXattr: for overlayfs with userxattr.
func TestRootUserXattr(t *testing.T) {
	o := asRoot
	o.Whiteouts, o.UserXattr = Overlay, true
	dir := t.TempDir()
	if _, err := extractTo(t, dir, bytes.NewReader(archive(t, dirEntry("d"), file("d/.wh..wh..opq", ""))), o); err != nil {
		t.Fatal(err)
	}
	if got := treeOf(t, dir)["d"]; !strings.Contains(got, " user.overlay.opaque=79") || strings.Contains(got, "trusted") {
		t.Errorf("the directory is %s", got)
	}
}

// TestRootDiffUpper: what a container changed in an overlay mount, written as a layer and extracted
// over the same lower layers, gives the tree that the container saw.
func TestRootDiffUpper(t *testing.T) {
	low, up := t.TempDir(), filepath.Join(t.TempDir(), "upper")
	if err := os.Mkdir(up, 0o755); err != nil {
		t.Fatal(err)
	}
	fillTree(t, low)
	merged := overlayDir(t, []string{low}, up)
	change(t, merged)
	var b bytes.Buffer
	st, err := DiffUpper(context.Background(), &b, open(t, up), false, WriteOptions{Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	checkChange(t, "overlay", low, merged, b.Bytes(), st)
}

// TestRootDiff: the same by comparing two trees.
func TestRootDiff(t *testing.T) {
	low, up := t.TempDir(), t.TempDir()
	fillTree(t, low)
	copyTree(t, low, up)
	sameTrees(t, "copy", treeOf(t, up), treeOf(t, low))
	var b bytes.Buffer
	if _, err := Diff(context.Background(), &b, open(t, low), open(t, up), WriteOptions{Content: true}); err != nil {
		t.Fatal(err)
	}
	if names := tarNames(t, b.Bytes()); len(names) > 0 {
		t.Errorf("a copy differs in %q", names)
	}
	change(t, up)
	b.Reset()
	st, err := Diff(context.Background(), &b, open(t, low), open(t, up), WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkChange(t, "trees", low, up, b.Bytes(), st)
}

// checkChange extracts a layer over low in both ways; both must show want.
func checkChange(t *testing.T, what, low, want string, layer []byte, ws WriteStats) {
	t.Helper()
	dir, applied := t.TempDir(), t.TempDir()
	o := asRoot
	o.Whiteouts = Overlay
	o.Lowers = []*os.File{open(t, low)}
	st, err := extractTo(t, dir, bytes.NewReader(layer), o)
	if err != nil {
		t.Fatal(err)
	}
	if st.DiffID != ws.DiffID {
		t.Errorf("%s: written as %s, read as %s", what, ws.DiffID, st.DiffID)
	}
	o.Lowers = nil
	if alone, err := extractTo(t, t.TempDir(), bytes.NewReader(layer), o); err != nil || alone.Implied != 0 {
		t.Errorf("%s: %d directories are missing in the layer, %v", what, alone.Implied, err)
	}
	wanted := treeOf(t, want, "dirtimes", "overlay")
	delete(wanted, ".")
	got := treeOf(t, overlayDir(t, []string{dir, low}, ""), "dirtimes", "overlay")
	delete(got, ".")
	sameTrees(t, what+", extracted for overlay", got, wanted)

	copyTree(t, low, applied)
	o.Whiteouts, o.Lowers = Apply, nil
	if _, err := extractTo(t, applied, bytes.NewReader(layer), o); err != nil {
		t.Fatal(err)
	}
	got = treeOf(t, applied, "dirtimes", "overlay")
	delete(got, ".")
	sameTrees(t, what+", applied in place", got, wanted)
}

// fillTree makes one of each thing that an archive can hold.
func fillTree(t testing.TB, root string) {
	t.Helper()
	when := time.Date(2020, 2, 2, 2, 2, 2, 123456789, time.UTC)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(n string) string { return filepath.Join(root, n) }
	for _, d := range []string{"etc", "usr", "usr/lib", "usr/lib/deep", "gone", "gone/sub", "replaced", "kept", "setgid", "sticky"} {
		do(os.Mkdir(at(d), 0o755))
	}
	for _, f := range []string{"etc/passwd", "etc/removed", "usr/lib/a", "usr/lib/deep/b", "gone/x", "gone/sub/y", "replaced/z", "kept/k", "becomes-dir", "becomes-link"} {
		do(os.WriteFile(at(f), []byte("content of "+f), 0o644))
	}
	do(os.Link(at("usr/lib/a"), at("usr/lib/a-hard")))
	do(os.Link(at("usr/lib/a"), at("a-hard")))
	do(os.Symlink("usr/lib", at("lib")))
	do(os.Symlink("/nowhere", at("dangling")))
	do(unix.Mkfifo(at("pipe"), 0o640))
	do(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	do(unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 200000))))
	do(os.WriteFile(at("setuid"), []byte("x"), 0o755))
	do(unix.Lchown(at("setuid"), 0, 5))
	do(unix.Chmod(at("setuid"), 0o6755))
	do(os.WriteFile(at("cap"), []byte("x"), 0o755))
	do(unix.Lchown(at("cap"), 1000, 1000))
	do(unix.Setxattr(at("cap"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	do(unix.Setxattr(at("etc/passwd"), "user.note", []byte("bin\x00ary\n=x"), 0))
	do(unix.Setxattr(at("etc"), "user.dir", []byte("on a directory"), 0))
	do(unix.Chmod(at("setgid"), 0o2775))
	do(unix.Lchown(at("setgid"), 0, 50))
	do(unix.Chmod(at("sticky"), 0o1777))
	do(os.WriteFile(at("unreadable"), []byte("x"), 0o000))
	do(unix.Lchown(at("lib"), 12, 4294967294))
	do(os.WriteFile(at(strings.Repeat("long", 50)), []byte("x"), 0o644))
	deep := strings.Repeat(strings.Repeat("n", 200)+"/", 4)
	do(os.MkdirAll(at(deep), 0o755))
	do(os.WriteFile(at(deep+"x\xff\ny"), []byte("x"), 0o644))
	f, err := os.Create(at("sparse"))
	do(err)
	do(f.Truncate(50 << 20))
	_, err = f.WriteAt([]byte("in the middle"), 20<<20)
	do(err)
	do(f.Close())
	do(filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		when = when.Add(time.Millisecond)
		ts := []unix.Timespec{unix.NsecToTimespec(when.UnixNano()), unix.NsecToTimespec(when.UnixNano())}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// change does to a tree of fillTree what containers do.
func change(t testing.TB, root string) {
	t.Helper()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(n string) string { return filepath.Join(root, n) }
	do(os.Remove(at("etc/removed")))
	do(os.WriteFile(at("etc/passwd"), []byte("changed"), 0o644))
	do(os.RemoveAll(at("gone")))
	do(os.RemoveAll(at("replaced")))
	do(os.Mkdir(at("replaced"), 0o711))
	do(os.WriteFile(at("replaced/new"), []byte("new"), 0o600))
	do(os.Remove(at("becomes-dir")))
	do(os.Mkdir(at("becomes-dir"), 0o755))
	do(os.WriteFile(at("becomes-dir/in"), nil, 0o644))
	do(os.Remove(at("becomes-link")))
	do(os.Symlink("etc", at("becomes-link")))
	do(os.Remove(at("usr/lib/a-hard")))
	do(os.Mkdir(at("new"), 0o2755))
	do(os.WriteFile(at("new/one"), []byte("1"), 0o640))
	do(os.Link(at("new/one"), at("new/two")))
	do(unix.Lchown(at("new/one"), 1234, 4321))
	do(os.Chmod(at("kept"), 0o700))
	do(unix.Setxattr(at("kept"), "user.new", []byte("1"), 0))
	do(os.Remove(at("pipe")))
	do(unix.Mkfifo(at("pipe"), 0o600))
	do(os.Chmod(at("sticky"), 0o1770))                                  // nothing but a directory's mode
	do(os.WriteFile(at("unreadable"), []byte("y"), 0o000))              // the same size
	do(unix.Setxattr(at("usr/lib/deep/b"), "user.new", []byte("1"), 0)) // nothing but an attribute
	do(os.Link(at("kept/k"), at("kept/second-name")))
	do(os.WriteFile(at("usr/lib/deep/c"), []byte("deep"), 0o644))
}
