package userdb

import (
	"fmt"
	"testing"
)

// The files of specTable. The traps are names that are numbers, and lines whose ids are none.
const (
	tablePasswd = "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/bin:/bin/false\n1000:x:0:0:trap:/:/bin/sh\n" +
		"2147483648:x:0:0:trap:/:/bin/sh\n4294967296:x:0:0:trap:/:/bin/sh\n99999999999:x:0:0:trap:/:/bin/sh\n" +
		"web:x:33:33::/var/www:/bin/false\nx1:x:7:8::/:\nbroken:x:a:b::/:\nshort\nbig:x:4294967296:0::/:\nroot:x:5:5::/:\n"
	tableGroup = "root:x:0:\nbin:x:1:root,web\nadm:x:4:web,bin\nweb:x:33:web\nx:x:9:web\n1:x:0:\n7:x:0:web\n"
)

// specTable are user specs (CVE-2026-30892, CVE-2024-40635, CVE-2016-3697): what Docker makes of them (github.com/moby/sys/user
// v0.5.0, GetExecUserPath on the files above, as "uid:gid,groups"), what LookupUserSpec does, what ParseNumericUser does.
var specTable = []struct{ spec, docker, lookup, exec string }{
	{"", "0:0,1", "0:0,1", "error"},
	{"0", "0:0,1", "0:0,1", "0"},
	{"00", "0:0,1", "0:0,1", "0"},
	{"1", "1:1,4", "1:1,4", "1"},
	{"01", "1:1,4", "1:1,4", "1"},
	{"7", "7:8", "7:8", "7"},
	{"33", "33:33,1,4,9,0", "33:33,1,4,9,0", "33"},
	{"1000", "1000:0", "1000:0", "1000"},
	{"007", "7:8", "7:8", "7"},
	{"web", "33:33,1,4,9,0", "33:33,1,4,9,0", "error"},
	{"bin", "1:1,4", "1:1,4", "error"},
	{"x1", "7:8", "7:8", "error"},
	{"root", "0:0,1", "0:0,1", "error"},
	{"web:adm", "33:4", "33:4", "error"},
	{"web:4", "33:4", "33:4", "error"},
	{"web:1", "33:1", "33:1", "error"},
	{"web:7", "33:7", "33:7", "error"},
	{"33:adm", "33:4", "33:4", "error"},
	{"33:4", "33:4", "33:4", "33:4"},
	{"5:root", "5:0", "5:0", "error"},
	{"5:0", "5:0", "5:0", "5:0"},
	{"1:1", "1:1", "1:1", "1:1"},
	{"1:", "1:1,4", "1:1,4", "error"},
	{"web:", "33:33,1,4,9,0", "33:33,1,4,9,0", "error"},
	{"99", "99:0", "99:0", "99"},
	{"99:adm", "99:4", "99:4", "error"},
	{"2147483647", "2147483647:0", "2147483647:0", "2147483647"},
	{"2147483646:2147483647", "2147483646:2147483647", "2147483646:2147483647", "2147483646:2147483647"},
	{":", "0:0,1", "error", "error"},
	{":1", "0:1", "error", "error"},
	{":0", "0:0", "error", "error"},
	{":adm", "0:4", "error", "error"},
	{"::", "error", "error", "error"},
	{"1:2:3", "error", "error", "error"},
	{"1::2", "error", "error", "error"},
	{"web:adm:x", "error", "error", "error"},
	{"a:1", "error", "error", "error"},
	{"1:a", "error", "error", "error"},
	{"nobody", "error", "error", "error"},
	{"nobody:adm", "error", "error", "error"},
	{"web:nobody", "error", "error", "error"},
	{"+1", "1:1,4", "error", "error"},
	{"-1", "error", "error", "error"},
	{"-0", "0:0,1", "error", "error"},
	{"+0", "0:0,1", "error", "error"},
	{"1:+1", "1:1", "error", "error"},
	{"1:-1", "error", "error", "error"},
	{" 1", "error", "error", "error"},
	{"1 ", "error", "error", "error"},
	{"1 :1", "error", "error", "error"},
	{"1: 1", "error", "error", "error"},
	{"\t1", "error", "error", "error"},
	{"1\n", "error", "error", "error"},
	{"1\x00", "error", "error", "error"},
	{"web ", "error", "error", "error"},
	{"Web", "error", "error", "error"},
	{"WEB", "error", "error", "error"},
	{"0x0", "error", "error", "error"},
	{"0x1", "error", "error", "error"},
	{"1e0", "error", "error", "error"},
	{"1.0", "error", "error", "error"},
	{"0b0", "error", "error", "error"},
	{"0o0", "error", "error", "error"},
	{"1_0", "error", "error", "error"},
	{"１", "error", "error", "error"},
	{"²", "error", "error", "error"},
	{"2147483648", "error", "error", "2147483648"},
	{"4294967295", "error", "error", "error"},
	{"4294967296", "error", "error", "error"},
	{"4294967297", "error", "error", "error"},
	{"99999999999", "error", "error", "error"},
	{"18446744073709551616", "error", "error", "error"},
	{"18446744073709551617", "error", "error", "error"},
	{"99999999999999999999999999", "error", "error", "error"},
	{"1:2147483648", "error", "error", "1:2147483648"},
	{"1:4294967296", "error", "error", "error"},
	{"1:99999999999", "error", "error", "error"},
	{"broken", "0:0", "error", "error"},
	{"short", "0:0", "error", "error"},
	{"big", "4294967296:0", "error", "error"},
	{"#", "error", "error", "error"},
	{"*", "error", "error", "error"},
	{"!", "error", "error", "error"},
	{"/", "error", "error", "error"},
	{"../root", "error", "error", "error"},
	{"root/", "error", "error", "error"},
	{"web,bin", "error", "error", "error"},
	{"root\u00a0", "error", "error", "error"},
	{"\u202eroot", "error", "error", "error"},
}

func TestUserSpecs(t *testing.T) {
	root := tree(t, tablePasswd, tableGroup)
	for _, c := range specTable {
		got := "error"
		if u, err := LookupUserSpec(root, c.spec); err == nil {
			got = fmt.Sprintf("%d:%d", u.UID, u.GID)
			for _, g := range u.Groups[1:] {
				got += fmt.Sprintf(",%d", g)
			}
			if u.Groups[0] != u.GID {
				t.Errorf("%q: the primary group is not among the groups: %+v", c.spec, u)
			}
		}
		if got != c.lookup {
			t.Errorf("LookupUserSpec(%q) = %s, want %s", c.spec, got, c.lookup)
		}
		if got != c.docker && got != "error" {
			t.Errorf("LookupUserSpec(%q) = %s, Docker: %s", c.spec, got, c.docker)
		}

		got = "error"
		if u, err := ParseNumericUser(c.spec); err == nil {
			got = fmt.Sprint(u.UID)
			if u.HasGID {
				got += fmt.Sprintf(":%d", u.GID)
			}
		}
		if got != c.exec {
			t.Errorf("ParseNumericUser(%q) = %s, want %s", c.spec, got, c.exec)
		}
	}
	if len(specTable) < 80 {
		t.Errorf("only %d specs", len(specTable))
	}
}
