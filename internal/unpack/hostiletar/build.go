package hostiletar

import (
	"bytes"
	"fmt"
	"strings"
)

// entry is one member, written field by field so that each may be wrong.
type entry struct {
	typ     byte // '0' if zero; v7 for a NUL
	name    string
	link    string
	data    string
	mode    int64 // 0644, or 0755 for directories, if zero
	uid     int64
	gid     int64
	size    int64  // of data if zero
	rawSize string // instead of size
	mtime   int64
	maj     int64
	min     int64
	magic   string // "ustar\x0000" if empty
	patch   func(b []byte)
	badSum  bool
	signed  bool // check sum of signed bytes
	noData  bool // the size without the data
}

const v7 = 1 // a type flag of NUL

func octal(b []byte, v int64) { copy(b, fmt.Sprintf("%0*o\x00", len(b)-1, v)) }

// bytes is the header block and the padded data.
func (e entry) bytes() []byte {
	b := make([]byte, 512)
	typ := e.typ
	switch typ {
	case 0:
		typ = '0'
	case v7:
		typ = 0
	}
	copy(b[0:100], e.name)
	mode := e.mode
	if mode == 0 {
		mode = 0o644
		if typ == '5' {
			mode = 0o755
		}
	}
	octal(b[100:108], mode)
	octal(b[108:116], e.uid)
	octal(b[116:124], e.gid)
	size := e.size
	if size == 0 {
		size = int64(len(e.data))
	}
	octal(b[124:136], size)
	if e.rawSize != "" {
		copy(b[124:136], e.rawSize)
	}
	octal(b[136:148], e.mtime)
	b[156] = typ
	copy(b[157:257], e.link)
	magic := e.magic
	if magic == "" {
		magic = "ustar\x0000"
	}
	copy(b[257:265], magic)
	octal(b[329:337], e.maj)
	octal(b[337:345], e.min)
	if e.patch != nil {
		e.patch(b)
	}
	seal(b, e.signed)
	if e.badSum {
		b[150] ^= 1
	}
	if e.noData {
		return b
	}
	return append(b, pad(e.data)...)
}

// seal writes the check sum of a header.
func seal(b []byte, signed bool) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		if signed {
			sum += int(int8(c))
		} else {
			sum += int(c)
		}
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func pad(s string) []byte {
	return append([]byte(s), make([]byte, -len(s)&511)...)
}

var endMark = make([]byte, 1024)

// tarOf is a complete archive.
func tarOf(entries ...entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		b.Write(e.bytes())
	}
	b.Write(endMark)
	return b.Bytes()
}

func file(name, data string) entry     { return entry{name: name, data: data} }
func dir(name string) entry            { return entry{typ: '5', name: name} }
func symlink(name, to string) entry    { return entry{typ: '2', name: name, link: to} }
func hardlink(name, to string) entry   { return entry{typ: '1', name: name, link: to} }
func special(typ byte, n string) entry { return entry{typ: typ, name: n, maj: 1, min: 3} }

// record is one pax record.
func record(key, value string) string {
	n := len(key) + len(value) + 3
	for {
		s := fmt.Sprintf("%d %s=%s\n", n, key, value)
		if len(s) == n {
			return s
		}
		n = len(s)
	}
}

// pax is an extended header with key, value, key, value…
func pax(kv ...string) entry {
	var b strings.Builder
	for i := 0; i+1 < len(kv); i += 2 {
		b.WriteString(record(kv[i], kv[i+1]))
	}
	return rawPax(b.String())
}

func rawPax(s string) entry     { return entry{typ: 'x', name: "PaxHeaders.0/x", data: s} }
func global(kv ...string) entry { e := pax(kv...); e.typ = 'g'; return e }
func gnuLong(typ byte, s string) entry {
	return entry{typ: typ, name: "././@LongLink", data: s + "\x00"}
}

// oldSparse is a GNU sparse entry: pieces of (offset, length), the real size, the data.
func oldSparse(name string, real int64, data string, pieces ...int64) entry {
	return entry{typ: 'S', name: name, data: data, magic: "ustar  \x00", patch: func(b []byte) {
		for i := 0; i+1 < len(pieces) && i < 8; i += 2 {
			octal(b[386+12*i:398+12*i], pieces[i])
			octal(b[398+12*i:410+12*i], pieces[i+1])
		}
		octal(b[483:495], real)
	}}
}

// sparse10 is a pax sparse file of format 1.0 with the map as text.
func sparse10(name, real, sparseMap, data string) []entry {
	return []entry{
		pax("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", name, "GNU.sparse.realsize", real),
		{name: "GNUSparseFile.0/x", data: string(pad(sparseMap)) + data},
	}
}
