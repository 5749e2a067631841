// Package xz reads .xz streams of strangers: the container is ours, LZMA2 is github.com/ulikunitz/xz/lzma's.
//
// That module has a reader of whole files too. It takes the size of the dictionary from each
// block's header, up to 4 GiB, and makes a new one for each block: a few bytes can ask for any amount of memory
// and time. Here a dictionary has a bound and is used again, everything else has a constant size, and a
// stream costs in proportion to its bytes.
//
//	r := xz.NewReader(f, 64<<20)
//
// The format is https://tukaani.org/xz/xz-file-format.txt, 1.2.1. All that it checks is checked: CRC-32 of
// headers, the check of each block (CRC-32, CRC-64, SHA-256 or none), sizes where they are given, the index, the footer.
// Streams may follow each other, with padding. Filters other than LZMA2 (BCJ, delta) are refused: tar
// archives have no use for them.
package xz

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// Magic is how a stream begins.
const Magic = "\xfd7zXZ\x00"

var (
	// ErrFormat is the class of all errors about the bytes.
	ErrFormat = errors.New("not a good xz stream")
	// ErrMemory is returned for a dictionary over the bound.
	ErrMemory = errors.New("xz needs a larger dictionary than is allowed")
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Reader is the uncompressed stream.
type Reader struct {
	c    container
	lzma *lzma.Reader2
	err  error
}

// NewReader reads from r, with dictionaries of at most maxDict bytes. The reader takes that much memory and little more.
func NewReader(r io.Reader, maxDict int) *Reader {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(r, 32<<10)
	}
	return &Reader{c: container{r: br, maxDict: maxDict}}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.lzma == nil {
			if r.err = r.c.start(); r.err != nil {
				break
			}
			r.lzma, r.err = lzma.Reader2Config{DictCap: r.c.dict}.NewReader2(&r.c)
			if r.err != nil && r.err != io.EOF {
				r.err = r.cause(r.err)
				break
			}
		}
		n, err := r.lzma.Read(p[:min(len(p), step)])
		if failed := r.c.check(p[:n]); failed != nil {
			r.err = failed
			return 0, failed
		}
		switch {
		case err == io.EOF && r.c.err == nil && !r.c.done:
			r.lzma = nil // the next block needs a larger dictionary
		case err == io.EOF && r.c.err == nil:
			r.err = io.EOF
			if len(r.c.blocks) > 0 {
				r.err = bad("a block is shorter than its chunks say")
			}
		case err != nil:
			r.err = r.cause(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// cause is the container's error, if it has one: LZMA2 then only saw its end.
func (r *Reader) cause(err error) error {
	switch {
	case r.c.err != nil:
		return r.c.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return err
	}
	return bad("%v", err)
}

// block is one whose chunks were all handed out, and whose bytes are not all checked yet.
type block struct {
	size  int64
	check []byte
}

// step is how much is read of LZMA2 at once, in bytes. It bounds the blocks that wait for their bytes: each has at least one.
const step = 32 << 10

// container hands out the LZMA2 chunks of all blocks as one sequence, which the dictionary resets at the blocks' beginnings allow.
// It implements io.Reader for lzma.Reader2.
type container struct {
	r       *bufio.Reader
	maxDict int
	err     error
	done    bool // the last stream has ended

	n       int64 // bytes read of this stream
	flags   byte  // the kind of check
	records int64 // blocks of this stream
	index   hash.Hash
	opened  bool // a stream's header was read

	dict     int // of the reader of LZMA2
	wantDict int // of the block
	in       bool
	first    bool  // the next chunk is the block's first
	begin    int64 // of the block's header
	packed   int64 // its chunks, so far
	unpacked int64
	saysPack int64 // -1: the header does not say
	saysOut  int64
	header   int64

	head []byte // of a chunk, to be handed out
	body int    // bytes of the chunk that follow

	blocks []block
	sum    hash.Hash
	summed int64 // of the first of blocks, or the one that is open
}

// start prepares for a new reader of LZMA2.
func (c *container) start() error {
	if !c.in {
		if err := c.next(); err != nil {
			return err
		}
		if c.done {
			return io.EOF
		}
	}
	c.dict = c.wantDict
	return nil
}

// Read implements io.Reader.
func (c *container) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.read(p)
	c.err = err
	return n, err
}

func (c *container) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.head) == 0 && c.body == 0 {
		if err := c.chunk(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.r.Read(p[:min(len(p), c.body)])
	c.body -= n
	c.n += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, cut(err)
}

// chunk takes the next chunk's header. At the end of everything, and before a block with a larger dictionary, it hands out an
// end mark.
func (c *container) chunk() error {
	for {
		if !c.in {
			if err := c.next(); err != nil {
				return err
			}
			if c.done || c.wantDict > c.dict {
				c.head = []byte{0}
				return nil
			}
		}
		control, err := c.byte()
		if err != nil {
			return err
		}
		c.packed++
		if control == 0 {
			if err := c.endBlock(); err != nil {
				return err
			}
			continue
		}
		// A block stands alone: its first chunk resets the dictionary.
		if c.first && control != 1 && control < 0xe0 || control > 2 && control < 0x80 {
			return bad("a chunk with the control byte %#x", control)
		}
		c.first = false
		rest := 2
		if control >= 0x80 {
			rest = 4
			if control >= 0xc0 {
				rest = 5
			}
		}
		head := make([]byte, 1+rest)
		head[0] = control
		if err := c.full(head[1:]); err != nil {
			return err
		}
		c.body = int(binary.BigEndian.Uint16(head[1:])) + 1
		out := c.body
		if control >= 0x80 {
			out += int(control&0x1f) << 16
			c.body = int(binary.BigEndian.Uint16(head[3:])) + 1
		}
		c.packed += int64(rest + c.body)
		c.unpacked += int64(out)
		c.head = head
		return nil
	}
}

// endBlock takes what follows a block's last chunk.
func (c *container) endBlock() error {
	c.in = false
	if c.saysPack >= 0 && c.saysPack != c.packed || c.saysOut >= 0 && c.saysOut != c.unpacked {
		return bad("a block's header has other sizes than the block")
	}
	if err := c.zeros(-c.packed & 3); err != nil {
		return err
	}
	check := make([]byte, checkSize(c.flags))
	if err := c.full(check); err != nil {
		return err
	}
	c.note(c.header+c.packed+int64(len(check)), c.unpacked)
	if c.unpacked == 0 {
		if len(check) > 0 && !bytes.Equal(digest(newSum(c.flags)), check) {
			return bad("the check of an empty block is wrong")
		}
		return nil
	}
	c.blocks = append(c.blocks, block{c.unpacked, check})
	return nil
}

// note adds a block to what the index must say.
func (c *container) note(unpadded, unpacked int64) {
	c.records++
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(unpacked))
	c.index.Write(b[:])
}

// check compares what LZMA2 returned with the blocks' checks.
func (c *container) check(p []byte) error {
	for {
		if c.sum == nil {
			c.sum = newSum(c.flags)
		}
		if len(c.blocks) == 0 {
			c.sum.Write(p)
			c.summed += int64(len(p))
			return nil
		}
		b := c.blocks[0]
		n := min(int64(len(p)), b.size-c.summed)
		if n < 0 {
			return bad("a block is longer than its chunks say")
		}
		c.sum.Write(p[:n])
		c.summed += n
		p = p[n:]
		if c.summed < b.size {
			return nil
		}
		if !bytes.Equal(digest(c.sum), b.check) && len(b.check) > 0 {
			return bad("a block's check is wrong")
		}
		c.blocks, c.sum, c.summed = c.blocks[1:], nil, 0
		if len(p) == 0 && len(c.blocks) == 0 {
			return nil
		}
	}
}

// newSum makes the check of a kind; none is CRC-32, whose result is not compared.
func newSum(flags byte) hash.Hash {
	switch flags {
	case 4:
		return crc64.New(ecma)
	case 10:
		return sha256.New()
	}
	return crc32.NewIEEE()
}

var ecma = crc64.MakeTable(crc64.ECMA)

// digest is a check as it is written: CRCs have their low byte first.
func digest(h hash.Hash) []byte {
	switch h := h.(type) {
	case hash.Hash64:
		return binary.LittleEndian.AppendUint64(nil, h.Sum64())
	case hash.Hash32:
		return binary.LittleEndian.AppendUint32(nil, h.Sum32())
	}
	return h.Sum(nil)
}

func checkSize(flags byte) int {
	switch flags {
	case 1:
		return 4
	case 4:
		return 8
	case 10:
		return 32
	}
	return 0
}

// cut turns the end in the middle of something into an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *container) byte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, cut(err)
}

func (c *container) full(p []byte) error {
	n, err := io.ReadFull(c.r, p)
	c.n += int64(n)
	return cut(err)
}

func (c *container) zeros(n int64) error {
	for range n {
		if b, err := c.byte(); err != nil || b != 0 {
			return firstOf(err, bad("padding that is not zero"))
		}
	}
	return nil
}

func firstOf(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
