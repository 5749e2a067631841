package hostiletar

import "fmt"

// kinds: type flags, modes, devices, data where there should be none.
func kinds() []Case {
	var cases []Case
	for _, typ := range "89ADMNVXZaz!" {
		cases = append(cases, refused(fmt.Sprintf("type %q", typ), entry{typ: byte(typ), name: "x", data: evil}))
	}
	cases = append(cases,
		refused("type 0xff", entry{typ: 0xff, name: "x"}),
		accepted("contiguous file", entry{typ: '7', name: "x", data: evil}),
		accepted("fifo", special('6', "p")),
		accepted("character device", special('3', "null")),
		accepted("block device", special('4', "disk")),
		refused("device 0:0, a whiteout of overlayfs", entry{typ: '3', name: "x"}),
		refused("device with a huge number", entry{typ: '3', name: "x", maj: 1 << 13, min: 3}),
		refused("device with a huge minor", entry{typ: '4', name: "x", maj: 8, min: 1 << 20}),
		refused("directory with data", entry{typ: '5', name: "d", data: evil}),
		refused("directory with a size", entry{typ: '5', name: "d", size: 1 << 30}),
		refused("symlink with data", entry{typ: '2', name: "l", link: "x", data: evil}),
		refused("fifo with data", entry{typ: '6', name: "p", data: evil}),
		refused("device with data", entry{typ: '3', name: "x", maj: 1, min: 3, data: evil}),
		accepted("set-id file", entry{name: "su", data: evil, mode: 0o6755}),
		accepted("set-group-id directory", entry{typ: '5', name: "d", mode: 0o2775}, file("d/x", evil), dir("d/e")),
		accepted("sticky directory", entry{typ: '5', name: "t", mode: 0o1777}),
		accepted("mode with type bits", entry{name: "x", data: evil, mode: 0o120777}),
		accepted("directory without permissions", entry{typ: '5', name: "d", mode: 0o100000}, file("d/x", evil)),
	)
	return in("kind", cases...)
}

// duplicates: one name several times, as different things.
func duplicates() []Case {
	return in("duplicate",
		accepted("file", file("x", "old"), file("x", evil)),
		accepted("shorter file", file("x", "long old content"), file("x", "new")),
		accepted("file and directory", file("x", evil), dir("x"), file("x/y", evil)),
		accepted("directory and file", dir("x"), file("x/y", evil), dir("x/z"), file("x", evil)),
		accepted("directory and symlink", dir("x"), file("x/y", evil), symlink("x", "/etc")),
		accepted("directory twice", entry{typ: '5', name: "x", mode: 0o700}, file("x/y", evil), entry{typ: '5', name: "x/", mode: 0o755}),
		accepted("fifo and file", special('6', "x"), file("x", evil)),
		accepted("file and fifo", file("x", evil), special('6', "x")),
		accepted("different case", file("x", evil), file("X", evil), dir("D"), file("d", evil)),
		accepted("one name in two spellings", file("a/x", "old"), file("./a//x", evil)),
		accepted("unicode forms", file("\u00e9", evil), file("e\u0301", evil)),
		refused("file and a name below it", file("x", evil), file("x/y", evil)),
		accepted("directory replaced while used", dir("a"), dir("a/b"), file("a/b/x", evil), file("a", evil), dir("a"), dir("a/b"), file("a/b/y", evil)),
	)
}

// structure: end marks, cuts, garbage.
func structure() []Case {
	whole := tarOf(file("a", evil), pax("path", "b"), file("x", evil))
	cases := []Case{
		plain("empty stream", true, nil),
		plain("one byte", true, []byte{0}),
		plain("511 zeros", true, make([]byte, 511)),
		plain("one zero block", false, make([]byte, 512)),
		plain("end mark alone", false, endMark),
		plain("ten thousand zeros", false, make([]byte, 10240)),
		plain("text", true, []byte("this is no archive, it is a text of some length that fills more than one block of tar"+string(make([]byte, 1000)))),
		plain("elf", true, append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 2000)...)),
		plain("html", true, append([]byte("<!DOCTYPE html><html><body>404</body></html>"), make([]byte, 2000)...)),
		plain("zip", true, append([]byte("PK\x03\x04"), make([]byte, 2000)...)),
		plain("zero block in the middle", true, append(append(file("a", evil).bytes(), make([]byte, 512)...), tarOf(file("b", evil))...)),
		plain("member after the end mark", false, append(tarOf(file("a", evil)), tarOf(file("../canary/x", evil))...)),
		plain("garbage after the end mark", false, append(tarOf(file("a", evil)), "garbage"...)),
		plain("no end mark", false, file("a", evil).bytes()),
		refused("check sum wrong", entry{name: "x", data: evil, badSum: true}),
		plain("check sum wrong in the second header", true, append(file("a", evil).bytes(), tarOf(entry{name: "x", badSum: true})...)),
		plain("size beyond the end", true, entry{name: "x", size: 1 << 20, data: evil}.bytes()),
		plain("long name at the end", true, gnuLong('L', "x").bytes()),
		plain("pax header at the end", true, pax("path", "x").bytes()),
		refused("pax header before the end mark", file("a", evil), pax("path", "x")),
	}
	// Cut at each half block: whole members are kept, anything else is an error.
	for cut := 256; cut < len(whole)-1024; cut += 256 {
		cases = append(cases, plain(fmt.Sprintf("cut at %d", cut), cut != 1024, whole[:cut]))
	}
	return in("structure", cases...)
}
