package hostiletar

import (
	"fmt"
	"strings"
)

const evil = "evil"

// names: absolute, "..", empty, long, deep, and characters that some program trips over.
func names(canary string) []Case {
	var cases []Case
	for _, n := range []string{
		"..", "../x", "../canary/x", "../../x", "../../../../../../../../etc/hull-x", "a/..", "a/../x", "a/../../canary/x",
		"a/b/../../../canary/x", "./../canary/x", "/..", "/../canary/x", "//../canary/x", "..//canary/x", "a/./../x", ".../../x",
		"../", "a/../", "..\x00/x", canary + "/../x",
	} {
		cases = append(cases, refused(fmt.Sprintf("dotdot %q", strings.ReplaceAll(n, canary, "CANARY")), file(n, evil)))
	}
	cases = append(cases,
		refused("dotdot directory", dir("../canary")),
		refused("dotdot directory with a mode", entry{typ: '5', name: "../canary/dir", mode: 0o777}),
		refused("dotdot symlink", symlink("../canary/l", "x")),
		refused("dotdot in a pax path", pax("path", "../canary/x"), file("x", evil)),
		refused("dotdot in a gnu long name", gnuLong('L', "../canary/x"), file("x", evil)),
		refused("dotdot in the prefix", entry{name: "canary/x", data: evil, patch: func(b []byte) { copy(b[345:], "..") }}),
		refused("dotdot in the prefix of an old go header", entry{name: "canary/x", data: evil, magic: "ustar  \x00", patch: func(b []byte) { copy(b[345:], "..") }}),
		refused("dotdot in a sparse name", sparse10("../canary/x", "4", "1\n0\n4\n", evil)...),
	)
	for _, n := range []string{"/x", "//x", "///a//b", "./x", "././x", "a//b", "a/./b", "/./x", "/etc/passwd", ".../x", "..x", "x..", "a/..b/c", " .. /x", canary + "/x", canary + "/file"} {
		cases = append(cases, accepted(fmt.Sprintf("inside %q", strings.ReplaceAll(n, canary, "CANARY")), file(n, evil)))
	}
	for _, n := range []string{"", "/", ".", "./", "./.", "//", "/."} {
		cases = append(cases, refused(fmt.Sprintf("file called %q", n), file(n, evil)))
	}
	cases = append(cases,
		refused("directory without a name", dir("")),
		refused("symlink called ./", symlink("./", canary)),
		refused("symlink called /", symlink("/", canary)),
		accepted("the root as ./", entry{typ: '5', name: "./", mode: 0o755}, file("./x", evil)),
		accepted("the root as /", entry{typ: '5', name: "/", mode: 0o755}, file("/x", evil)),
		refused("file with a slash at the end", file("x/", evil)),
		accepted("old directory: a slash at the end", entry{typ: v7, name: "d/", magic: "\x00"}, file("d/x", evil)),
		accepted("link with a slash at the end", symlink("l/", canary+"/file"), file("l", evil)),
	)
	for _, n := range []string{"a\nb", "a\rb", "a\tb", "\x1b[31mred", "\x7f", "\xff\xfe", "a\xc0\xafb", "\u202egnp.exe", "-rf", "--help", "*", "?", "a b", "a\\b", "..\\x", "C:\\x", "con", "$(id)", "`id`", "%s%n", "a;b", "~", "~root/x", "\u2215etc", ".\u200b./x"} {
		cases = append(cases, accepted(fmt.Sprintf("odd %q", n), file(n, evil)))
	}
	deep := func(n int) string { return strings.Repeat("d/", n) + "x" }
	long := strings.Repeat(strings.Repeat("n", 254)+"/", 16)
	cases = append(cases,
		refused("NUL in a pax path", pax("path", "a\x00b"), file("x", evil)),
		accepted("NUL in a header name ends it", file("a\x00/../../canary/x", evil)),
		accepted("component of 255", pax("path", strings.Repeat("n", 255)), file("x", evil)),
		refused("component of 256", pax("path", strings.Repeat("n", 256)), file("x", evil)),
		refused("component of 256 in the middle", pax("path", "a/"+strings.Repeat("n", 256)+"/x"), file("x", evil)),
		accepted("path of 3,900", pax("path", long[:3900]), file("x", evil)),
		refused("path of 4,096", pax("path", long+strings.Repeat("n", 16)), file("x", evil)),
		refused("path of 100,000", pax("path", strings.Repeat("n/", 50000)+"x"), file("x", evil)),
		refused("gnu name of 4,097", gnuLong('L', strings.Repeat("n/", 2048)+"x"), file("x", evil)),
		refused("gnu name of 2 MB", gnuLong('L', strings.Repeat("n/", 1<<20)), file("x", evil)),
		accepted("500 deep", pax("path", deep(500)), file("x", evil)),
		refused("1,500 deep", pax("path", deep(1500)), file("x", evil)),
		refused("65,000 deep", pax("path", deep(65000)), file("x", evil)),
		refused("long through links", deepLinks(12)...),
		refused("deep through links", deepLinks(3)...),
	)
	return in("name", cases...)
}

// deepLinks makes directories ever deeper, each name short: a link leads to the deepest one, and
// the next are made below the link.
func deepLinks(rounds int) []entry {
	var out []entry
	for i := range rounds {
		name := strings.Repeat("d/", 400)
		if i > 0 {
			name = fmt.Sprintf("l%d/%s", i-1, name)
		}
		out = append(out, pax("path", name), dir("x"), pax("linkpath", name), symlink(fmt.Sprintf("l%d", i), "x"))
	}
	return out
}
