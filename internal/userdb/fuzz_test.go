package userdb

import (
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// FuzzPasswd: whatever the files hold, a number means itself, and a name means an entry of that name with these ids.
func FuzzPasswd(f *testing.F) {
	for _, c := range specTable[:40] {
		f.Add([]byte(tablePasswd), []byte(tableGroup), c.spec)
	}
	f.Add([]byte("a:::::\n:x:0:0\n#\n\r\n::::"), []byte("a:\na:x:\na:x:1\n,"), "a")
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		f.Fatal(err)
	}
	root := openDir(f, dir)
	f.Fuzz(func(t *testing.T, passwd, group []byte, spec string) {
		for name, b := range map[string][]byte{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		u, err := LookupUserSpec(root, spec)
		if err != nil {
			if u.UID != 0 || u.Groups != nil {
				t.Fatalf("an error and an answer: %+v", u)
			}
			return
		}
		user, groupName, _ := strings.Cut(spec, ":")
		if u.UID > maxSpecID || u.GID > maxSpecID || u.Groups[0] != u.GID {
			t.Fatalf("%q: %+v", spec, u)
		}
		uid := strconv.FormatUint(uint64(u.UID), 10)
		switch {
		case isNumber(user):
			if n, _ := new(big.Int).SetString(user, 10); n.String() != uid {
				t.Fatalf("%q: uid %s", spec, uid)
			}
		case spec != "" && !hasLine(passwd, user, 2, uid):
			t.Fatalf("%q is uid %s, and no line of passwd says so:\n%s", spec, uid, passwd)
		}
		gid := strconv.FormatUint(uint64(u.GID), 10)
		switch {
		case groupName == "":
		case isNumber(groupName):
			if n, _ := new(big.Int).SetString(groupName, 10); n.String() != gid {
				t.Fatalf("%q: gid %s", spec, gid)
			}
		case !hasLine(group, groupName, 2, gid):
			t.Fatalf("%q is gid %s, and no line of group says so:\n%s", spec, gid, group)
		}
		if home, _ := HomeFor(root, u.UID); home == "" || home[0] != '/' || strings.ContainsAny(home, "\n\r\x00") {
			t.Fatalf("home is %q", home)
		}
	})
}

// hasLine says whether the first line of a name has a number in a field.
func hasLine(file []byte, name string, field int, number string) bool {
	for line := range strings.SplitSeq(string(file), "\n") {
		f := strings.Split(strings.TrimSuffix(line, "\r"), ":")
		if f[0] != name {
			continue
		}
		if len(f) <= field {
			return false
		}
		n, ok := new(big.Int).SetString(f[field], 10)
		return ok && n.String() == number
	}
	return false
}

var numericUser = regexp.MustCompile(`^[0-9]+(:[0-9]+)?$`)

// FuzzUserSpec: ParseNumericUser takes digits alone, and gives their value.
func FuzzUserSpec(f *testing.F) {
	for _, c := range specTable {
		f.Add(c.spec)
	}
	limit := big.NewInt(maxID)
	f.Fuzz(func(t *testing.T, spec string) {
		u, err := ParseNumericUser(spec)
		user, group, has := strings.Cut(spec, ":")
		uid, _ := new(big.Int).SetString(user, 10)
		gid, _ := new(big.Int).SetString(group, 10)
		good := numericUser.MatchString(spec) && uid.Cmp(limit) <= 0 && (!has || gid.Cmp(limit) <= 0)
		if good != (err == nil) {
			t.Fatalf("%q: %v", spec, err)
		}
		if err == nil && (uid.Uint64() != uint64(u.UID) || u.HasGID != has || has && gid.Uint64() != uint64(u.GID)) {
			t.Fatalf("%q: %+v", spec, u)
		}
		if err != nil && u != (NumericUser{}) {
			t.Fatalf("%q: an error and an answer: %+v", spec, u)
		}
	})
}
