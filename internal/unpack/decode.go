package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/hull-dev/hull/internal/xz"
)

// source is the stream as it comes: counted, and summed if asked.
type source struct {
	r   io.Reader
	n   int64
	sum hash.Hash
	err error // of r, if it is not io.EOF: told apart from a decoder's
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	if s.sum != nil {
		s.sum.Write(b[:n])
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// sourceBuffer is how much is read at once from the stream.
const sourceBuffer = 128 << 10

// decoder is one goroutine's work, the caller's, for each format: a panic of a decoder on hostile
// bytes can be recovered there, and parallel layers use the other cores. It returns the
// uncompressed stream, what compression it has, and a function that frees the decoder, told whether
// that came to the end of the stream: then it can serve again.
func decoder(br *bufio.Reader, window int64) (io.Reader, string, func(ended bool), error) {
	head, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, "", nil, err
	}
	is := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case is("\x1f\x8b"):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, "", nil, err
		}
		return z, "gzip", func(bool) {}, nil
	case is("\x28\xb5\x2f\xfd"), len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		if z, ok := zstds.Get().(*zstd.Decoder); ok && window == defaultWindow {
			if err := z.Reset(br); err != nil {
				return nil, "", nil, err
			}
			return z, "zstd", func(ended bool) { keepZstd(z, ended) }, nil
		}
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(uint64(min(max(window, zstd.MinWindowSize), 1<<32))),
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, "", nil, err
		}
		return z, "zstd", func(ended bool) { keepZstd(z, ended && window == defaultWindow) }, nil
	case is("BZh"):
		return bzip2.NewReader(br), "bzip2", func(bool) {}, nil
	case is(xz.Magic):
		return xz.NewReader(br, int(min(window, 1<<30))), "xz", func(bool) {}, nil
	case len(head) == 0:
		return nil, "", nil, fmt.Errorf("an empty stream: %w", ErrArchive)
	}
	return br, "tar", func(bool) {}, nil
}

// zstds are decoders with the default window, whose history is the most of an extraction's memory.
var zstds sync.Pool

// keepZstd puts a decoder back, or frees it.
func keepZstd(z *zstd.Decoder, good bool) {
	if good && z.Reset(nil) == nil {
		zstds.Put(z)
		return
	}
	z.Close()
}

func newSum() hash.Hash { return sha256.New() }
