package unpack

import (
	"fmt"
	"io"
)

// input is the uncompressed stream as a sequence of chunks. What it returns points into the
// current chunk and is good until the next call.
type input struct {
	fill func() ([]byte, error) // the next chunk, not empty; io.EOF at the end
	rest []byte
	off  int64 // of rest in the stream
	blk  [blockSize]byte
}

// next returns between 1 and max bytes, without a copy; io.EOF at the end.
func (in *input) next(max int64) ([]byte, error) {
	for len(in.rest) == 0 {
		c, err := in.fill()
		if err != nil {
			return nil, err
		}
		in.rest = c
	}
	n := int(min(max, int64(len(in.rest))))
	b := in.rest[:n]
	in.rest = in.rest[n:]
	in.off += int64(n)
	return b, nil
}

// block returns the next blockSize bytes: io.EOF when there is not one byte, io.ErrUnexpectedEOF
// when there are too few.
func (in *input) block() ([]byte, error) {
	b, err := in.next(blockSize)
	if err != nil || len(b) == blockSize {
		return b, err
	}
	n := copy(in.blk[:], b)
	for n < blockSize {
		b, err := in.next(int64(blockSize - n))
		if err != nil {
			return nil, cut(err)
		}
		n += copy(in.blk[n:], b)
	}
	return in.blk[:], nil
}

// skip drops n bytes.
func (in *input) skip(n int64) error {
	for n > 0 {
		b, err := in.next(n)
		if err != nil {
			return cut(err)
		}
		n -= int64(len(b))
	}
	return nil
}

// read appends n bytes to buf.
func (in *input) read(buf []byte, n int64) ([]byte, error) {
	for n > 0 {
		b, err := in.next(n)
		if err != nil {
			return nil, cut(err)
		}
		buf = append(buf, b...)
		n -= int64(len(b))
	}
	return buf, nil
}

// drain reads to the end of the stream.
func (in *input) drain() error {
	for {
		if _, err := in.next(none); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// cut turns the end of the stream in the middle of something into an error.
func cut(err error) error {
	if err == io.EOF {
		return fmt.Errorf("%w: %w", ErrArchive, io.ErrUnexpectedEOF)
	}
	return err
}
