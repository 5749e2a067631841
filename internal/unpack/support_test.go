package unpack

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"testing"

	"golang.org/x/sys/unix"
)

func umask(m int) int { return unix.Umask(m) }

func sumOf(b []byte) Sum { return sha256.Sum256(b) }

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
