package hostiletar

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
)

func gz(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zst(data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // of constant options
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func with(b []byte, at int, c byte) []byte {
	b = bytes.Clone(b)
	b[(at+len(b))%len(b)] ^= c
	return b
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// skippable is a zstd frame without content (RFC 8878, 3.1.2).
func skippable(n uint32, data string) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte("\x50\x2a\x4d\x18"), n), data...)
}

// compressed: what decoders trip over.
func compressed() []Case {
	tar := tarOf(file("x", evil))
	g, z := gz(tar), zst(tar)
	named := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Name, w.Comment, w.Extra = "../canary/x", "../canary/x", make([]byte, 60000)
		w.Write(tar)
		w.Close()
		return b.Bytes()
	}()
	return in("compressed",
		plain("gzip", false, g),
		plain("gzip, two members", false, cat(gz(tar[:700]), gz(tar[700:]))),
		plain("gzip, an empty member first", false, cat(gz(nil), g)),
		plain("gzip, with a name of its own", false, named),
		plain("gzip, of gzip", true, gz(g)),
		plain("gzip, of nothing", true, gz(nil)),
		plain("gzip, magic alone", true, g[:2]),
		plain("gzip, header alone", true, g[:10]),
		plain("gzip, cut", true, g[:len(g)/2]),
		plain("gzip, without its sum", true, g[:len(g)-8]),
		plain("gzip, wrong sum", true, with(g, -6, 1)),
		plain("gzip, wrong length", true, with(g, -1, 1)),
		plain("gzip, unknown method", true, with(g, 2, 1)),
		plain("gzip, garbage after it", true, cat(g, []byte("garbage garbage"))),
		plain("gzip, plain tar after it", true, cat(g, tar)),
		plain("gzip, zstd after it", true, cat(g, z)),
		plain("gzip, bad block", true, cat(g[:10], []byte{7, 0xff, 0xff, 0xff})),
		plain("zstd", false, z),
		plain("zstd, two frames", false, cat(zst(tar[:700]), zst(tar[700:]))),
		plain("zstd, skippable frames", false, cat(skippable(4, "evil"), zst(tar[:700]), skippable(0, ""), zst(tar[700:]), skippable(2, "xx"))),
		plain("zstd, skippable frames alone", true, skippable(4, "evil")),
		plain("zstd, skippable frame of 4 GB that is not there", true, skippable(0xffffffff, "evil")),
		plain("zstd, window of 2 GiB", true, cat([]byte("\x28\xb5\x2f\xfd\x00\xa8"), []byte{1, 0, 0})),
		plain("zstd, window of 3 TiB", true, cat([]byte("\x28\xb5\x2f\xfd\x00\xff"), []byte{1, 0, 0})),
		plain("zstd, dictionary", true, cat([]byte("\x28\xb5\x2f\xfd\x01\x50\x07"), z[6:])),
		plain("zstd, reserved bit", true, with(z, 4, 8)),
		plain("zstd, cut", true, z[:len(z)-6]),
		plain("zstd, wrong sum", true, with(z, -1, 1)),
		plain("zstd, garbage after it", true, cat(z, []byte("garbage"))),
		plain("zstd, magic alone", true, z[:4]),
		plain("zstd, of gzip", true, zst(g)),
		plain("xz", true, cat([]byte("\xfd7zXZ\x00\x00\x04"), make([]byte, 100))),
		plain("bzip2, garbage", true, cat([]byte("BZh9"), make([]byte, 100))),
		plain("lz4", true, cat([]byte("\x04\x22\x4d\x18"), make([]byte, 1000))),
		plain("compress", true, cat([]byte("\x1f\x9d\x90"), make([]byte, 1000))),
	)
}

// bombs: small streams that are large, or never end.
func bombs() []Case {
	bomb := func(name string, archive func() io.Reader) Case {
		return Case{Name: name, Refused: true, Bomb: true, Archive: archive}
	}
	big := entry{name: "zeros", rawSize: "77777777777\x00", noData: true}.bytes()
	endless := func(head, body []byte) func() io.Reader {
		return func() io.Reader { return io.MultiReader(bytes.NewReader(head), &repeat{body: body}) }
	}
	return in("bomb",
		bomb("zstd, 1:32,000", func() io.Reader { return zstdBomb(big) }),
		bomb("gzip, 1:1,000", endless(gz(big), gz(make([]byte, 1<<20)))),
		bomb("gzip, endless empty members", endless(gz(big), gz(make([]byte, 512)))),
		bomb("endless file", endless(big, make([]byte, 64<<10))),
		bomb("endless zeros after the end mark", endless(endMark, make([]byte, 64<<10))),
		bomb("endless members", endless(nil, cat(file("a", "").bytes(), file("b", "").bytes()))),
		bomb("endless directories", func() io.Reader { return &numbered{} }),
		bomb("endless global headers", endless(nil, global("comment", "x").bytes())),
		bomb("endless sparse map", endless(endlessSparse(), endlessBlock())),
		bomb("gzip, endless members of one name", endless(nil, gz(file("a", evil).bytes()))),
	)
}

// zstdBomb is a frame of a header and then of blocks of 128 KiB zeros, four bytes each.
func zstdBomb(head []byte) io.Reader {
	frame := []byte("\x28\xb5\x2f\xfd\x00\x50") // window of 1 MiB, no size, no sum
	raw := uint32(len(head))<<3 | 0<<1
	frame = append(frame, byte(raw), byte(raw>>8), byte(raw>>16))
	frame = append(frame, head...)
	rle := uint32(128<<10)<<3 | 1<<1
	return io.MultiReader(bytes.NewReader(frame), &repeat{body: []byte{byte(rle), byte(rle >> 8), byte(rle >> 16), 0}})
}

// repeat is a stream of the same bytes without end.
type repeat struct {
	body []byte
	at   int
}

func (r *repeat) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		c := copy(b[n:], r.body[r.at:])
		n += c
		r.at = (r.at + c) % len(r.body)
	}
	return n, nil
}

// numbered is a stream of directories without end, each with another name.
type numbered struct {
	i    int
	rest []byte
}

func (r *numbered) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		r.i++
		r.rest = dir(string(binary.BigEndian.AppendUint32([]byte("d-"), 0x21212121+uint32(r.i%200)+uint32(r.i/200)<<8))).bytes()
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// endlessSparse begins a sparse map of GNU's old format that never ends.
func endlessSparse() []byte {
	return entry{typ: 'S', name: "s", magic: "ustar  \x00", patch: func(b []byte) { b[482] = 1 }}.bytes()
}

func endlessBlock() []byte {
	b := make([]byte, 512)
	b[504] = 1
	return b
}
