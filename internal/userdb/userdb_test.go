package userdb

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a container's root with the two files and returns a descriptor of it. "-" is no file.
func tree(t testing.TB, passwd, group string) int {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if text == "-" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return openDir(t, dir)
}

func openDir(t testing.TB, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestLookupUID(t *testing.T) {
	root := tree(t, "# a:x:9:9::/no:\n\na:x:1:2:gecos:/home/a:/bin/sh\r\nb:x:1:3::/home/b:\nc:x:4:5\r\nd:x:x6:7::/d:\ne:x:8:y::/e:\nlast:x:4294967294:0::/l:", "-")
	for _, c := range []struct {
		uid  uint32
		want Passwd
		err  string
	}{
		{1, Passwd{"a", 1, 2, "/home/a"}, ""}, // the first one
		{4, Passwd{"c", 4, 5, ""}, ""},
		{4294967294, Passwd{"last", 4294967294, 0, "/l"}, ""},
		{8, Passwd{}, `its line in /etc/passwd of the container is broken: "y" is not a number`},
		{0, Passwd{}, ""}, // not d, whose uid is no number
		{9, Passwd{}, ""}, // not the comment
	} {
		got, ok, err := LookupUID(root, c.uid)
		if text(err) != c.err || got != c.want || ok != (c.want.Name != "") {
			t.Errorf("%d: got %+v %v %v, want %+v %s", c.uid, got, ok, err, c.want, c.err)
		}
	}
	if _, ok, err := LookupUID(tree(t, "-", "-"), 0); ok || err != nil {
		t.Errorf("no file: %v %v", ok, err)
	}
	if _, ok, err := LookupUID(tree(t, "", "-"), 0); ok || err != nil {
		t.Errorf("empty file: %v %v", ok, err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHomeFor(t *testing.T) {
	for _, c := range []struct{ home, want, err string }{
		{"/root", "/root", ""},
		{"/home/é ü", "/home/é ü", ""},
		{"", "/", ""},
		{"home", "/", `the home directory "home" of uid 7 is not an absolute path of printable characters`},
		{"/a\rb", "/", `the home directory "/a\rb" of uid 7 is not an absolute path of printable characters`},
		{"/a\x00b", "/", `the home directory "/a\x00b" of uid 7 is not an absolute path of printable characters`},
		{"/a\x1bb", "/", `the home directory "/a\x1bb" of uid 7 is not an absolute path of printable characters`},
		{"/a\x7fb", "/", `the home directory "/a\x7fb" of uid 7 is not an absolute path of printable characters`},
		{"/a\u0085b", "/", `the home directory "/a\u0085b" of uid 7 is not an absolute path of printable characters`},
		{"/a\u2028b", "/", `the home directory "/a\u2028b" of uid 7 is not an absolute path of printable characters`},
		{"/a\u2029b", "/", `the home directory "/a\u2029b" of uid 7 is not an absolute path of printable characters`},
		{"/a\xffb", "/", `the home directory "/a\xffb" of uid 7 is not an absolute path of printable characters`},
	} {
		root := tree(t, "u:x:7:7::"+c.home+":/bin/sh\n", "-")
		if got, err := HomeFor(root, 7); got != c.want || text(err) != c.err {
			t.Errorf("%q: got %q %v, want %q %s", c.home, got, err, c.want, c.err)
		}
	}
	if got, err := HomeFor(tree(t, "u:x:7:7::/u:\n", "-"), 8); got != "/" || err != nil {
		t.Errorf("no entry: %q %v", got, err)
	}
	// The line feed of CVE-2022-4318 cannot even be in the field: it ends the line.
	if got, err := HomeFor(tree(t, "u:x:7:7::/a\nroot2:x:0:0::/:/bin/sh\n", "-"), 7); got != "/a" || err != nil {
		t.Errorf("line feed: %q %v", got, err)
	}
}

func TestLookupUserSpecWithoutFiles(t *testing.T) {
	root := tree(t, "-", "-")
	for spec, want := range map[string]string{
		"": "0:0", "0": "0:0", "1000": "1000:0", "1000:7": "1000:7",
		"root":   `user "root": there is no such user in /etc/passwd of the container`,
		"1:root": `user "1:root": group "root": there is no such group in /etc/group of the container`,
	} {
		u, err := LookupUserSpec(root, spec)
		got := text(err)
		if err == nil {
			got = strconv.Itoa(int(u.UID)) + ":" + strconv.Itoa(int(u.GID))
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", spec, got, want)
		}
	}
}

// TestLookupUserSpecSaysWhy: errors name the spec and what is wrong.
func TestLookupUserSpecSaysWhy(t *testing.T) {
	root := tree(t, tablePasswd+"hi:x:2147483648:0::/:\n", tableGroup+"bad:x:no:m,root\nodd\n")
	for spec, want := range map[string]string{
		"4294967296":             `user "4294967296": 4294967296 is greater than 2147483647`,
		"2147483648":             `user "2147483648": 2147483648 is greater than 2147483647`,
		"+1":                     `user "+1": a name does not begin with "+"`,
		":1":                     `user ":1": there is no name`,
		" 1":                     `user " 1": a name has no blank, slash, colon, comma or control character`,
		"1:2:3":                  `user "1:2:3": group "2:3": a name has no blank, slash, colon, comma or control character`,
		"broken":                 `user "broken": its line in /etc/passwd of the container is broken: "a" is not a number`,
		"short":                  `user "short": its line in /etc/passwd of the container has too few fields`,
		"big":                    `user "big": its line in /etc/passwd of the container is broken: 4294967296 is greater than 4294967294`,
		"hi":                     `user "hi": its ids 2147483648:0 in /etc/passwd of the container are greater than 2147483647`,
		"1:bad":                  `user "1:bad": group "bad": the line of group "bad" in /etc/group of the container is broken: "no" is not a number`,
		"1:odd":                  `user "1:odd": group "odd": the line of group "odd" in /etc/group of the container has too few fields`,
		"root":                   `user "root": the line of group "bad" in /etc/group of the container is broken: "no" is not a number`,
		strings.Repeat("a", 300): `user "` + strings.Repeat("a", 64) + `...": the name is longer than 256 bytes`,
	} {
		if _, err := LookupUserSpec(root, spec); text(err) != want {
			t.Errorf("%q: got %v, want %s", spec, err, want)
		}
	}
	for spec, want := range map[string]string{
		"1:":         `user "1:": the group "" is not a number`,
		"a:1":        `user "a:1": the user "a" is not a number`,
		"4294967295": `user "4294967295": the user 4294967295 is greater than 4294967294`,
	} {
		if _, err := ParseNumericUser(spec); text(err) != want {
			t.Errorf("%q: got %v, want %s", spec, err, want)
		}
	}
}

// TestGroupsAreTaken: all groups of a large file, each once, the primary one first.
func TestGroupsAreTaken(t *testing.T) {
	var group strings.Builder
	want := []uint32{5}
	for i := range uint32(3000) {
		group.WriteString("g" + strconv.Itoa(int(i)) + ":x:" + strconv.Itoa(int(i)) + ":other,u,more\n")
		if i != 5 {
			want = append(want, i)
		}
	}
	group.WriteString("again:x:7:u\nnot:x:9999:uu,u2\n")
	u, err := LookupUserSpec(tree(t, "u:x:4:5::/:\n", group.String()), "u")
	if err != nil || u.UID != 4 || u.GID != 5 || !slices.Equal(u.Groups, want) {
		t.Errorf("got %v %d:%d and %d groups", err, u.UID, u.GID, len(u.Groups))
	}
	var many strings.Builder
	for i := range maxGroups + 1 {
		many.WriteString("g::" + strconv.Itoa(i) + ":u\n")
	}
	if _, err := LookupUserSpec(tree(t, "u:x:4:5::/:\n", many.String()), "u"); err == nil || !strings.Contains(err.Error(), "more than 65536 groups") {
		t.Errorf("got %v", err)
	}
}
