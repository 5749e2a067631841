package launch

import (
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzReport: a report pipe with any bytes, cut anywhere, is notices, then an end or one error,
// and never more records than bytes for them.
func FuzzReport(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x02\x00\x00\x00"), uint8(3))
	f.Add([]byte("\x01\x00\x00\x80\x02\x00\x00\x00"), uint8(8))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x01"), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		if len(b) > 4096 {
			return
		}
		p := New()
		p.Doing("open", "it")
		p.Call("openat", unix.SYS_OPENAT)
		p.Exit(0)
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pipe[0])
		go func() {
			at := min(int(cut), len(b))
			unix.Write(pipe[1], b[:at])
			unix.Write(pipe[1], b[at:])
			unix.Close(pipe[1])
		}()
		c := &Child{report: pipe[0], plan: p}
		for n := 0; ; n++ {
			_, err := c.Next()
			if err == nil {
				if n == len(b)/8 {
					t.Fatalf("more than %d records of %d bytes", n, len(b))
				}
				continue
			}
			var e *Error
			switch {
			case err == io.EOF:
				if n != len(b)/8 || len(b)%8 != 0 {
					t.Errorf("end after %d records of %d bytes", n, len(b))
				}
			case errors.As(err, &e):
				if strings.TrimSpace(e.Doing) == "" || !strings.Contains(err.Error(), ": ") {
					t.Errorf("not a sentence: %q", err)
				}
			default:
				t.Errorf("unexpected %v", err)
			}
			return
		}
	})
}
