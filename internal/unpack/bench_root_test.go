package unpack

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// freshExt4 mounts a new ext4 on a loop device for each round: ext4 makes files about ten times slower
// where many were deleted.
func freshExt4(b *testing.B) (dir string, drop func()) {
	b.Helper()
	base, err := os.MkdirTemp("/var/tmp", "hull-unpack-")
	if err != nil {
		b.Fatal(err)
	}
	img, at := filepath.Join(base, "img"), filepath.Join(base, "at")
	run := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		b.Fatal(err)
	}
	run("truncate", "-s", "4G", img)
	run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", img)
	run("mount", "-o", "loop", img, at)
	dir = filepath.Join(at, "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir, func() {
		run("umount", at)
		if err := os.RemoveAll(base); err != nil {
			b.Error(err)
		}
	}
}

// benchArchives are a layer of many small files, and one of few large ones, half compressible.
func benchArchives(b *testing.B, what string) []byte {
	b.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	r := rand.NewChaCha8([32]byte{})
	put := func(name string, size int) {
		data := make([]byte, size)
		for at := 0; at < size; at += 8192 { // every second page repeats
			r.Read(data[at:min(at+4096, size)])
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(size)}); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	switch what {
	case "small":
		for d := range 500 {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("d%d/", d), Mode: 0o755}); err != nil {
				b.Fatal(err)
			}
			for f := range 100 {
				put(fmt.Sprintf("d%d/f%d", d, f), 200+(f*f)%7000)
			}
		}
	case "large":
		for f := range 16 {
			put(fmt.Sprintf("f%d", f), 64<<20)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkRootExtract: beside GNU tar, with the same decompressor in front where there is one.
// go test -run xxx -bench RootExtract -benchtime 3x ./internal/unpack
func BenchmarkRootExtract(b *testing.B) {
	for _, what := range []string{"small", "large"} {
		plain := benchArchives(b, what)
		z, err := zstd.NewWriter(nil)
		if err != nil {
			b.Fatal(err)
		}
		streams := map[string][]byte{"tar": plain, "gzip": gzipped(b, plain), "zstd": z.EncodeAll(plain, nil)}
		z.Close()
		for _, compression := range []string{"tar", "gzip", "zstd"} {
			stream := streams[compression]
			file := filepath.Join(b.TempDir(), "archive")
			if err := os.WriteFile(file, stream, 0o600); err != nil {
				b.Fatal(err)
			}
			round := func(b *testing.B, f func(dir string) error) {
				b.SetBytes(int64(len(plain)))
				for b.Loop() {
					b.StopTimer()
					dir, drop := freshExt4(b)
					b.StartTimer()
					err := f(dir)
					b.StopTimer()
					drop()
					b.StartTimer()
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.Run(what+"/"+compression+"/hull", func(b *testing.B) {
				round(b, func(dir string) error {
					f, err := os.Open(file)
					if err != nil {
						return err
					}
					defer f.Close()
					_, err = extractTo(b, dir, f, Options{Whiteouts: Overlay, Digest: true})
					return err
				})
			})
			b.Run(what+"/"+compression+"/gnutar", func(b *testing.B) {
				round(b, func(dir string) error {
					flag := map[string]string{"tar": "-xpf", "gzip": "-xpzf", "zstd": "-xp --zstd -f"}[compression]
					args := append([]string{"-C", dir}, fields(flag)...)
					out, err := exec.Command("tar", append(args, file)...).CombinedOutput()
					if err != nil {
						err = fmt.Errorf("%w: %s", err, out)
					}
					return err
				})
			})
		}
	}
}

func fields(s string) []string {
	var out []string
	for _, f := range bytes.Fields([]byte(s)) {
		out = append(out, string(f))
	}
	return out
}

// BenchmarkRead is the reader and the sums alone, without files.
func BenchmarkRead(b *testing.B) {
	plain := benchArchives(b, "small")
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		s := startStream(b.Context(), bytes.NewReader(plain), Limits{}.withDefaults(), false)
		t := tarReader{in: &input{fill: s.next}, maxEntry: none}
		for {
			if _, err := t.next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		s.finish()
	}
}

// BenchmarkRootSmallest is what an extraction costs beside its files: the thread, the cage, the pipeline.
func BenchmarkRootSmallest(b *testing.B) {
	data := archive(b)
	root := b.TempDir()
	for b.Loop() {
		if _, err := extractTo(b, root, bytes.NewReader(data), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
