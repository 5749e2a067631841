package userdb

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// everyLookup calls each function that reads a file of the container.
func everyLookup(root int) map[string]error {
	_, _, uid := LookupUID(root, 12345)
	home, errHome := HomeFor(root, 12345)
	if home != "/" {
		errHome = errors.New("home is " + home)
	}
	_, name := LookupUserSpec(root, "someone")
	_, number := LookupUserSpec(root, "12345")
	return map[string]error{"LookupUID": uid, "HomeFor": errHome, "user by name": name, "user by number": number}
}

// TestHostileFiles (CVE-2026-47262, CVE-2024-9676, CVE-2025-4437): whatever the container puts in the place of its
// files, the answer is an error, at once and without memory.
func TestHostileFiles(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	if err := os.WriteFile(canary, []byte("someone:x:12345:0::/stolen:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		put        func(path string) error
	}{
		{"10 GB sparse", "open etc/passwd in the container: larger than 16 MiB", func(p string) error {
			f, err := os.Create(p)
			if err == nil {
				err = errors.Join(f.Truncate(10<<30), f.Close())
			}
			return err
		}},
		{"15 MB of zeros", "read etc/passwd in the container: a line is longer than 1 MiB", func(p string) error {
			f, err := os.Create(p)
			if err == nil {
				err = errors.Join(f.Truncate(15<<20), f.Close())
			}
			return err
		}},
		{"FIFO", "open etc/passwd in the container: not a regular file", func(p string) error { return unix.Mkfifo(p, 0o666) }},
		{"directory", "open etc/passwd in the container: not a regular file", func(p string) error { return os.Mkdir(p, 0o777) }},
		{"socket", "open etc/passwd in the container: not a regular file", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) }},
		{"link to a file of the host", "open etc/passwd in the container: a symbolic link that leads to nothing within the container", func(p string) error { return os.Symlink(canary, p) }},
		{"climbing link", "open etc/passwd in the container: a symbolic link that leads to nothing within the container", func(p string) error { return os.Symlink("../../../../../../../.."+canary, p) }},
		{"loop", "open etc/passwd in the container: too many levels of symbolic links", func(p string) error { return os.Symlink("passwd", p) }},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := c.put(filepath.Join(dir, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
		root := openDir(t, dir)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		for what, err := range everyLookup(root) {
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%s: %s: got %v, want %s", c.name, what, err, c.want)
			}
		}
		runtime.ReadMemStats(&after)
		if d, b := time.Since(start), after.TotalAlloc-before.TotalAlloc; d > time.Second || b > 20<<20 {
			t.Errorf("%s: took %v and %d bytes", c.name, d, b)
		}
	}
}

// TestHostileGroupFile: the same for /etc/group, which is read when a name is known.
func TestHostileGroupFile(t *testing.T) {
	root := tree(t, "u:x:4:5::/:\n", "-")
	if err := unix.Mkfifoat(root, "etc/group", 0o666); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"u", "4", "u:adm"} {
		if _, err := LookupUserSpec(root, spec); err == nil || !strings.HasSuffix(err.Error(), "open etc/group in the container: not a regular file") {
			t.Errorf("%s: %v", spec, err)
		}
	}
	// Numbers alone ask no file, not even one that cannot be read.
	if err := unix.Unlinkat(root, "etc/passwd", 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifoat(root, "etc/passwd", 0o666); err != nil {
		t.Fatal(err)
	}
	if u, err := LookupUserSpec(root, "4:6"); err != nil || u.UID != 4 || u.GID != 6 {
		t.Errorf("4:6: %+v %v", u, err)
	}
}

// TestLinksWithin: a link that stays in the container is followed, an absolute one from the container's root.
func TestLinksWithin(t *testing.T) {
	for _, target := range []string{"passwd.real", "/etc/passwd.real", "../../../etc/passwd.real", "/proc/../etc/passwd.real"} {
		root := tree(t, "-", "-")
		if err := unix.Mkdirat(root, "proc", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Symlinkat(target, root, "etc/passwd"); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Openat(root, "etc/passwd.real", unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("u:x:7:7::/u:\n")); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		if home, err := HomeFor(root, 7); home != "/u" || err != nil {
			t.Errorf("%s: %q %v", target, home, err)
		}
	}
	// Magic links lead anywhere: in a container that sees the host's procfs, /proc/self/root would be the host.
	if fd, err := openRegular(openDir(t, "/"), "proc/self/exe"); err != unix.ELOOP {
		t.Errorf("magic link: %d %v", fd, err)
	}
}

// TestFileThatGrows: what is read counts, not the size that the file had when it was opened.
func TestFileThatGrows(t *testing.T) {
	root := tree(t, "u:x:7:7::/u:\n", "-")
	f, err := openFile(root, passwdFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	fd, err := unix.Openat(root, passwdFile, unix.O_WRONLY|unix.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lines := []byte(strings.Repeat("someone:x:7:7::/u:\n", 60_000))
	for range 17 {
		if _, err := unix.Write(fd, lines); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, more, err := f.next()
		if err != nil {
			if err.Error() != "read etc/passwd in the container: larger than 16 MiB" {
				t.Error(err)
			}
			return
		}
		if !more {
			t.Fatalf("read %d bytes", f.total)
		}
	}
}

// TestLongLines: lines up to the limit are read, and the reader does not lose its place over many fillings.
func TestLongLines(t *testing.T) {
	members := strings.Repeat("m,", maxLine/2-20)
	root := tree(t, "u:x:4:5::/:\n", "a:x:1:u\nlong:x:2:"+members+"u\nb:x:3:u")
	u, err := LookupUserSpec(root, "u")
	if err != nil || len(u.Groups) != 4 {
		t.Errorf("got %+v %v", u, err)
	}
	var passwd strings.Builder
	for i := range 200_000 {
		passwd.WriteString("user")
		passwd.WriteString(strings.Repeat("x", i%97))
		passwd.WriteString(":x:77:77::/:\n")
	}
	passwd.WriteString("last:x:78:79::/last:")
	if home, err := HomeFor(tree(t, passwd.String(), "-"), 78); home != "/last" || err != nil {
		t.Errorf("got %q %v", home, err)
	}
}

// TestAnswerEndsReading: what follows the answer is not looked at.
func TestAnswerEndsReading(t *testing.T) {
	root := tree(t, "u:x:7:7::/u:\n"+strings.Repeat("x", 2*maxLine), "-")
	if home, err := HomeFor(root, 7); home != "/u" || err != nil {
		t.Errorf("got %q %v", home, err)
	}
	if _, err := HomeFor(root, 8); err == nil {
		t.Error("a line of 2 MiB was read")
	}
}

// TestNoDescriptorsStay: neither after an answer nor after an error.
func TestNoDescriptorsStay(t *testing.T) {
	good := tree(t, tablePasswd, tableGroup)
	bad := tree(t, "-", "-")
	if err := unix.Mkfifoat(bad, "etc/passwd", 0o666); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	for range 20 {
		everyLookup(good)
		everyLookup(bad)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
