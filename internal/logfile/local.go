package logfile

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The local driver's files are segments, DIR/NAME.000001 and upwards. A full segment is never
// written again and never renamed: hulld makes NAME.000001.zst of it and then removes it. The
// oldest are removed by the writer when there are more than MaxFiles. A record is
//
//	┌──────────┬─────────┬───────┬──────────┬──────────────────────┬───────┬──────────┐
//	│ length 4 │ 'H' 'L' │ flags │ time   8 │ id 8, ordinal 4      │ line  │ length 4 │   big endian
//	└──────────┴─────────┴───────┴──────────┴──────────────────────┴───────┴──────────┘
//	           └────────────── length bytes ───────────────────────────────┘
//
// with id and ordinal for pieces of a line only. The length at the end is for who reads
// backwards; both lengths and the two letters tell a record from what a power loss left.
const (
	localPartial = 4
	localLast    = 8
	localFixed   = 11 // letters, flags, time
	localPiece   = 12

	// LocalMax bounds a record, without its lengths.
	LocalMax = localFixed + localPiece + MaxLine
)

type local struct {
	file
	c     Config
	n     int // current segment
	first int // oldest that may be there
}

func openLocal(c Config, fail func(uint64, error)) (*local, error) {
	d := &local{c: c, file: file{fail: fail}, n: 1, first: 1}
	if list := Segments(c.Dir, c.Name); len(list) > 0 {
		d.first, d.n = list[0].N, list[len(list)-1].N
		if list[len(list)-1].Compressed {
			d.n++
		}
	}
	return d, d.open(SegmentName(c.Dir, c.Name, d.n))
}

// SegmentName is the path of a segment.
func SegmentName(dir, name string, n int) string {
	number := strconv.Itoa(n)
	return dir + "/" + name + "." + strings.Repeat("0", max(0, 6-len(number))) + number
}

// SegmentFile is a segment that is there.
type SegmentFile struct {
	N          int
	Compressed bool // and not as it was written
}

// Segments lists the segments of a log, the oldest first. One that is there in both forms is
// listed as it was written.
func Segments(dir, name string) []SegmentFile {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var list []SegmentFile
	for _, f := range names {
		number, ok := strings.CutPrefix(f, name+".")
		if !ok {
			continue
		}
		number, compressed := strings.CutSuffix(number, ".zst")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || len(number) < 6 || number[0] == '+' {
			continue
		}
		list = insert(list, SegmentFile{n, compressed})
	}
	return list
}

func insert(list []SegmentFile, s SegmentFile) []SegmentFile {
	i := len(list)
	for i > 0 && list[i-1].N >= s.N {
		i--
	}
	if i < len(list) && list[i].N == s.N {
		list[i].Compressed = list[i].Compressed && s.Compressed
		return list
	}
	list = append(list, SegmentFile{})
	copy(list[i+1:], list[i:])
	list[i] = s
	return list
}

func (d *local) add(e *Entry) {
	if d.c.MaxSize > 0 && d.size+int64(len(d.buf)) >= d.c.MaxSize {
		d.flush()
		d.rotate()
	}
	d.buf = AppendLocal(d.buf, e)
	d.entry()
}

// rotate begins a new segment, and removes the oldest.
func (d *local) rotate() {
	before := d.fd
	d.reopen(SegmentName(d.c.Dir, d.c.Name, d.n+1))
	if d.fd == before {
		return
	}
	d.n++
	for ; d.first <= d.n-max(1, d.c.MaxFiles); d.first++ {
		name := SegmentName(d.c.Dir, d.c.Name, d.first)
		unix.Unlink(name)
		unix.Unlink(name + ".zst")
	}
}

// AppendLocal appends the record of an entry.
func AppendLocal(b []byte, e *Entry) []byte {
	n, flags := localFixed+len(e.Line), e.Stream
	if e.Partial.ID != 0 {
		n += localPiece
		flags |= localPartial
	}
	if e.Partial.Last {
		flags |= localLast
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, 'H', 'L', flags)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
	if e.Partial.ID != 0 {
		b = binary.BigEndian.AppendUint64(b, e.Partial.ID)
		b = binary.BigEndian.AppendUint32(b, uint32(e.Partial.Ordinal))
	}
	b = append(b, e.Line...)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// ParseLocal reads the record at the beginning of b and returns its whole length. The line is
// part of b. A record that is not all there is length 0 without an error.
func ParseLocal(b []byte) (e Entry, length int, err error) {
	if len(b) < 4 {
		return e, 0, nil
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n < localFixed || n > LocalMax {
		return e, 0, fmt.Errorf("a record of %d bytes in the log", n)
	}
	if len(b) >= 6 && (b[4] != 'H' || b[5] != 'L') {
		return e, 0, fmt.Errorf("not a record of the log")
	}
	if int64(len(b)) < n+8 {
		return e, 0, nil
	}
	if int64(binary.BigEndian.Uint32(b[4+n:])) != n {
		return e, 0, fmt.Errorf("a record of the log with two lengths")
	}
	flags := b[6]
	body := b[4+localFixed : 4+n]
	e = Entry{Stream: flags & 3, Time: time.Unix(0, int64(binary.BigEndian.Uint64(b[7:]))).UTC()}
	if flags&localPartial != 0 {
		if len(body) < localPiece {
			return e, 0, fmt.Errorf("a record of the log that is too short")
		}
		e.Partial = Partial{ID: binary.BigEndian.Uint64(body), Ordinal: int(binary.BigEndian.Uint32(body[8:])), Last: flags&localLast != 0}
		body = body[localPiece:]
	}
	e.Line = body
	return e, int(n) + 8, nil
}
