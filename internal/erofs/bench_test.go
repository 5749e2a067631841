package erofs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkSmallFiles is the layer that file systems are slow with: 50,000 files of 1 KiB.
func BenchmarkSmallFiles(b *testing.B) {
	const count, perDir, size = 50000, 100, 1024
	body := bytes.Repeat([]byte("x"), size)
	for b.Loop() {
		image(b, func(w *Writer) error {
			var dir *Node
			for i := range count {
				var err error
				if i%perDir == 0 {
					if dir, err = w.Add(w.Root(), fmt.Sprint("dir", i), Meta{Mode: unix.S_IFDIR | 0o755}, nil); err != nil {
						return err
					}
				}
				if _, err = w.Add(dir, fmt.Sprint("file", i), Meta{Mode: unix.S_IFREG | 0o644, Size: size}, bytes.NewReader(body)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.SetBytes(count * size)
}

// BenchmarkBigFile is one file of 256 MiB.
func BenchmarkBigFile(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<20)
	for b.Loop() {
		image(b, func(w *Writer) error {
			_, err := w.Add(w.Root(), "big", Meta{Mode: unix.S_IFREG | 0o644, Size: int64(len(body))}, bytes.NewReader(body))
			return err
		})
	}
	b.SetBytes(int64(len(body)))
}

func image(b *testing.B, fill func(w *Writer) error) {
	path := filepath.Join(b.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := NewWriter(f, Options{})
	if err := fill(w); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	os.Remove(path)
}
