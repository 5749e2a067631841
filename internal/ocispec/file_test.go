package ocispec

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, 1, 4095, 4096, 4097, MaxConfigSize} {
		want := bytes.Repeat([]byte("x"), size)
		put("config.json", want)
		if got, err := ReadFile(int(f.Fd()), "config.json"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	put("config.json", []byte("{}"))
	if err := os.Symlink("config.json", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(int(f.Fd()), "link"); err != nil || string(got) != "{}" {
		t.Errorf("link: got %q, %v", got, err)
	}
	if got, err := ReadFile(unix.AT_FDCWD, filepath.Join(dir, "config.json")); err != nil || string(got) != "{}" {
		t.Errorf("by path: got %q, %v", got, err)
	}
	// A file of procfs says that it has no bytes.
	if got, err := ReadFile(unix.AT_FDCWD, "/proc/self/status"); err != nil || len(got) < 500 {
		t.Errorf("procfs: got %d bytes, %v", len(got), err)
	}
}

// TestReadFileRefuses: neither a FIFO nor a huge sparse file holds us up or takes memory.
func TestReadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "huge"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "huge"), 10<<30); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, MaxConfigSize+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	open := descriptors()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for name, want := range map[string]string{
		dir + "/fifo":   "not a regular file",
		dir:             "not a regular file",
		"/dev/zero":     "not a regular file",
		dir + "/huge":   "larger than 16 MiB",
		dir + "/large":  "larger than 16 MiB",
		dir + "/absent": "no such file or directory",
		dir + "/loop":   "too many levels of symbolic links",
	} {
		if b, err := ReadFile(unix.AT_FDCWD, name); err == nil || err.Error() != "read "+name+": "+want {
			t.Errorf("%s: got %d bytes, %v", name, len(b), err)
		}
	}
	runtime.ReadMemStats(&after)
	if now := descriptors(); now != open {
		t.Errorf("%d descriptors before, %d after", open, now)
	}
	if d := time.Since(start); d > time.Second || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("took %v and %d bytes", d, after.TotalAlloc-before.TotalAlloc)
	}
}

// TestReadFileCountsWhatItReads: a file that says it has no bytes and has hundreds of gigabytes, as one that grows.
func TestReadFileCountsWhatItReads(t *testing.T) {
	if b, err := readFile(unix.AT_FDCWD, "/proc/self/pagemap"); err != errTooLarge {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
}
