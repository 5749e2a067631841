package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// next comes to the next block, in this stream or a following one, or sets done.
func (c *container) next() error {
	for {
		if !c.opened {
			if err := c.openStream(); err != nil || c.done {
				return err
			}
		}
		c.begin = c.n
		size, err := c.byte()
		if err != nil {
			return err
		}
		if size != 0 {
			return c.openBlock(size)
		}
		if err := c.endStream(); err != nil {
			return err
		}
	}
}

// openStream reads a stream's header, after padding. With none at the end of the input, all is done.
func (c *container) openStream() error {
	head := make([]byte, 12)
	padding := 0
	for {
		n, err := io.ReadFull(c.r, head[:4])
		if err == io.EOF && c.index != nil { // a stream came before
			c.done = true
			return nil
		}
		if err != nil {
			return cut(err)
		}
		if c.index == nil || !bytes.Equal(head[:n], []byte{0, 0, 0, 0}) {
			break
		}
		if padding += 4; padding > 1<<20 {
			return bad("a megabyte of padding")
		}
	}
	if _, err := io.ReadFull(c.r, head[4:]); err != nil {
		return cut(err)
	}
	if string(head[:6]) != Magic || head[6] != 0 || binary.LittleEndian.Uint32(head[8:]) != crc32.ChecksumIEEE(head[6:8]) {
		return bad("its header is none")
	}
	flags := head[7]
	switch flags {
	case 0, 1, 4, 10:
	default:
		return bad("a check of kind %d, which is not known", flags)
	}
	if len(c.blocks) > 0 && flags != c.flags { // checks that wait are of the other kind
		return bad("streams with different checks follow each other")
	}
	c.flags, c.n, c.records, c.index, c.opened = flags, 12, 0, sha256.New(), true
	return nil
}

// openBlock reads a block's header, whose first byte is size.
func (c *container) openBlock(size byte) error {
	head := make([]byte, (int(size)+1)*4)
	head[0] = size
	if err := c.full(head[1:]); err != nil {
		return err
	}
	body := head[:len(head)-4]
	if binary.LittleEndian.Uint32(head[len(body):]) != crc32.ChecksumIEEE(body) {
		return bad("the CRC of a block's header is wrong")
	}
	flags := body[1]
	if flags&0x3c != 0 {
		return bad("a block with the flags %#x", flags)
	}
	if flags&3 != 0 {
		return bad("a filter beside LZMA2, which Hull does not read")
	}
	rest := body[2:]
	c.saysPack, c.saysOut = -1, -1
	for _, f := range []struct {
		bit byte
		to  *int64
	}{{0x40, &c.saysPack}, {0x80, &c.saysOut}} {
		if flags&f.bit != 0 {
			var ok bool
			if *f.to, rest, ok = number(rest); !ok {
				return bad("a size in a block's header")
			}
		}
	}
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return bad("a filter other than LZMA2, which Hull does not read")
	}
	dict := int64(2|rest[2]&1) << (rest[2]/2 + 11)
	if rest[2] > 40 {
		return bad("a dictionary of an impossible size")
	}
	if dict > int64(c.maxDict) {
		return ErrMemory
	}
	if len(bytes.Trim(rest[3:], "\x00")) > 0 {
		return bad("a block's header has bytes that mean nothing")
	}
	c.header, c.wantDict = int64(len(head)), int(dict)
	c.in, c.first, c.packed, c.unpacked = true, true, 0, 0
	return nil
}

// endStream reads the index, whose first byte is gone, and the footer.
func (c *container) endStream() error {
	begin := c.n - 1
	sum := crc32.NewIEEE()
	sum.Write([]byte{0})
	count, err := c.indexNumber(sum)
	if err != nil {
		return err
	}
	if count != c.records {
		return bad("the index has %d blocks, the stream %d", count, c.records)
	}
	want, seen := c.index, sha256.New()
	c.index = seen
	for range count {
		unpadded, err := c.indexNumber(sum)
		if err != nil {
			return err
		}
		unpacked, err := c.indexNumber(sum)
		if err != nil {
			return err
		}
		c.note(unpadded, unpacked)
	}
	if !bytes.Equal(want.Sum(nil), seen.Sum(nil)) {
		return bad("the index is of other blocks")
	}
	for (c.n-begin)&3 != 0 {
		if b, err := c.byte(); err != nil || b != 0 {
			return firstOf(err, bad("padding that is not zero"))
		}
		sum.Write([]byte{0})
	}
	size := c.n - begin + 4
	tail := make([]byte, 4+12)
	if err := c.full(tail); err != nil {
		return err
	}
	footer := tail[4:]
	switch {
	case binary.LittleEndian.Uint32(tail) != sum.Sum32():
		return bad("the CRC of the index is wrong")
	case string(footer[10:]) != "YZ" || footer[8] != 0 || footer[9] != c.flags,
		binary.LittleEndian.Uint32(footer) != crc32.ChecksumIEEE(footer[4:10]),
		(int64(binary.LittleEndian.Uint32(footer[4:]))+1)*4 != size:
		return bad("its footer is wrong")
	}
	c.opened = false
	return nil
}

// number reads a multibyte integer of at most 63 bits.
func number(b []byte) (int64, []byte, bool) {
	var v uint64
	for i := range min(len(b), 9) {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return int64(v), b[i+1:], i == 0 || b[i] != 0
		}
	}
	return 0, nil, false
}

func (c *container) indexNumber(sum io.Writer) (int64, error) {
	var buf [9]byte
	for i := range buf {
		b, err := c.byte()
		if err != nil {
			return 0, err
		}
		buf[i] = b
		if b&0x80 == 0 {
			_, _ = sum.Write(buf[:i+1]) // a CRC takes everything
			v, _, ok := number(buf[:i+1])
			if !ok {
				return 0, bad("a number in the index")
			}
			return v, nil
		}
	}
	return 0, bad("a number in the index")
}
