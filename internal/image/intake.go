package image

import (
	"io"
	"sync"
	"time"
)

// intake copies a stream into the content store while it is read, a little ahead of the reader:
// the network, the digest and the disk go on while the reader decompresses. After the last
// Read the stream has been copied as far as it came; who stops reading earlier calls stop.
type intake struct {
	full chan []byte
	free chan []byte
	cur  []byte // of it, rest is still to be read
	rest []byte

	mu      sync.Mutex
	stopped bool
	arrived
}

// arrived is how far a stream came.
type arrived struct {
	n     int64 // bytes, from the blob's start
	err   error // that ended it, if it was not its end
	wrote bool  // err is the store's, not the stream's
}

const (
	intakeSize    = 256 << 10 // bytes of a piece
	intakeAhead   = 4         // pieces
	reportingTime = 100 * time.Millisecond
)

// newIntake begins to read r and to write it to w. n is how much of the blob w has already;
// said is told how much it has now.
func newIntake(r io.Reader, w io.Writer, n int64, said func(int64)) *intake {
	in := &intake{full: make(chan []byte, intakeAhead), free: make(chan []byte, intakeAhead+1), arrived: arrived{n: n}}
	for range intakeAhead + 1 {
		in.free <- nil
	}
	go in.pump(r, w, said)
	return in
}

// pump is the goroutine that is ahead.
func (in *intake) pump(r io.Reader, w io.Writer, said func(int64)) {
	defer close(in.full)
	var last time.Time
	for {
		b := <-in.free
		if b == nil {
			b = make([]byte, intakeSize)
		}
		n, err := r.Read(b[:intakeSize])
		var total int64
		in.mu.Lock()
		if in.stopped {
			in.mu.Unlock()
			return
		}
		if n > 0 {
			if _, werr := w.Write(b[:n]); werr != nil {
				n, err, in.wrote = 0, werr, true
			}
		}
		in.n += int64(n)
		total = in.n
		if err != nil && err != io.EOF {
			in.err = err
		}
		in.mu.Unlock()
		if now := time.Now(); n > 0 && now.Sub(last) > reportingTime {
			last = now
			said(total)
		}
		if n > 0 {
			in.full <- b[:n] // there is a place for each piece but the one at hand
		} else {
			in.free <- b
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (in *intake) Read(p []byte) (int, error) {
	if len(in.rest) == 0 {
		if in.cur != nil {
			in.free <- in.cur
			in.cur = nil
		}
		b, ok := <-in.full
		if !ok {
			if err := in.state().err; err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		in.cur, in.rest = b, b
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// drain reads to the end. Its error is the stream's or the store's.
func (in *intake) drain() error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// state is how far it came until now.
func (in *intake) state() arrived {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.arrived
}

// stop lets go of w: nothing is written to it after.
func (in *intake) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stopped = true
}

// end is stop, and waits for a Read of the stream that is under way.
func (in *intake) end() {
	in.stop()
	for b := range in.full {
		in.free <- b
	}
}
