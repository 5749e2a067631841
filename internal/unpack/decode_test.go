package unpack

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/ulikunitz/xz"
)

// TestDecodeXZ: xz is told by its first bytes, read, and held to the window.
func TestDecodeXZ(t *testing.T) {
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 20}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for window, want := range map[int64]string{1 << 20: "hello", 1 << 19: ""} {
		r, kind, end, err := decoder(bufio.NewReader(bytes.NewReader(b.Bytes())), window)
		if err != nil || kind != "xz" {
			t.Fatalf("%q, %v", kind, err)
		}
		out, err := io.ReadAll(r)
		end(err == nil)
		if string(out) != want || (err == nil) != (want != "") {
			t.Errorf("window %d: %q, %v", window, out, err)
		}
	}
}
