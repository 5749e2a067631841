package hostiletar

import (
	"fmt"
	"strings"
)

// symlinks: out of the root, in circles, used as parents, replaced by something else.
func symlinks(canary string) []Case {
	var cases []Case
	for _, to := range []string{canary, "../canary", "../../../../../.." + canary, "..", "../..", "/", ".", "/proc/self/root", "/proc/self/cwd", "/proc/self/fd/0", "/proc/1/root" + canary, "./..//canary", "missing", "a/b/../../../canary"} {
		show := strings.ReplaceAll(to, canary, "CANARY")
		cases = append(cases,
			accepted("alone to "+show, symlink("l", to)),
			accepted("write below, to "+show, symlink("l", to), file("l/x", evil)),
			accepted("directory below, to "+show, symlink("l", to), entry{typ: '5', name: "l/dir", mode: 0o777}, file("l/dir/file", evil)),
		)
	}
	chain := func(n int) []entry {
		var out []entry
		for i := range n {
			out = append(out, symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
		}
		return append(out, dir(fmt.Sprintf("l%d", n)), file("l0/x", evil))
	}
	cases = append(cases,
		accepted("write over a link to a file", symlink("l", canary+"/file"), file("l", evil)),
		accepted("write over a relative link", symlink("l", "../canary/file"), file("l", evil)),
		accepted("directory over a link", symlink("l", canary), entry{typ: '5', name: "l", mode: 0o777}, file("l/x", evil)),
		accepted("directory with a slash over a link", symlink("l", canary), entry{typ: '5', name: "l/", mode: 0o777}, file("l/x", evil)),
		accepted("link over a link", symlink("l", canary), symlink("l", "/"), file("l/x", evil)),
		accepted("fifo over a link", symlink("l", canary+"/file"), special('6', "l")),
		accepted("link over a directory with content", dir("d"), file("d/f", evil), symlink("d", canary), file("d/x", evil)),
		accepted("link over a parent that was used", dir("a"), dir("a/b"), dir("a/b/c"), file("a/b/c/f", evil), symlink("a/b", canary), file("a/b/c/x", evil), file("a/b/x", evil)),
		accepted("link and parent swapped three times", symlink("l", canary), dir("l"), file("l/x", evil), symlink("l", canary), file("l/x", evil), dir("l"), file("l/x", evil)),
		accepted("hard link of a link, written through", symlink("l", canary), hardlink("h", "l"), file("h/x", evil)),
		accepted("hard link of a link to a file, written over", symlink("l", canary+"/file"), hardlink("h", "l"), file("h", evil), file("l", evil)),
		accepted("chain of 30", chain(30)...),
		refused("chain of 50", chain(50)...),
		refused("circle of one", symlink("l", "l"), file("l/x", evil)),
		refused("circle of two", symlink("a", "b"), symlink("b", "a"), file("a/x", evil)),
		refused("circle that grows", symlink("a", "a/a/a"), file("a/x", evil)),
		refused("billion links", growing()...),
		refused("below a link to a file", file("f", evil), symlink("l", "f"), file("l/x", evil)),
		refused("below a file", file("f", evil), file("f/x", evil)),
		refused("below a fifo", special('6', "f"), file("f/x", evil)),
		refused("to nothing", symlink("l", "")),
		refused("to 5,000 bytes", pax("linkpath", strings.Repeat("t/", 2500)), symlink("l", "x")),
		refused("to a NUL", pax("linkpath", "a\x00b"), symlink("l", "x")),
		accepted("usr merge", dir("usr"), dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", evil), hardlink("lib/y", "lib/x")),
		accepted("usr merge, absolute", dir("usr"), dir("usr/lib"), symlink("lib", "/usr/lib"), file("lib/x", evil)),
		accepted("parent of a link to a deep directory", dir("a"), dir("a/b"), dir("a/b/c"), symlink("l", "a/b/c/../../.."), file("l/x", evil)),
	)
	return in("symlink", cases...)
}

// growing is a set of links whose resolution would take 2^30 steps.
func growing() []entry {
	var out []entry
	for i := range 30 {
		out = append(out, symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d/../l%d", i+1, i+1)))
	}
	return append(out, dir("l30"), file("l0/x", evil))
}

// hardlinks: to what is not theirs.
func hardlinks(canary string) []Case {
	var cases []Case
	for _, to := range []string{canary + "/file", "../canary/file", "..", "../..", "/etc/passwd", "missing", "a/../../canary/file", "/", ".", "./", "", "/proc/self/exe", "d"} {
		cases = append(cases, refused("to "+strings.ReplaceAll(fmt.Sprintf("%q", to), canary, "CANARY"), dir("d"), hardlink("h", to)))
	}
	cases = append(cases,
		refused("to itself", hardlink("h", "h")),
		refused("to itself, there", file("h", evil), hardlink("h", "h")),
		refused("to itself by another name", file("h", evil), hardlink("./h", "/h")),
		refused("to itself through a link", dir("d"), symlink("l", "d"), file("d/h", evil), hardlink("l/h", "d/h")),
		refused("to what comes later", hardlink("h", "f"), file("f", evil)),
		refused("to a file below the name", dir("a"), file("a/f", evil), hardlink("a", "a/f")),
		refused("through a link out", symlink("l", canary), hardlink("h", "l/file")),
		refused("through a relative link out", symlink("l", "../canary"), hardlink("h", "l/file")),
		refused("through two links out", symlink("l", canary), symlink("m", "l"), hardlink("h", "m/dir/file")),
		refused("NUL in the target", pax("linkpath", "f\x00"), hardlink("h", "f")),
		refused("target of 5,000 bytes", pax("linkpath", strings.Repeat("t/", 2500)), hardlink("h", "x")),
		refused("to a member that was replaced by a directory", file("f", evil), dir("f"), hardlink("h", "f")),
		refused("to a device that is not made", special('3', "dev"), hardlink("h", "dev"), file("h/x", evil)),
		accepted("absolute", file("f", evil), hardlink("h", "/f")),
		accepted("with a slash at the end", file("f", evil), hardlink("h", "f/")),
		accepted("to a link out", symlink("l", canary+"/file"), hardlink("h", "l")),
		accepted("to a link of a link", file("f", evil), hardlink("h", "f"), hardlink("i", "h")),
		accepted("twice", file("f", evil), hardlink("h", "f"), hardlink("h", "f")),
		accepted("written over", file("f", evil), hardlink("h", "f"), file("h", "new")),
		accepted("over a directory", file("f", evil), dir("h"), file("h/x", evil), hardlink("h", "f")),
		accepted("over a link out", file("f", evil), symlink("h", canary+"/file"), hardlink("h", "f")),
		accepted("with a size", file("f", evil), entry{typ: '1', name: "h", link: "f", size: 512}),
		accepted("to a fifo", special('6', "p"), hardlink("h", "p")),
		accepted("changes no mode of the target", entry{name: "f", data: evil, mode: 0o600}, entry{typ: '1', name: "h", link: "f", mode: 0o4777}),
	)
	return in("hardlink", cases...)
}

// whiteouts: of what is not theirs, through links, as something else.
func whiteouts(canary string) []Case {
	return in("whiteout", layer(
		refused("of dotdot", file(".wh...", "")),
		refused("of dot", file(".wh..", "")),
		refused("of nothing", file(".wh.", "")),
		refused("of nothing in a directory", dir("d"), file("d/.wh.", "")),
		refused("of dotdot in a directory", dir("d"), file("d/.wh...", "")),
		refused("above the root", file("../.wh.canary", "")),
		refused("above the root, opaque", file("../canary/.wh..wh..opq", "")),
		refused("a directory", dir(".wh.d")),
		refused("a directory used", file(".wh.d/x", evil)),
		refused("a symlink", symlink(".wh.l", canary)),
		refused("a fifo", special('6', ".wh.p")),
		refused("opaque as a symlink", dir("d"), symlink("d/.wh..wh..opq", canary)),
		refused("through a link", symlink("l", canary), file("l/.wh.file", "")),
		refused("through a relative link", symlink("l", "../canary"), file("l/.wh.dir", "")),
		refused("opaque through a link", symlink("l", canary), file("l/.wh..wh..opq", "")),
		refused("opaque through a link inside", dir("d"), symlink("l", "d"), file("l/.wh..wh..opq", "")),
		refused("through a chain of links", dir("d"), symlink("a", "d"), symlink("b", "a"), file("b/.wh.x", "")),
		refused("through a hard link of a link", symlink("l", canary), hardlink("h", "l"), file("h/.wh.file", "")),
		refused("below a file", file("f", evil), file("f/.wh.x", "")),
		refused("hard link to what it hides", file(".wh.f", ""), hardlink("h", "f")),
		accepted("absolute", file(canary+"/.wh.file", "")),
		accepted("opaque root", file(".wh..wh..opq", ""), file("x", evil)),
		accepted("over a link", symlink("l", canary), file(".wh.l", "")),
		accepted("and the same name after it", file(".wh.f", ""), file("f", evil)),
		accepted("and the same name before it", file("f", evil), file(".wh.f", "")),
		accepted("and the same directory after it", file(".wh.d", ""), dir("d"), file("d/x", evil)),
		accepted("and the same directory before it", dir("d"), file("d/x", evil), file(".wh.d", "")),
		accepted("and a name below it", file(".wh.d", ""), file("d/x", evil)),
		accepted("and a link after it", file(".wh.l", ""), symlink("l", canary), file("l/x", evil)),
		accepted("opaque twice, before and after", dir("d"), file("d/.wh..wh..opq", ""), file("d/x", evil), file("d/.wh..wh..opq", "")),
		accepted("in an opaque directory", dir("d"), file("d/.wh..wh..opq", ""), file("d/.wh.f", "")),
		accepted("with content", file(".wh.f", evil)),
		accepted("as hard link, as aufs does", file(".wh..wh.aufs", ""), hardlink(".wh.f", ".wh..wh.aufs")),
		accepted("aufs's own files", dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", evil), dir(".wh..wh.orph"), symlink(".wh..wh.x", canary)),
		accepted("aufs's own files below", dir("d"), file("d/.wh..wh.x", evil)),
		accepted("of a name with spaces", file(".wh. x ", "")),
	)...)
}
