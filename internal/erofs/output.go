package erofs

import (
	"bytes"
	"fmt"
	"io"
)

// output places blocks and inode records in the image and collects small writes.
//
// Data and inodes grow from one counter of blocks: whole blocks of data take the next ones; for
// inodes a chunk of metaBlocks is taken when the last is full, kept in memory and written whole.
type output struct {
	w    Output
	next int64 // first block that nobody has
	// The chunk of inodes being filled.
	meta    []byte
	metaOff int64 // of meta in the image
	metaLen int   // used
	buf     []byte
}

const (
	metaBlocks = 16
	copySize   = 1 << 20
)

var zeros [blockSize]byte

func (o *output) init(w Output) {
	o.w = w
	o.next = rootBlocks
}

// allocate takes n blocks.
func (o *output) allocate(n int64) (int64, error) {
	if n > maxBlocks-1-o.next {
		return 0, fmt.Errorf("the image grows beyond %d blocks of %d bytes", int64(maxBlocks-1), blockSize)
	}
	at := o.next
	o.next += n
	return at, nil
}

// place finds room for a record of n bytes that must not cross a block, or, when it is larger
// than one, must begin at one. It returns the offset in the image, a multiple of slotSize.
func (o *output) place(n int) (int64, error) {
	n = (n + slotSize - 1) &^ (slotSize - 1)
	if n > blockSize {
		b, err := o.allocate(int64(n+blockSize-1) / blockSize)
		return b * blockSize, err
	}
	if left := blockSize - o.metaLen%blockSize; left < n {
		o.metaLen += left // the rest of the block stays zero
	}
	if o.meta == nil || o.metaLen+n > len(o.meta) {
		if err := o.flush(); err != nil {
			return 0, err
		}
		b, err := o.allocate(metaBlocks)
		if err != nil {
			return 0, err
		}
		if o.meta == nil {
			o.meta = make([]byte, metaBlocks*blockSize)
		}
		clear(o.meta)
		o.metaOff, o.metaLen = b*blockSize, 0
	}
	at := o.metaOff + int64(o.metaLen)
	o.metaLen += n
	return at, nil
}

// write puts p at an offset that place or allocate gave.
func (o *output) write(off int64, p []byte) error {
	if o.meta != nil && off >= o.metaOff && off+int64(len(p)) <= o.metaOff+int64(len(o.meta)) {
		copy(o.meta[off-o.metaOff:], p)
		return nil
	}
	return o.pwrite(off, p)
}

// flush writes the chunk of inodes, which keeps its place.
func (o *output) flush() error {
	if o.meta == nil || o.metaLen == 0 {
		return nil
	}
	return o.pwrite(o.metaOff, o.meta)
}

// copy writes exactly n bytes of r at off.
func (o *output) copy(off int64, r io.Reader, n int64) error {
	if o.buf == nil {
		o.buf = make([]byte, copySize)
	}
	holes, _ := r.(Holes)
	for n > 0 {
		if holes != nil {
			skip, err := holes.SkipHole(n)
			if err != nil {
				return err
			}
			off, n = off+skip, n-skip
			if n == 0 {
				break
			}
		}
		p := o.buf[:min(n, copySize)]
		if _, err := io.ReadFull(r, p); err != nil {
			return short(err)
		}
		if err := o.pwrite(off, p); err != nil {
			return err
		}
		off += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}

// pwrite writes p at off, but for blocks of zeros: the file is new, they are holes.
func (o *output) pwrite(off int64, p []byte) error {
	for len(p) > 0 {
		skip := 0
		for skip < len(p) && zero(p[skip:min(len(p), skip+blockSize)]) {
			skip = min(len(p), skip+blockSize)
		}
		p, off = p[skip:], off+int64(skip)
		run := 0
		for run < len(p) && !zero(p[run:min(len(p), run+blockSize)]) {
			run = min(len(p), run+blockSize)
		}
		if run == 0 {
			continue
		}
		if _, err := o.w.WriteAt(p[:run], off); err != nil {
			return fmt.Errorf("writing the image: %w", err)
		}
		p, off = p[run:], off+int64(run)
	}
	return nil
}

func zero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }
