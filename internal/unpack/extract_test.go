package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

// ordinary are options with which a user without privileges extracts.
var ordinary = Options{KeepOwner: true, Limits: Limits{FreeBytes: -1, FreeInodes: -1}}

// TestHostileCorpusOrdinaryUser: the verdicts are the same without any privilege and, for what is no
// layer, in a directory that holds other files.
func TestHostileCorpusOrdinaryUser(t *testing.T) {
	base := t.TempDir()
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range hostiletar.Corpus(canary.Path) {
		if c.Bomb || strings.Contains(c.Name, "device") && !c.Refused {
			continue
		}
		root := filepath.Join(base, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "old"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, xerr := extractInto(t, root, c, ordinary)
		if err := canary.Check(); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if refused := c.Refused || c.Layer; refused != (xerr != nil) && !needsRoot(c.Name, xerr) {
			t.Errorf("%s: %v", c.Name, xerr)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
	}
}

// needsRoot: what only root may set fails for others, with an error of the system.
func needsRoot(name string, err error) bool {
	return os.Geteuid() != 0 && err != nil && !errors.Is(err, ErrArchive) &&
		(strings.HasPrefix(name, "xattr/capability") || strings.Contains(name, "without permissions") || strings.Contains(name, "slash at the end"))
}

func extractInto(t testing.TB, root string, c hostiletar.Case, o Options) (Stats, error) {
	t.Helper()
	return extractTo(t, root, c.Archive(), o)
}

func extractTo(t testing.TB, root string, r io.Reader, o Options) (Stats, error) {
	t.Helper()
	d, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return Extract(context.Background(), d, r, o)
}

// FuzzExtract: whatever the bytes, nothing outside of the root changes, and a directory that was
// empty is empty after an error.
func FuzzExtract(f *testing.F) {
	base := f.TempDir()
	canary, err := hostiletar.NewCanary(base)
	if err != nil {
		f.Fatal(err)
	}
	for i, c := range hostiletar.Corpus(canary.Path) {
		if !c.Bomb && i%7 == 0 { // the corpus itself has its own tests
			data, _ := io.ReadAll(io.LimitReader(c.Archive(), 16<<10))
			f.Add(data, byte(0))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, mode byte) {
		dir := t.TempDir()
		canary, err := hostiletar.NewCanary(dir)
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		o := ordinary
		o.Limits.Bytes, o.Limits.Entries = 4<<20, 500
		o.Whiteouts = Whiteouts(mode % 3)
		if os.Geteuid() != 0 {
			o.Whiteouts = Plain
		}
		_, xerr := extractTo(t, root, bytes.NewReader(fixSums(data)), o)
		if err := canary.Check(); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		if xerr != nil && len(left) > 0 {
			t.Fatalf("failed (%v) and left %v", xerr, left)
		}
	})
}

// archive writes members with archive/tar.
func archive(t testing.TB, hs ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		var data string
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			data, h.Gname = h.Gname, "" // the content travels in a field that we do not need
			h.Size = int64(len(data))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if h.Typeflag == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_000_000_000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, data string) tar.Header { return tar.Header{Name: name, Gname: data} }
func dirEntry(name string) tar.Header   { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// TestTimesOfDirectories: a directory has its entry's time, though files were made in it later,
// and more directories were open than are kept open.
func TestTimesOfDirectories(t *testing.T) {
	var hs []tar.Header
	when := func(i int) time.Time { return time.Unix(1_000_000_000+int64(i), 123456789) }
	for i := range 2 * openDirs {
		d := dirEntry("d" + strings.Repeat("x", i))
		d.ModTime, d.Format = when(i), tar.FormatPAX
		hs = append(hs, d)
	}
	for i := range 2 * openDirs {
		hs = append(hs, file("d"+strings.Repeat("x", i)+"/f", "data"))
	}
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(archive(t, hs...)), ordinary)
	if err != nil {
		t.Fatal(err)
	}
	if st.Dirs != 2*openDirs || st.Files != 2*openDirs || st.Entries != 6*openDirs { // the pax headers count
		t.Errorf("%+v", st)
	}
	for i := range 2 * openDirs {
		info, err := os.Stat(filepath.Join(root, "d"+strings.Repeat("x", i)))
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().Equal(when(i)) {
			t.Errorf("directory %d has the time %v, want %v", i, info.ModTime(), when(i))
		}
	}
}

// TestUmask: modes are the archive's whatever the umask, which stays what it was.
func TestUmask(t *testing.T) {
	old := umask(0o077)
	defer umask(old)
	root := t.TempDir()
	f := file("f", "x")
	f.Mode = 0o666
	d := dirEntry("d")
	d.Mode = 0o777
	below := file("d/f", "x")
	below.Mode = 0o666
	if _, err := extractTo(t, root, bytes.NewReader(archive(t, f, d, below)), ordinary); err != nil {
		t.Fatal(err)
	}
	if now := umask(0o077); now != 0o077 {
		t.Errorf("the umask became %o", now)
	}
	for n, want := range map[string]os.FileMode{"f": 0o666, "d": 0o777, "d/f": 0o666} {
		info, err := os.Stat(filepath.Join(root, n))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %o, want %o", n, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	data := archive(t, file("a", strings.Repeat("x", 4096)), file("b/c/d", "y"), file("e", "z"))
	for _, c := range []struct {
		name string
		l    Limits
	}{
		{"bytes", Limits{Bytes: 4096}},
		{"entries", Limits{Entries: 2}},
		{"file size", Limits{FileSize: 4095}},
		{"depth", Limits{Depth: 1}},
		{"free bytes", Limits{FreeBytes: 1 << 60}},
		{"free inodes", Limits{FreeInodes: 1 << 60}},
	} {
		o := ordinary
		o.Limits = c.l
		if c.l.FreeBytes == 0 {
			o.Limits.FreeBytes = -1
		}
		root := t.TempDir()
		_, err := extractTo(t, root, bytes.NewReader(data), o)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if free := strings.HasPrefix(c.name, "free"); errors.Is(err, ErrLimit) == free {
			t.Errorf("%s: %v", c.name, err)
		}
		if left, _ := os.ReadDir(root); len(left) > 0 {
			t.Errorf("%s: left %v", c.name, left)
		}
	}
	exact := ordinary
	exact.Limits = Limits{Bytes: int64(len(data)), Entries: 3, FileSize: 4096, Depth: 2, FreeBytes: -1, FreeInodes: -1}
	if _, err := extractTo(t, t.TempDir(), bytes.NewReader(data), exact); err != nil {
		t.Errorf("the limits exactly: %v", err)
	}
}

// TestDigests: both sums are of every byte, also of those after the end mark.
func TestDigests(t *testing.T) {
	plain := append(archive(t, file("a", "x")), "and more"...)
	packed := gzipped(t, plain)
	o := ordinary
	o.Digest = true
	for _, c := range []struct {
		compression string
		stream      []byte
	}{{"tar", plain}, {"gzip", packed}} {
		st, err := extractTo(t, t.TempDir(), bytes.NewReader(c.stream), o)
		if err != nil {
			t.Fatal(err)
		}
		if st.DiffID != sumOf(plain) || st.Digest != sumOf(c.stream) || st.Compression != c.compression {
			t.Errorf("%s: %s and %s of %s", c.compression, st.DiffID, st.Digest, st.Compression)
		}
		if st.Bytes != int64(len(plain)) || st.StreamBytes != int64(len(c.stream)) {
			t.Errorf("%s: %d of %d bytes", c.compression, st.Bytes, st.StreamBytes)
		}
	}
}

// TestReaderErrors: an error of the stream is not the archive's fault, and is the one returned.
func TestReaderErrors(t *testing.T) {
	broken := errors.New("the cable is cut")
	data := archive(t, file("a", strings.Repeat("x", 1<<20)))
	root := t.TempDir()
	_, err := extractTo(t, root, io.MultiReader(bytes.NewReader(data[:700<<10]), errReader{broken}), ordinary)
	if !errors.Is(err, broken) || errors.Is(err, ErrArchive) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stopped by the user")
	d, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := &cancelReader{r: bytes.NewReader(data), after: 600 << 10, cancel: func() { cancel(stop) }}
	if _, err := Extract(ctx, d, r, ordinary); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// cancelReader cancels when so many bytes have been read, and goes on.
type cancelReader struct {
	r      io.Reader
	after  int
	cancel func()
}

func (r *cancelReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if r.after -= n; r.after < 0 {
		r.cancel()
	}
	return n, err
}

// TestSameKind: the Docker API's noOverwriteDirNonDir.
func TestSameKind(t *testing.T) {
	o := ordinary
	o.SameKind = true
	for _, c := range []struct {
		name string
		hs   []tar.Header
		ok   bool
	}{
		{"directory by a file", []tar.Header{dirEntry("d"), file("d", "x")}, false},
		{"directory by a link", []tar.Header{dirEntry("d"), symlink("d", "x")}, false},
		{"file by a directory", []tar.Header{file("d", "x"), dirEntry("d")}, false},
		{"file by a link", []tar.Header{file("d", "x"), symlink("d", "x")}, true},
		{"directory by a directory", []tar.Header{dirEntry("d"), dirEntry("d")}, true},
	} {
		_, err := extractTo(t, t.TempDir(), bytes.NewReader(archive(t, c.hs...)), o)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestWriteIsDeterministic: the same tree gives the same bytes, in each compression.
func TestWriteIsDeterministic(t *testing.T) {
	src := archive(t, dirEntry("b"), file("b/2", strings.Repeat("data", 100_000)), file("a", "x"), symlink("c", "a"), hardlink("b/1", "a"))
	var first, second string
	for i, root := range []string{t.TempDir(), t.TempDir()} {
		if i == 1 { // made in another order
			if err := os.WriteFile(filepath.Join(root, "zz"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := extractTo(t, root, bytes.NewReader(src), ordinary); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(root, "zz"))
		if err := os.Chtimes(root, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := os.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		all := ""
		for _, compression := range []string{"", "gzip", "zstd"} {
			var b bytes.Buffer
			st, err := Write(context.Background(), &b, d, WriteOptions{Compression: compression})
			if err != nil {
				t.Fatal(err)
			}
			if st.Digest != sumOf(b.Bytes()) || st.StreamBytes != int64(b.Len()) {
				t.Errorf("%q: the digest is not that of the bytes", compression)
			}
			back, err := extractTo(t, t.TempDir(), &b, ordinary)
			if err != nil {
				t.Fatal(err)
			}
			if back.DiffID != st.DiffID || back.Bytes != st.Bytes {
				t.Errorf("%q: written as %s, read as %s", compression, st.DiffID, back.DiffID)
			}
			all += st.Digest.String() + " "
		}
		if i == 0 {
			first = all
		} else {
			second = all
		}
	}
	if first != second {
		t.Errorf("two digests of one tree:\n%s\n%s", first, second)
	}
}

// TestWriteOrder: directories come before what is in them, whiteouts and files before directories.
func TestWriteOrder(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"b", "b/d", "a"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"b/x", "b/d/x", "c", "a/1"} {
		if err := os.WriteFile(filepath.Join(root, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b bytes.Buffer
	if _, err := Write(context.Background(), &b, d, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"./", "c", "a/", "a/1", "b/", "b/x", "b/d/", "b/d/x"}
	if got := tarNames(t, b.Bytes()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func tarNames(t *testing.T, data []byte) (names []string) {
	t.Helper()
	hs, _, err := readOurs(data, 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hs {
		names = append(names, h.name)
	}
	return names
}

// TestRefusedOptions: contradictions are refused before anything is read.
func TestRefusedOptions(t *testing.T) {
	for _, o := range []Options{{UserXattr: true}, {Whiteouts: Apply, Lowers: []*os.File{os.Stdin}}, {UIDMap: []IDMap{{0, 0, 1}}}} {
		if _, err := extractTo(t, t.TempDir(), errReader{errors.New("read")}, o); err == nil || strings.Contains(err.Error(), "read") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := Write(context.Background(), io.Discard, d, WriteOptions{Compression: "xz"}); err == nil {
		t.Error("the compression xz was accepted")
	}
}
