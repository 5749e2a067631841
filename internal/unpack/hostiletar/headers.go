package hostiletar

import (
	"fmt"
	"strings"
)

// paxHeaders: extended headers that readers disagree on, or that are malformed.
func paxHeaders() []Case {
	x := file("x", evil)
	cases := []Case{
		accepted("size override", pax("size", "4"), entry{name: "x", data: evil, rawSize: "00000000000\x00"}),
		refused("negative size", pax("size", "-1"), x),
		refused("negative size of a file without data", pax("size", "-512"), file("x", "")),
		refused("size of 2^60", pax("size", "1152921504606846976"), x),
		refused("size of 2^64", pax("size", "18446744073709551616"), x),
		refused("size with text", pax("size", "4k"), x),
		refused("size smaller than the data", pax("size", "0"), x),
		refused("two headers for one entry", pax("path", "a"), pax("path", "b"), x),
		refused("two long names", gnuLong('L', "a"), gnuLong('L', "b"), x),
		refused("two long links", gnuLong('K', "a"), gnuLong('K', "b"), symlink("l", "x")),
		refused("pax path and long name", pax("path", "a"), gnuLong('L', "b"), x),
		refused("long name and pax path", gnuLong('L', "b"), pax("path", "a"), x),
		refused("pax linkpath and long link", pax("linkpath", "a"), gnuLong('K', "b"), symlink("l", "x")),
		accepted("long name and long link", gnuLong('K', "target"), gnuLong('L', "name"), symlink("l", "x")),
		accepted("empty path", pax("path", ""), x),
		accepted("empty values", pax("size", "", "uid", "", "mtime", "", "linkpath", ""), x),
		accepted("a key twice", pax("path", "a", "path", "b"), x),
		accepted("unknown keys", pax("comment", "hello", "VENDOR.x", "\x00\xff"), x),
		refused("uid -1", pax("uid", "-1"), x),
		refused("uid 2^32-1", pax("uid", "4294967295"), x),
		refused("uid 2^32", pax("uid", "4294967296"), x),
		refused("gid 2^63", pax("gid", "9223372036854775808"), x),
		refused("uid with text", pax("uid", "root"), x),
		refused("mtime beyond int64", pax("mtime", "99999999999999999999"), x),
		refused("mtime with text", pax("mtime", "yesterday"), x),
		refused("mtime with a bad fraction", pax("mtime", "1.x"), x),
		accepted("mtime far away", pax("mtime", "9223372036854775807.999999999"), x),
		accepted("mtime long ago", pax("mtime", "-9223372036854775807.5"), x),
		accepted("mtime with many digits", pax("mtime", "1."+strings.Repeat("123456789", 100)), x),
		refused("global path", global("path", "../canary/x"), x),
		refused("global size", global("size", "0"), x),
		refused("global uid", global("uid", "0"), x),
		refused("global xattr", global("SCHILY.xattr.security.capability", "x"), x),
		refused("global sparse map", global("GNU.sparse.map", "0,4"), x),
		accepted("global comment", global("comment", strings.Repeat("c", 40)), x),
		refused("between long name and file a global comment", gnuLong('L', "a"), global("comment", "b"), x),
		refused("between pax header and file a global comment", pax("path", "a"), global("comment", "b"), x),
		refused("between long name and file a global path", gnuLong('L', "a"), global("path", "b"), x),
		// CVE-2025-62518 (TARmageddon): a size for the next entry taken for the long name's.
		accepted("size before a long name", pax("size", "4"), gnuLong('L', "a"), entry{name: "x", data: evil}),
		refused("header of 2 MB", rawPax(record("comment", strings.Repeat("c", 2<<20))), x),
		refused("header announced with 2^33", entry{typ: 'x', name: "x", noData: true, rawSize: "77777777777\x00"}, x),
		refused("long name announced with 2^33", entry{typ: 'L', name: "x", noData: true, rawSize: "77777777777\x00"}, x),
		accepted("1,000 records", manyRecords(1000), x),
	}
	for i, s := range []string{
		"x", " path=a\n", "0 path=a\n", "1 path=a\n", "-9 path=a\n", "99 path=a\n", "9 path=a", "9 path\n\n\n", "12 path=ab\n", "6 =ab\n\n", "5 a=\n5 b", "9999999999999999999 a=b\n", "10 pa\x00h=a\n", "7 a=b\n", "\x00\x00\x00",
	} {
		cases = append(cases, refused(fmt.Sprintf("malformed record %d", i), rawPax(s), x))
	}
	return in("pax", cases...)
}

func manyRecords(n int) entry {
	var kv []string
	for i := range n {
		kv = append(kv, fmt.Sprintf("comment.%d", i), "x")
	}
	return pax(kv...)
}

// numbers: fields of the header block.
func numbers() []Case {
	raw := func(off int, s string) entry {
		return entry{name: "x", data: evil, patch: func(b []byte) { copy(b[off:], s) }}
	}
	return in("number",
		refused("negative size", entry{name: "x", rawSize: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}),
		refused("size of 2^62 in base 256", entry{name: "x", data: evil, rawSize: "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00"}),
		refused("size overflow", entry{name: "x", data: evil, rawSize: "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}),
		refused("size of 8 GiB that is not there", entry{name: "x", data: evil, rawSize: "77777777777\x00"}),
		refused("size with text", entry{name: "x", data: evil, rawSize: "0000000000x\x00"}),
		refused("size with a sign", entry{name: "x", data: evil, rawSize: "-0000000004\x00"}),
		refused("size in decimal digits", entry{name: "x", data: evil, rawSize: "00000000009\x00"}),
		refused("mode with text", raw(100, "rw-r--r-")),
		refused("uid with text", raw(108, "root\x00\x00\x00\x00")),
		refused("uid 2^32 in base 256", raw(108, "\x80\x00\x00\x01\x00\x00\x00\x00")),
		refused("uid -1 in base 256", raw(108, "\xff\xff\xff\xff\xff\xff\xff\xff")),
		refused("gid 2^32-1", raw(116, "\x80\x00\x00\x00\xff\xff\xff\xff")),
		refused("gid with NUL and text", raw(116, "7 \x00z\x00\x00\x00\x00"+"\x00")),
		refused("mtime with text", raw(136, "now\x00")),
		accepted("mtime of 2^62", raw(136, "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")),
		accepted("mtime before 1970", raw(136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00")),
		accepted("empty numbers", entry{name: "x", patch: func(b []byte) { clear(b[100:148]) }}),
		accepted("numbers with spaces", entry{name: "x", data: evil, rawSize: "          4 "}),
		accepted("no magic", entry{name: "x", data: evil, magic: "\x00"}),
		accepted("signed check sum", entry{name: "x\xff", data: evil, signed: true}),
	)
}

// sparse: maps that lie.
func sparse() []Case {
	s01 := func(name, count, m, size, data string) Case {
		return refused(name, pax("GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.name", "s", "GNU.sparse.size", size, "GNU.sparse.numblocks", count, "GNU.sparse.map", m), file("x", data))
	}
	s10 := func(name, real, m string) Case { return refused(name, sparse10("s", real, m, evil)...) }
	extended := oldSparse("s", 4, evil, 0, 4)
	endless := entry{typ: 'S', name: "s", data: evil, magic: "ustar  \x00", patch: func(b []byte) { b[482] = 1; octal(b[483:495], 4) }}
	return in("sparse",
		accepted("old", oldSparse("s", 8192, evil, 4096, 4)),
		accepted("old, only a hole", oldSparse("s", 1<<20, "")),
		accepted("old, a hole of 8 GiB", oldSparse("s", 8<<30-1, evil, 0, 4)),
		refused("old, negative offset", oldSparseRaw(386, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
		refused("old, offset 2^62", oldSparseRaw(386, "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")),
		refused("old, length 2^62", oldSparseRaw(398, "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")),
		refused("old, real size 2^62", oldSparseRaw(483, "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")),
		refused("old, real size negative", oldSparseRaw(483, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
		refused("old, overlapping", oldSparse("s", 8192, evil, 0, 2, 1, 2)),
		refused("old, out of order", oldSparse("s", 8192, evil, 100, 2, 0, 2)),
		refused("old, beyond the end", oldSparse("s", 2, evil, 0, 4)),
		refused("old, more data than the map", oldSparse("s", 8192, evil, 0, 2)),
		refused("old, less data than the map", oldSparse("s", 8192, evil, 0, 400)),
		refused("old, in a ustar header", entry{typ: 'S', name: "s", data: evil}),
		plain("old, extended and cut", true, append(endless.bytes()[:512], 0)),
		plain("old, extended into garbage", true, append(endless.bytes(), tarOf(extended)...)),
		accepted("0.0", pax("GNU.sparse.size", "8192", "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "4096", "GNU.sparse.numbytes", "4"), file("s", evil)),
		refused("0.0, numbers out of order", pax("GNU.sparse.size", "8192", "GNU.sparse.numblocks", "1", "GNU.sparse.numbytes", "4", "GNU.sparse.offset", "4096"), file("s", evil)),
		refused("0.0, one number", pax("GNU.sparse.size", "8192", "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "4096"), file("s", evil)),
		refused("0.0 and 0.1", pax("GNU.sparse.size", "4", "GNU.sparse.numblocks", "1", "GNU.sparse.offset", "0", "GNU.sparse.numbytes", "4", "GNU.sparse.map", "0,4"), file("s", evil)),
		s01("0.1, too few numbers", "2", "0,4", "8192", evil),
		s01("0.1, no count", "", "0,4", "8192", evil),
		s01("0.1, count 2^62", "4611686018427387904", "0,4", "8192", evil),
		s01("0.1, negative count", "-1", "0,4", "8192", evil),
		s01("0.1, negative offset", "1", "-4,4", "8192", evil),
		s01("0.1, length overflow", "2", "4,9223372036854775807,9,4", "8192", evil),
		s01("0.1, text", "1", "a,b", "8192", evil),
		s01("0.1, size 2^62", "1", "0,4", "4611686018427387904", evil),
		s01("0.1, size negative", "1", "0,4", "-1", evil),
		accepted("1.0", sparse10("s", "8192", "1\n4096\n4\n", evil)...),
		s10("1.0, no end of the map", "8192", "1\n0\n4"),
		s10("1.0, count too large", "8192", "3\n0\n4\n"),
		s10("1.0, count 2^62", "8192", "4611686018427387904\n0\n4\n"),
		s10("1.0, endless digits", "8192", strings.Repeat("1", 2000)+"\n"),
		s10("1.0, empty lines", "8192", "\n\n\n"),
		s10("1.0, negative", "8192", "1\n-4\n4\n"),
		s10("1.0, overlapping", "8192", "2\n0\n2\n1\n2\n"),
		s10("1.0, real size smaller", "2", "1\n0\n4\n"),
		s10("1.0, real size 2^62", "4611686018427387904", "1\n0\n4\n"),
		s10("1.0, a million pieces", "8192", "1000000\n"+strings.Repeat("0\n0\n", 1000000)),
		refused("1.0 on a symlink", pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "s", "GNU.sparse.realsize", "4"), symlink("s", "x")),
		accepted("unknown version is a plain file", pax("GNU.sparse.major", "9", "GNU.sparse.minor", "9"), file("s", evil)),
	)
}

// oldSparseRaw is a sparse entry with one field written over.
func oldSparseRaw(off int, s string) entry {
	e := oldSparse("s", 8192, evil, 0, 4)
	patch := e.patch
	e.patch = func(b []byte) { patch(b); copy(b[off:], s) }
	return e
}

// attributes: extended attributes that something on the host would obey.
func attributes() []Case {
	x := func(kv ...string) []entry {
		for i := 0; i < len(kv); i += 2 {
			kv[i] = "SCHILY.xattr." + kv[i]
		}
		return []entry{pax(kv...), file("x", evil)}
	}
	on := func(e entry, key, value string) []entry { return []entry{pax("SCHILY.xattr."+key, value), e} }
	netBind := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	return in("xattr",
		accepted("trusted.overlay.opaque", on(dir("d"), "trusted.overlay.opaque", "y")...),
		accepted("trusted.overlay.redirect", on(dir("d"), "trusted.overlay.redirect", "/etc")...),
		accepted("trusted.overlay.metacopy", x("trusted.overlay.metacopy", "x")...),
		accepted("trusted.overlay.whiteout", x("trusted.overlay.whiteout", "y")...),
		accepted("user.overlay.opaque", on(dir("d"), "user.overlay.opaque", "y")...),
		accepted("user.overlay.redirect", on(dir("d"), "user.overlay.redirect", "../canary")...),
		accepted("security.selinux", x("security.selinux", "system_u:object_r:shadow_t:s0")...),
		accepted("security.ima", x("security.ima", "\x04\x00")...),
		accepted("system.posix_acl_access", x("system.posix_acl_access", "\x02\x00\x00\x00")...),
		accepted("system.posix_acl_default", on(dir("d"), "system.posix_acl_default", "garbage")...),
		accepted("no prefix", x("evil", "x")...),
		accepted("on a symlink", on(symlink("l", "../canary/file"), "user.x", "y")...),
		accepted("capability", x("security.capability", netBind)...),
		refused("capability, too short", x("security.capability", "\x01")...),
		refused("capability, wrong length", x("security.capability", netBind+"x")...),
		refused("capability, unknown revision", x("security.capability", netBind[:3]+"\x09"+netBind[4:])...),
		refused("value of 64 KiB and one", x("user.x", strings.Repeat("v", 64<<10+1))...),
		refused("value of 900 KB", x("user.x", strings.Repeat("v", 900<<10))...),
		refused("name of 300 bytes", x("user."+strings.Repeat("n", 300), "v")...),
		refused("name user.", x("user.", "v")...),
	)
}
