package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/unpack/hostiletar"
)

// readOurs reads an archive with our reader: headers (copied) and data.
func readOurs(data []byte, chunk int) (hs []header, contents [][]byte, err error) {
	in := &input{fill: func() ([]byte, error) {
		if len(data) == 0 {
			return nil, io.EOF
		}
		c := data[:min(chunk, len(data))]
		data = data[len(c):]
		return c, nil
	}}
	t := &tarReader{in: in, maxEntry: 10_000}
	for {
		h, err := t.next()
		if err == io.EOF {
			return hs, contents, nil
		}
		if err != nil {
			return hs, contents, err
		}
		c := *h
		c.spans = append([]span(nil), h.spans...)
		c.xattrs = append([]xattr(nil), h.xattrs...)
		hs = append(hs, c)
		var body []byte
		for {
			b, err := t.data(none)
			if err == io.EOF {
				break
			}
			if err != nil {
				return hs, contents, err
			}
			body = append(body, b...)
		}
		contents = append(contents, body)
	}
}

// expand fills the holes of a sparse file.
func expand(h *header, stored []byte) []byte {
	if !h.sparse {
		return stored
	}
	out := make([]byte, h.size)
	for _, s := range h.spans {
		copy(out[s.off:s.off+s.len], stored[:s.len])
		stored = stored[s.len:]
	}
	return out
}

// sameAsArchiveTar holds our reader to archive/tar's: what we accept, it reads the same.
func sameAsArchiveTar(t *testing.T, data []byte) {
	t.Helper()
	hs, contents, err := readOurs(data, 512)
	if err != nil {
		if !errors.Is(err, ErrArchive) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("the error has no class: %v", err)
		}
		return
	}
	if hs2, _, err := readOurs(data, 777); err != nil || len(hs2) != len(hs) {
		t.Fatalf("other chunks give another result: %d and %d entries, %v", len(hs), len(hs2), err)
	}
	r := tar.NewReader(bytes.NewReader(data))
	for i := 0; ; {
		theirs, err := r.Next()
		if err == io.EOF {
			if i != len(hs) {
				t.Fatalf("we read %d entries, archive/tar %d", len(hs), i)
			}
			return
		}
		if err != nil {
			t.Fatalf("we accept what archive/tar refuses: %v", err)
		}
		if theirs.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if i >= len(hs) {
			t.Fatalf("archive/tar has more entries: %q", theirs.Name)
		}
		h := &hs[i]
		kind := theirs.Typeflag
		if kind == tar.TypeCont || kind == tar.TypeGNUSparse {
			kind = tar.TypeReg
		}
		if h.name != theirs.Name || h.kind != kind {
			t.Fatalf("entry %d: %q type %q, archive/tar: %q type %q", i, h.name, h.kind, theirs.Name, kind)
		}
		if (kind == tar.TypeLink || kind == tar.TypeSymlink) && h.link != theirs.Linkname {
			t.Fatalf("entry %d: link %q, archive/tar: %q", i, h.link, theirs.Linkname)
		}
		if int(h.uid) != theirs.Uid || int(h.gid) != theirs.Gid || int64(h.mode) != theirs.Mode&0o7777 {
			t.Fatalf("entry %d: %d:%d %o, archive/tar: %d:%d %o", i, h.uid, h.gid, h.mode, theirs.Uid, theirs.Gid, theirs.Mode)
		}
		if h.mtime.Sec != theirs.ModTime.Unix() || h.mtime.Nsec != int64(theirs.ModTime.Nanosecond()) {
			t.Fatalf("entry %d: time %v, archive/tar: %v", i, h.mtime, theirs.ModTime)
		}
		for _, x := range h.xattrs {
			if theirs.PAXRecords[xattrPrefix+x.name] != x.value {
				t.Fatalf("entry %d: xattr %q is %q, archive/tar: %q", i, x.name, x.value, theirs.PAXRecords[xattrPrefix+x.name])
			}
		}
		if kind == tar.TypeReg {
			if h.size != theirs.Size {
				t.Fatalf("entry %d: size %d, archive/tar: %d", i, h.size, theirs.Size)
			}
			if h.size < 1<<20 {
				body, err := io.ReadAll(r)
				if err != nil {
					t.Fatalf("entry %d: archive/tar cannot read the data: %v", i, err)
				}
				if !bytes.Equal(body, expand(h, contents[i])) {
					t.Fatalf("entry %d: other data than archive/tar's", i)
				}
			}
		}
		i++
	}
}

// corpusBytes is every finite case of the corpus that is small.
func corpusBytes(t testing.TB) (all [][]byte) {
	for _, c := range hostiletar.Corpus("/canary") {
		if c.Bomb {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(c.Archive(), 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func TestReaderAgainstArchiveTar(t *testing.T) {
	for _, data := range corpusBytes(t) {
		sameAsArchiveTar(t, data)
	}
}

func FuzzTar(f *testing.F) {
	for _, data := range corpusBytes(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fix := fixSums(bytes.Clone(data))
		sameAsArchiveTar(t, data)
		sameAsArchiveTar(t, fix)
	})
}

// fixSums makes each block that looks like a header a valid one, so that the fuzzer gets past the check sum.
func fixSums(data []byte) []byte {
	for b := data; len(b) >= blockSize; b = b[blockSize:] {
		if magic := b[257:262]; string(magic) != "ustar" {
			continue
		}
		sum := 0
		for i, c := range b[:blockSize] {
			if i >= 148 && i < 156 {
				c = ' '
			}
			sum += int(c)
		}
		for i := 5; i >= 0; i-- {
			b[148+i] = '0' + byte(sum&7)
			sum >>= 3
		}
		b[154], b[155] = 0, ' '
	}
	return data
}

func TestLocalName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "a"}, {"a/b", "a/b"}, {"/a", "a"}, {"./a/", "a"}, {"a//b/./c", "a/b/c"}, {"", ""}, {"/", ""}, {"./", ""}, {"...", "..."},
	} {
		if got, err := localName(c.in, 100); err != nil || got != c.want {
			t.Errorf("localName(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"..", "a/..", "../a", "a/../b", "a\x00", strings.Repeat("n", 256), strings.Repeat("a/", 2048), strings.Repeat("d/", 102)} {
		if got, err := localName(in, 100); err == nil {
			t.Errorf("localName(%q) = %q, want an error", in, got)
		}
	}
	if _, err := localName(strings.Repeat("d/", 100)+"x", 100); err != nil {
		t.Error(err)
	}
}

// FuzzWhiteouts: a name that is accepted is local, whatever it says of whiteouts.
func FuzzWhiteouts(f *testing.F) {
	for _, s := range []string{".wh.x", "a/.wh..wh..opq", ".wh..wh.plnk/1", ".wh...", "a/.wh./b", "../.wh.x", "a/../b", ".wh.\x00"} {
		f.Add(s, byte('0'))
	}
	f.Fuzz(func(t *testing.T, raw string, kind byte) {
		name, err := localName(raw, 64)
		if err != nil || name == "" {
			return
		}
		if name[0] == '/' || strings.Count(name, "/") > 64 || len(name) > maxPath {
			t.Fatalf("%q became %q", raw, name)
		}
		if again, err := localName(name, 64); again != name || err != nil {
			t.Fatalf("%q became %q and then %q, %v", raw, name, again, err)
		}
		for c := range strings.SplitSeq(name, "/") {
			if c == "" || c == "." || c == ".." || len(c) > 255 || strings.IndexByte(c, 0) >= 0 {
				t.Fatalf("%q became %q", raw, name)
			}
		}
		parent, base := splitPath(name)
		m, hidden, err := readMark(raw, parent, base, kind)
		if err != nil {
			return
		}
		if m == whiteout && (hidden == "" || hidden == "." || hidden == ".." || strings.Contains(hidden, "/")) {
			t.Fatalf("%q hides %q", raw, hidden)
		}
		if m == noMark && strings.Contains("/"+name, "/"+whiteoutPrefix) {
			t.Fatalf("%q is taken for an ordinary name", raw)
		}
		if kind != '0' && kind != '1' && (m == whiteout || m == opaque) {
			t.Fatalf("%q of type %q is a whiteout", raw, kind)
		}
	})
}

// TestSparseMapBound: a sparse map in blocks of GNU's old format has a bound of its own.
func TestSparseMapBound(t *testing.T) {
	head := make([]byte, blockSize)
	copy(head, "s")
	head[156] = 'S'
	copy(head[257:], "ustar  \x00")
	head[482] = 1
	block := make([]byte, blockSize)
	for i := range 21 {
		copy(block[24*i:], "00000000000\x0000000000000\x00")
	}
	block[504] = 1
	_, _, err := readOurs(append(fixSums(head), bytes.Repeat(block, maxSpans/21+10)...), 64<<10)
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "sparse map") {
		t.Errorf("got %v", err)
	}
}

// TestRatio: what comes out of a decoder is held to what went in, once it is much.
func TestRatio(t *testing.T) {
	for _, c := range []struct {
		out, in     int64
		compression string
		ok          bool
	}{
		{ratioGrace, 1, "zstd", true}, {ratioGrace + 1<<20, 1, "zstd", false}, {10 << 30, 10 << 20, "gzip", true},
		{10 << 30, 8 << 20, "gzip", false}, {10 << 30, 1, "tar", true}, {200 << 30, 200 << 30, "tar", false},
	} {
		s := &stream{limits: Limits{}.withDefaults(), bytes: c.out, compression: c.compression, src: source{n: c.in}}
		if err := s.checkSize(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrLimit) {
			t.Errorf("%d bytes of %s out of %d: %v", c.out, c.compression, c.in, err)
		}
	}
}

func TestClampTime(t *testing.T) {
	for _, sec := range []int64{math.MinInt64, -1 << 31, -1, 0, 1 << 33, math.MaxInt64} {
		ts, err := paxTime("0.5")
		if err != nil {
			t.Fatal(err)
		}
		ts.Sec = sec
		if got := clampTime(ts); got.Sec < -1<<31 || got.Sec > 0x37fffffff {
			t.Errorf("%d became %d", sec, got.Sec)
		}
	}
	if ts, err := paxTime("-1.25"); err != nil || ts.Sec != -2 || ts.Nsec != 750_000_000 {
		t.Errorf("-1.25 is %v, %v", ts, err)
	}
}

func TestIDMaps(t *testing.T) {
	maps := []IDMap{{0, 100000, 1000}, {1000, 5000, 1}}
	for _, c := range []struct {
		in, want uint32
		ok       bool
	}{{0, 100000, true}, {999, 100999, true}, {1000, 5000, true}, {1001, 0, false}} {
		got, ok := mapID(maps, c.in)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("mapID(%d) = %d, %v", c.in, got, ok)
		}
		if back, ok := unmapID(maps, got); c.ok && (!ok || back != c.in) {
			t.Errorf("unmapID(%d) = %d, %v", got, back, ok)
		}
	}
	for _, m := range []IDMap{{0, 0, 0}, {1, 0, math.MaxUint32}, {0, 1 << 31, 1 << 31}} {
		if checkMaps([]IDMap{m}, []IDMap{{0, 0, 1}}) == nil {
			t.Errorf("the map %v was accepted", m)
		}
	}
	if checkMaps([]IDMap{{0, 0, 1}}, nil) == nil {
		t.Error("a map of users alone was accepted")
	}
}
