package reader

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"

	"github.com/hull-dev/hull/internal/logfile"
)

type localChain struct{ c logfile.Config }

func (l *localChain) open() ([]*file, error) {
	var list []*file
	for _, s := range logfile.Segments(l.c.Dir, l.c.Name) {
		f, err := l.segment(s.N)
		if err != nil {
			for _, f := range list {
				f.close()
			}
			return nil, err
		}
		if f != nil {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	return list, nil
}

// segment opens a segment, as it was written or compressed; nil when it is gone.
func (l *localChain) segment(n int) (*file, error) {
	name := logfile.SegmentName(l.c.Dir, l.c.Name, n)
	for range 2 { // it may become the other while we look
		f, err := os.Open(name)
		if err == nil {
			return &file{f: f, src: f, n: n, next: nextLocal}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err = os.Open(name + ".zst")
		if err == nil {
			out := &file{f: f, n: n, next: nextLocal}
			return out, out.unzstd()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, nil
}

func (l *localChain) next(f *file) (*file, error) {
	// Nearly always there is none, and one look says so.
	name := logfile.SegmentName(l.c.Dir, l.c.Name, f.n+1)
	if _, err := os.Lstat(name); err == nil {
		return l.segment(f.n + 1)
	}
	if _, err := os.Lstat(logfile.SegmentName(l.c.Dir, l.c.Name, f.n)); err == nil {
		return nil, nil
	}
	for _, s := range logfile.Segments(l.c.Dir, l.c.Name) { // compressed, or those after it are gone, too
		if s.N > f.n {
			return l.segment(s.N)
		}
	}
	return nil, nil
}

func nextLocal(b []byte) (*Entry, int, error) {
	e, n, err := logfile.ParseLocal(b)
	if err != nil || n == 0 {
		return nil, 0, err
	}
	out := &Entry{Entry: e}
	out.Line = withNewline(e.Line, e.Partial)
	return out, n, nil
}

func withNewline(line []byte, p logfile.Partial) []byte {
	if p.ID != 0 && !p.Last {
		return line
	}
	return append(line[:len(line):len(line)], '\n')
}

// before is where the entry begins that ends at off; -1 when that cannot be seen.
func localBefore(f *file, off int64) int64 {
	var b [4]byte
	if off < 8 {
		return -1
	}
	if _, err := f.src.ReadAt(b[:], off-4); err != nil {
		return -1
	}
	n := int64(binary.BigEndian.Uint32(b[:]))
	begin := off - n - 8
	if n > logfile.LocalMax || begin < 0 {
		return -1
	}
	if _, err := f.src.ReadAt(b[:], begin); err != nil || int64(binary.BigEndian.Uint32(b[:])) != n {
		return -1
	}
	return begin
}
