package linux

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestOpenBeneath(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(dir+"/d", 0o700),
		os.WriteFile(dir+"/d/file", nil, 0o600),
		os.Symlink("d", dir+"/link"),
		os.Symlink("/etc", dir+"/abs"),
		os.Symlink("file", dir+"/d/last"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	at := openDir(t, dir)
	for name, want := range map[string]error{
		"d/file":             nil,
		"d/../d/file":        nil,
		"link/file":          unix.ELOOP,
		"abs/passwd":         unix.ELOOP,
		"d/last":             unix.ELOOP,
		"../" + dir:          unix.EXDEV,
		"d/../../etc/passwd": unix.EXDEV,
		"/etc/passwd":        unix.EXDEV,
		"missing":            unix.ENOENT,
	} {
		fd, err := OpenBeneath(at, name, unix.O_RDONLY)
		if fd >= 0 {
			unix.Close(fd)
		}
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		fd, err = CreateBeneath(at, name, unix.O_RDWR|unix.O_EXCL, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		if (err == nil) != (name == "missing") {
			t.Errorf("create %s: %v", name, err)
		}
	}
	if fd, err := OpenBeneath(openDir(t, "/proc/self"), "root/etc", unix.O_RDONLY); err == nil {
		unix.Close(fd)
		t.Error("a magic link was followed")
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 700 { // more than one buffer
		name := strings.Repeat("n", i%200) + string(rune('a'+i/200)) + "\xff"
		want = append(want, name)
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := ReadDir(openDir(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
		if e.Type != unix.DT_REG && e.Type != unix.DT_UNKNOWN {
			t.Errorf("%q has type %d", e.Name, e.Type)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
}

func TestRetry(t *testing.T) {
	n := 0
	err := Retry(func() error {
		if n++; n < 3 {
			return unix.EINTR
		}
		return unix.EIO
	})
	if n != 3 || err != unix.EIO {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestDetachRefusesPaths(t *testing.T) {
	if err := Detach(openDir(t, t.TempDir()), "../etc"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a name with a slash: %v", err)
	}
}
