package reader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
)

func drivers() []string { return []string{logfile.DriverLocal, logfile.DriverJSONFile} }

func config(t testing.TB, driver string) logfile.Config {
	return logfile.Config{Driver: driver, Dir: t.TempDir(), Name: "log", MaxSize: 20_000, MaxFiles: 5, Compress: true}
}

func open(t testing.TB, c logfile.Config) *logfile.Writer {
	t.Helper()
	w, err := logfile.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func read(t testing.TB, c logfile.Config, q Query) (lines []string) {
	t.Helper()
	err := Read(t.Context(), c, q, func(e *Entry) error {
		lines = append(lines, string(e.Line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func all() Query { return Query{Tail: -1} }

// What is written is read again: streams, times, pieces of long lines, bytes of all kinds.
func TestReadBack(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			c := config(t, driver)
			c.MaxSize = 0
			c.Attrs = []byte(`{"tag":"x"}`)
			w := open(t, c)
			out, errs := w.Stream(1), w.Stream(2)
			before := time.Now()
			out.Write([]byte("one\ntw"))
			errs.Write([]byte("error \"<&>\" \t\u2028 \\\n"))
			out.Write([]byte("o\n\n"))
			long := strings.Repeat("0123456789abcdef", 2500) // 40,000 bytes: 16384, 16384, 7232
			out.Write([]byte(long + "\nunfinished"))
			out.Close()
			errs.Close()
			w.Close()
			var got []string
			err := Read(t.Context(), c, all(), func(e *Entry) error {
				got = append(got, fmt.Sprintf("%d %q %t", e.Stream, e.Line, e.Partial.ID != 0))
				if e.Time.Before(before.Add(-time.Second)) || time.Since(e.Time) > time.Minute {
					t.Errorf("time %v", e.Time)
				}
				if driver == logfile.DriverJSONFile && string(e.Attrs) != `{"tag":"x"}` {
					t.Errorf("attrs %s", e.Attrs)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			last := driver == logfile.DriverLocal // json-file does not say that a whole line is a last piece
			want := []string{`1 "one\n" false`, fmt.Sprintf("2 %q false", "error \"<&>\" \t\u2028 \\\n"), `1 "two\n" false`, `1 "\n" false`,
				fmt.Sprintf("1 %q true", long[:16384]), fmt.Sprintf("1 %q true", long[16384:32768]), fmt.Sprintf("1 %q %t", long[32768:]+"\n", last), `1 "unfinished" true`}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func write(w *logfile.Writer, from, to int) {
	s := w.Stream(1)
	for i := from; i < to; i++ {
		s.Write([]byte("line " + strconv.Itoa(i) + "\n"))
	}
}

func numbered(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, "line "+strconv.Itoa(i)+"\n")
	}
	return out
}

// The last n lines, over the ends of files, plain and compressed.
func TestTail(t *testing.T) {
	for _, driver := range drivers() {
		for _, compressed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/compressed=%t", driver, compressed), func(t *testing.T) {
				c := config(t, driver)
				w := open(t, c)
				write(w, 0, 1500)
				w.Close()
				if compressed {
					if err := Compress(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					if m, _ := filepath.Glob(c.Dir + "/log*.*z*"); len(m) < 2 {
						t.Fatalf("not compressed: %v", m)
					}
				}
				whole := read(t, c, all())
				first := 1500 - len(whole)
				if len(whole) < 900 || !slices.Equal(whole, numbered(first, 1500)) {
					t.Fatalf("%d lines, from %s", len(whole), whole[0])
				}
				for _, n := range []int{0, 1, 2, 10, 200, 500, 777, len(whole) - 1, len(whole), 100_000} {
					got := read(t, c, Query{Tail: n})
					if want := whole[len(whole)-min(n, len(whole)):]; !slices.Equal(got, want) {
						t.Errorf("tail %d: %d lines, from %v", n, len(got), got[:min(1, len(got))])
					}
				}
			})
		}
	}
}

func TestSinceUntil(t *testing.T) {
	for _, driver := range drivers() {
		c := config(t, driver)
		w := open(t, c)
		var at []time.Time
		for i := range 5 {
			at = append(at, time.Now())
			write(w, i, i+1)
			time.Sleep(2 * time.Millisecond)
		}
		w.Close()
		if got := read(t, c, Query{Tail: -1, Since: at[1], Until: at[3]}); !slices.Equal(got, numbered(1, 3)) {
			t.Errorf("%s: %v", driver, got)
		}
	}
}

// A follower gets every line once, in order, while a fast writer rotates and another goroutine
// compresses; then the container ends, and so does the follower.
func TestFollowThroughRotation(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			const total = 30_000
			c := config(t, driver)
			c.MaxSize, c.MaxFiles = 100_000, 40
			w := open(t, c)
			write(w, 0, 10)
			ended := make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go func() {
				for i := 10; i < total; i += 100 {
					write(w, i, min(i+100, total))
					time.Sleep(time.Millisecond)
				}
				w.Close()
				close(ended)
			}()
			compressing := make(chan struct{})
			go func() {
				defer close(compressing)
				for {
					select {
					case <-ended:
						return
					case <-time.After(5 * time.Millisecond):
						if err := Compress(ctx, c); err != nil {
							t.Error(err)
							return
						}
					}
				}
			}()
			next := 0
			err := Read(ctx, c, Query{Tail: -1, Follow: true, Ended: ended}, func(e *Entry) error {
				if string(e.Line) != "line "+strconv.Itoa(next)+"\n" {
					return fmt.Errorf("got %q, want line %d", e.Line, next)
				}
				next++
				return nil
			})
			<-compressing
			if err != nil || next != total {
				t.Errorf("%d lines of %d, %v", next, total, err)
			}
			if m, _ := filepath.Glob(c.Dir + "/log.*z*"); len(m) == 0 {
				t.Error("nothing was compressed")
			}
		})
	}
}

// A follower that is so slow that what comes next is compressed before its turn still gets all.
func TestSlowFollower(t *testing.T) {
	for _, driver := range drivers() {
		c := config(t, driver)
		c.MaxFiles = 100
		w := open(t, c)
		write(w, 0, 10)
		ended, begun := make(chan struct{}), make(chan struct{})
		go func() {
			<-begun
			for i := 10; i < 3000; i += 10 {
				write(w, i, i+10)
				if i%500 == 0 {
					if err := Compress(t.Context(), c); err != nil {
						t.Error(err)
					}
				}
			}
			w.Close()
			if err := Compress(t.Context(), c); err != nil {
				t.Error(err)
			}
			close(ended)
		}()
		next := 0
		err := Read(t.Context(), c, Query{Tail: -1, Follow: true, Ended: ended}, func(e *Entry) error {
			if next == 0 {
				close(begun)
				<-ended
			}
			if string(e.Line) != "line "+strconv.Itoa(next)+"\n" {
				return fmt.Errorf("got %q, want line %d", e.Line, next)
			}
			next++
			return nil
		})
		if err != nil || next != 3000 {
			t.Errorf("%s: %d lines, %v", driver, next, err)
		}
	}
}

// A log that is emptied when it is full (max-file 1) is followed on.
func TestFollowEmptied(t *testing.T) {
	c := config(t, logfile.DriverJSONFile)
	c.MaxFiles, c.MaxSize, c.Compress = 1, 2000, false
	w := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 1000)
	done := make(chan error, 1)
	go func() {
		done <- Read(ctx, c, Query{Tail: 0, Follow: true}, func(e *Entry) error { got <- string(e.Line); return nil })
	}()
	time.Sleep(20 * time.Millisecond)
	for i := range 60 {
		write(w, i, i+1)
		select {
		case s := <-got:
			if s != "line "+strconv.Itoa(i)+"\n" {
				t.Fatalf("got %q", s)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("line %d does not come", i)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Damage in the middle costs what is damaged, not what comes after it.
func TestDamage(t *testing.T) {
	for _, driver := range drivers() {
		c := config(t, driver)
		c.MaxSize = 0
		w := open(t, c)
		write(w, 0, 100)
		w.Close()
		name := filepath.Join(c.Dir, "log")
		if driver == logfile.DriverLocal {
			name = logfile.SegmentName(c.Dir, "log", 1)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1000; i < 1500; i++ {
			b[i] = 0
		}
		if err := os.WriteFile(name, b[:len(b)-3], 0o600); err != nil { // and cut off
			t.Fatal(err)
		}
		got := read(t, c, all())
		if len(got) < 70 || len(got) > 99 || got[0] != "line 0\n" || got[len(got)-1] != "line 98\n" {
			t.Errorf("%s: %d lines, %q to %q", driver, len(got), got[0], got[len(got)-1])
		}
		if last := read(t, c, Query{Tail: 2}); !slices.Equal(last, numbered(97, 99)) {
			t.Errorf("%s: the last two: %q", driver, last)
		}
	}
}

// A writer goes on where the last one ended.
func TestContinued(t *testing.T) {
	for _, driver := range drivers() {
		c := config(t, driver)
		for i := range 5 {
			w := open(t, c)
			write(w, 100*i, 100*(i+1))
			w.Close()
		}
		if got := read(t, c, all()); !slices.Equal(got, numbered(0, 500)) {
			t.Errorf("%s: %d lines", driver, len(got))
		}
	}
}

// A holder of the lock who is stopped does not stop the log, and the files do not grow without
// end.
func TestLockHeld(t *testing.T) {
	c := config(t, logfile.DriverJSONFile)
	unlock, err := logfile.Lock(c.Dir, c.Name, true)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	w := open(t, c)
	write(w, 0, 40_000)
	w.Close()
	st, err := os.Stat(filepath.Join(c.Dir, "log"))
	if err != nil || st.Size() > 1<<20+100_000 {
		t.Errorf("%v bytes, %v", st.Size(), err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "log.1")); err != nil {
		t.Error(err)
	}
}

func fuzzRead(f *testing.F, driver, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := logfile.Config{Driver: driver, Dir: t.TempDir(), Name: "log", MaxFiles: 2}
		if err := os.WriteFile(filepath.Join(c.Dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "gz") || strings.HasSuffix(name, "zst") {
			os.WriteFile(filepath.Join(c.Dir, "log"), nil, 0o600)
		}
		size := 0
		for _, n := range []int{-1, 0, 1, 3} {
			count := 0
			err := Read(t.Context(), c, Query{Tail: n}, func(e *Entry) error {
				size += len(e.Line)
				if len(e.Line) > maxEntry {
					t.Fatalf("an entry of %d bytes", len(e.Line))
				}
				if count++; count > 10_000 {
					return errors.New("enough")
				}
				return nil
			})
			_ = err
		}
	})
}

func FuzzReadLocal(f *testing.F) {
	e := &logfile.Entry{Time: time.Unix(1, 2), Stream: 1, Line: []byte("x")}
	p := &logfile.Entry{Time: time.Unix(1, 2), Stream: 2, Line: []byte("xyz"), Partial: logfile.Partial{ID: 1, Ordinal: 1}}
	b := string(logfile.AppendLocal(logfile.AppendLocal(nil, e), p))
	fuzzRead(f, logfile.DriverLocal, "log.000001", b, b[1:], b[:len(b)-1], "")
}

func FuzzReadJSON(f *testing.F) {
	l := `{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n"
	fuzzRead(f, logfile.DriverJSONFile, "log", l, l+l, l[1:], l[:20]+"\n"+l, `{"log":1}`)
}

func FuzzReadCompressed(f *testing.F) {
	fuzzRead(f, logfile.DriverLocal, "log.000001.zst", "\x28\xb5\x2f\xfd", "")
}
