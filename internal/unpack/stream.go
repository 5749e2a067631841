package unpack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

// The pipeline: one goroutine reads and decompresses into chunks, one sums them, and the
// caller's makes files of them; each byte is summed and written from where it was decompressed to.
//
//	r → source (count, Digest) → decoder → chunk ─┬→ sums (DiffID)
//	                                              └→ input → tarReader → files
const (
	chunkSize = 256 << 10
	chunks    = 8
	// ratioGrace is how much may come out before Limits.Ratio counts.
	ratioGrace = 256 << 20
)

// chunk is a buffer that two readers share; the last puts it back.
type chunk struct {
	buf  []byte
	n    int
	uses atomic.Int32
}

type stream struct {
	ctx         context.Context
	free        chan *chunk
	full, sums  chan *chunk
	stop        chan struct{} // closed when the consumer wants no more
	cur         *chunk
	err         error // why full was closed
	src         source
	limits      Limits
	bytes       int64
	compression string
	diff        hash.Hash
	digest      bool // of the stream as it came
	wg          sync.WaitGroup
}

// buffers keeps chunks for the next stream: a pull has many layers.
var buffers = sync.Pool{New: func() any { return &chunk{buf: make([]byte, chunkSize)} }}

// startStream starts the pipeline; the caller must call finish.
func startStream(ctx context.Context, r io.Reader, limits Limits, digest bool) *stream {
	s := &stream{
		ctx: ctx, limits: limits, src: source{r: r}, diff: newSum(), digest: digest, stop: make(chan struct{}),
		free: make(chan *chunk, chunks), full: make(chan *chunk, chunks), sums: make(chan *chunk, chunks),
	}
	if digest {
		s.src.sum = newSum()
	}
	for range chunks {
		s.free <- nil // taken from the pool when needed
	}
	s.wg.Add(2)
	go func() {
		defer s.wg.Done()
		defer close(s.sums)
		defer close(s.full)
		s.err = s.produce()
	}()
	go func() {
		defer s.wg.Done()
		for c := range s.sums {
			s.diff.Write(c.buf[:c.n])
			s.release(c)
		}
	}()
	return s
}

// produce fills chunks until the stream ends; it returns io.EOF then.
func (s *stream) produce() (err error) {
	// A fault of a decoder costs this archive, not the daemon.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the decoder failed on these bytes (%v): %w", p, ErrArchive)
		}
	}()
	br := bufio.NewReaderSize(&s.src, sourceBuffer)
	r, compression, end, err := decoder(br, s.limits.Window)
	if err != nil {
		return s.decodeError(err)
	}
	ended := false
	defer func() { end(ended) }()
	s.compression = compression
	if compression == "tar" {
		s.src.sum = nil // the same bytes: one sum is enough
	}
	for {
		var c *chunk
		select {
		case <-s.stop:
			return io.ErrClosedPipe
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case c = <-s.free:
		}
		if c == nil {
			c = buffers.Get().(*chunk)
		}
		c.n = 0
		var rerr error
		for empty := 0; c.n < len(c.buf) && rerr == nil; {
			var n int
			n, rerr = r.Read(c.buf[c.n:])
			c.n += n
			if empty++; n > 0 {
				empty = 0
			}
			if empty > 100 {
				rerr = io.ErrNoProgress
			}
		}
		s.bytes += int64(c.n)
		if rerr == nil || rerr == io.EOF {
			if err := s.checkSize(); err != nil {
				rerr = err
				c.n = 0
			}
		}
		if c.n == 0 {
			s.free <- c
		} else {
			c.uses.Store(2)
			s.sums <- c
			s.full <- c
		}
		if rerr != nil {
			ended = rerr == io.EOF
			return s.decodeError(rerr)
		}
	}
}

// checkSize holds the uncompressed length to its limits.
func (s *stream) checkSize() error {
	if s.bytes > s.limits.Bytes {
		return fmt.Errorf("more than %d bytes uncompressed: %w", s.limits.Bytes, ErrLimit)
	}
	if out := s.bytes - ratioGrace; out > 0 && s.compression != "tar" && out/s.limits.Ratio > s.src.n {
		return fmt.Errorf("%d bytes out of %d, more than %d for one: %w", s.bytes, s.src.n, s.limits.Ratio, ErrLimit)
	}
	return nil
}

// decodeError says whose fault an error of the decoder is: the reader's, or the bytes'.
func (s *stream) decodeError(err error) error {
	switch {
	case err == io.EOF, errors.Is(err, ErrArchive):
		return err
	case s.src.err != nil:
		return fmt.Errorf("reading the stream: %w", s.src.err)
	case s.compression == "":
		return fmt.Errorf("decompressing: %w: %w", ErrArchive, err)
	}
	return fmt.Errorf("decompressing %s: %w: %w", s.compression, ErrArchive, err)
}

func (s *stream) release(c *chunk) {
	if c.uses.Add(-1) == 0 {
		s.free <- c // never blocks: there are as many places as chunks
	}
}

// next gives back the chunk that it returned before, and returns the next one's bytes.
func (s *stream) next() ([]byte, error) {
	if s.cur != nil {
		s.release(s.cur)
		s.cur = nil
	}
	c, ok := <-s.full
	if !ok {
		return nil, s.err
	}
	if err := s.ctx.Err(); err != nil {
		s.release(c)
		return nil, context.Cause(s.ctx)
	}
	s.cur = c
	return c.buf[:c.n], nil
}

// finish ends the pipeline and waits for it.
func (s *stream) finish() {
	close(s.stop)
	if s.cur != nil {
		s.release(s.cur)
		s.cur = nil
	}
	for c := range s.full {
		s.release(c)
	}
	s.wg.Wait()
	for {
		select {
		case c := <-s.free:
			if c != nil {
				buffers.Put(c)
			}
		default:
			return
		}
	}
}

// stats fills in what the pipeline knows; only after finish.
func (s *stream) stats(st *Stats) {
	st.Bytes, st.StreamBytes, st.Compression = s.bytes, s.src.n, s.compression
	s.diff.Sum(st.DiffID[:0])
	switch {
	case s.src.sum != nil:
		s.src.sum.Sum(st.Digest[:0])
	case s.digest:
		st.Digest = st.DiffID
	}
}
