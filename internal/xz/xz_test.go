package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	upstream "github.com/ulikunitz/xz"
)

const bound = 64 << 20

// text is something that compresses, of n bytes.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "line %d of something %x\n", b.Len(), r.Uint32()&0xff)
		if r.Uint32()&15 == 0 {
			for range 200 {
				b.WriteByte(byte(r.Uint32()))
			}
		}
	}
	return b.Bytes()[:n]
}

// packed makes a stream with the xz program.
func packed(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("there is no xz program")
	}
	cmd := exec.Command(program, append([]string{"-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpack(b []byte, max int) ([]byte, error) { return io.ReadAll(NewReader(bytes.NewReader(b), max)) }

func TestPrograms(t *testing.T) {
	data := text(400 << 10)
	for _, args := range []string{"", "-0", "-9", "-e -6", "-T2", "--block-size=16384", "--block-size=50000 -T2", "--check=none", "--check=crc32", "--check=crc64 --block-size=300000", "--check=sha256 --block-size=70000", "--lzma2=dict=4KiB", "--lzma2=preset=6,lc=0,lp=2,pb=0"} {
		for _, in := range [][]byte{data, nil, data[:1], bytes.Repeat([]byte{7}, 100<<10)} {
			stream := packed(t, in, strings.Fields(args)...)
			if got, err := unpack(stream, bound); err != nil || !bytes.Equal(got, in) {
				t.Errorf("xz %s of %d bytes: %d bytes, %v", args, len(in), len(got), err)
			}
			// Two streams with padding between and after.
			two := slices.Concat(stream, make([]byte, 8), stream, make([]byte, 4))
			if got, err := unpack(two, bound); err != nil || !bytes.Equal(got, slices.Concat(in, in)) {
				t.Errorf("xz %s twice: %d bytes, %v", args, len(got), err)
			}
		}
	}
	// A block with a larger dictionary than the one before.
	grown := slices.Concat(packed(t, data, "--lzma2=dict=4KiB"), packed(t, data, "-0"), packed(t, data, "-6"), packed(t, data, "--lzma2=dict=8KiB"))
	if got, err := unpack(grown, bound); err != nil || len(got) != 4*len(data) {
		t.Errorf("growing dictionaries: %d bytes, %v", len(got), err)
	}
}

// TestUpstream: what the module's own writer makes.
func TestUpstream(t *testing.T) {
	data := text(100000)
	var b bytes.Buffer
	w, err := upstream.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := unpack(b.Bytes(), bound); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestDamage: each byte changed, and each length cut, is an error.
func TestDamage(t *testing.T) {
	data := text(3000)
	good := packed(t, data, "-0", "--check=sha256", "--block-size=1000")
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x20
		if _, err := unpack(b, bound); err == nil {
			t.Errorf("byte %d of %d changed: no error", i, len(good))
		}
		if _, err := unpack(good[:i], bound); err == nil {
			t.Errorf("cut at %d of %d: no error", i, len(good))
		}
	}
	if _, err := unpack(append(bytes.Clone(good), "rest"...), bound); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrFormat) {
		t.Errorf("bytes after the end: %v", err)
	}
}

// withDict changes the dictionary of the first block.
func withDict(b []byte, code byte) []byte {
	b = bytes.Clone(b)
	size := (int(b[12]) + 1) * 4
	head := b[12 : 12+size]
	i := bytes.Index(head, []byte{0x21, 1})
	head[i+2] = code
	binary.LittleEndian.PutUint32(head[size-4:], crc32.ChecksumIEEE(head[:size-4]))
	return b
}

// TestMemory: a header cannot ask for memory, nor can many blocks, each for a little.
func TestMemory(t *testing.T) {
	small := packed(t, []byte("hello"), "-0", "--check=none")
	for code := byte(29); code <= 41; code++ { // from 64 MiB + 32 MiB
		if _, err := unpack(withDict(small, code), bound); code > 40 && !errors.Is(err, ErrFormat) || code <= 40 && !errors.Is(err, ErrMemory) {
			t.Errorf("dictionary %d: %v", code, err)
		}
	}
	large := withDict(small, 28) // 64 MiB, allowed
	if out, err := unpack(large, bound); err != nil || string(out) != "hello" {
		t.Fatalf("%q, %v", out, err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if out, err := unpack(bytes.Repeat(large, 500), bound); err != nil || len(out) != 2500 {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
		t.Errorf("500 blocks took %d MiB", n>>20)
	}
}

// TestFilters: what is not read is said so.
func TestFilters(t *testing.T) {
	b := packed(t, text(1000), "--x86", "--lzma2")
	if _, err := unpack(b, bound); err == nil || !strings.Contains(err.Error(), "filter") {
		t.Errorf("got %v", err)
	}
}

// FuzzReader: no panic, and what both readers take is the same.
func FuzzReader(f *testing.F) {
	f.Add([]byte(Magic))
	for _, args := range [][]string{{"-0"}, {"--check=crc32", "--block-size=100"}, {"--check=none"}, {"--check=sha256"}} {
		f.Add(packed(f, text(500), args...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(b), 1<<20), 1<<20))
		if err != nil || len(got) == 1<<20 {
			return
		}
		r, err := upstream.ReaderConfig{DictCap: 1 << 16}.NewReader(bytes.NewReader(b))
		if err != nil {
			return // it is stricter here and there
		}
		if want, err := io.ReadAll(r); err == nil && !bytes.Equal(got, want) {
			t.Errorf("%x: got %q, upstream reads %q", b, got, want)
		}
	})
}
