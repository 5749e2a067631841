package shim

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	if e := readExit(dir); e != nil {
		t.Errorf("none there: %+v", e)
	}
	want := Exit{Code: 137, Signal: 9, OOM: true, OOMKills: 3, At: time.Unix(5, 6).UTC(), Err: "why \"\n"}
	if err := writeRecord(dir, "id", &want); err != nil {
		t.Fatal(err)
	}
	if got := readExit(dir); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, exitFile), []byte(`{"version":1,"co`), 0o600); err != nil {
		t.Fatal(err)
	}
	if e := readExit(dir); e != nil {
		t.Errorf("half a record: %+v", e)
	}
}

// A process is the one that shim.pid names only if it began at that time.
func TestProcessID(t *testing.T) {
	if self, _, ok := parsePid(strconv.Itoa(os.Getpid()) + " 1\nruntime\n--root\n"); !ok || self.alive() {
		t.Errorf("%+v %t: another process", self, ok)
	}
	if id, command, ok := parsePid("77 88\na\nb c\n"); !ok || id != (processID{77, 88}) || len(command) != 2 || command[1] != "b c" {
		t.Errorf("%+v %q %t", id, command, ok)
	}
	for _, bad := range []string{"", "1 2\n", "x 2\n", "77\n", "77 88", "-5 1\n", "0 1\n"} {
		if _, _, ok := parsePid(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestContainerDirectory(t *testing.T) {
	l := &Launcher{state: "/s"}
	for id, ok := range map[string]bool{"abc": true, "a_B+.-9": true, "": false, ".": false, "..": false, "a/b": false, "../x": false, "a b": false, "a\x00": false} {
		if dir, err := l.dir(id); (err == nil) != ok || ok && dir != "/s/containers/"+id {
			t.Errorf("%q: %s %v", id, dir, err)
		}
	}
}

// FuzzFiles is what may be left in a container's directory after a power loss.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"version":1,"code":1,"at":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte("77 88\nruntime\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseExit(b)
		if id, _, ok := parsePid(string(b)); ok && id.pid <= 1 {
			t.Fatalf("process %d", id.pid)
		}
	})
}
