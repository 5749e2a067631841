package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
)

// Query says what to read.
type Query struct {
	Tail         int       // so many entries from the end; negative: all
	Since, Until time.Time // zero: no bound. Both ends are within
	Follow       bool      // go on with what will be written
	// Ended, when it is closed, ends a Follow at what is written by then: the container has
	// ended. nil: only the context does.
	Ended <-chan struct{}
}

// Entry is an entry of a log that was read. Line ends with a newline unless the entry is a piece
// of a line that is not the last.
type Entry struct {
	logfile.Entry
	Attrs []byte // JSON object of json-file's, or nil
}

// ErrNotReadable says that the driver keeps nothing that can be read.
var ErrNotReadable = errors.New("configured logging driver does not support reading")

// Read calls tell for each entry. Its argument is good until tell returns; an error of tell's ends
// the reading and is returned.
func Read(ctx context.Context, c logfile.Config, q Query, tell func(*Entry) error) error {
	var l chain
	switch c.Driver {
	case logfile.DriverLocal:
		l = &localChain{c: c}
	case logfile.DriverJSONFile:
		l = &jsonChain{c: c}
	default:
		return ErrNotReadable
	}
	var w *watch
	if q.Follow {
		w = newWatch(c.Dir) // before the files are opened: nothing that happens later is missed
		defer w.close()
	}
	files, err := l.open()
	if err != nil {
		return fmt.Errorf("read the container's log: %w", err)
	}
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	r := &run{ctx: ctx, q: q, tell: tell}
	if q.Tail >= 0 {
		if files, err = tail(files, q.Tail); err != nil {
			return fmt.Errorf("read the end of the container's log: %w", err)
		}
	}
	for i, f := range files {
		if i == len(files)-1 && q.Follow {
			files[i] = nil
			err = r.follow(l, f, w)
		} else {
			err = r.rest(f)
			f.close()
			files[i] = nil
		}
		if err == errUntil {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chain is the files of one log.
type chain interface {
	// open opens the files that there are, the oldest first; at least one.
	open() ([]*file, error)
	// next is the file after f, or nil when there is none yet.
	next(f *file) (*file, error)
}

// run is one reading.
type run struct {
	ctx  context.Context
	q    Query
	tell func(*Entry) error
}

var errUntil = errors.New("the end of the period")

// rest tells of what is in a file from its place on.
func (r *run) rest(f *file) error {
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		e, err := f.entry()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the container's log: %w", err)
		}
		if err := r.one(e); err != nil {
			return err
		}
	}
}

func (r *run) one(e *Entry) error {
	switch {
	case !r.q.Since.IsZero() && e.Time.Before(r.q.Since):
		return nil
	case !r.q.Until.IsZero() && e.Time.After(r.q.Until):
		return errUntil
	}
	return r.tell(e)
}

// pollTime is how often a follower looks without being told to: inotify(7) may be used up.
const pollTime = 500 * time.Millisecond

// follow goes on from a file through those that come after it.
func (r *run) follow(l chain, f *file, w *watch) error {
	defer func() { f.close() }()
	ended := r.q.Ended
	last := false
	var until <-chan time.Time
	if !r.q.Until.IsZero() {
		t := time.NewTimer(time.Until(r.q.Until))
		defer t.Stop()
		until = t.C
	}
	for {
		if err := r.rest(f); err != nil {
			return err
		}
		n, err := l.next(f)
		if err != nil {
			return fmt.Errorf("follow the container's log: %w", err)
		}
		if n != nil {
			err := r.rest(f) // what was written before the next one was begun
			f.close()
			f = n
			if err != nil {
				return err
			}
			continue
		}
		if last {
			return nil
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-ended:
			ended, last = nil, true // once more: it was written before
		case <-until:
			return nil
		case <-w.change:
		case <-time.After(pollTime):
		}
	}
}

// file is one file of a log, with a place in it.
type file struct {
	f     *os.File
	n     int    // segment of local
	inode uint64 // of json-file; 0 when it is compressed
	next  func(b []byte) (e *Entry, length int, err error)

	src    io.ReaderAt // what entries are read from; f, or what was compressed
	end    func()      // closes src
	off    int64       // behind the last entry
	buf    []byte      // from off on
	atOnce int         // bytes that a read asks for
}

func (f *file) close() {
	if f == nil {
		return
	}
	if f.end != nil {
		f.end()
	}
	f.f.Close()
}

// maxEntry bounds one entry in a file, in bytes: 16 KiB, of which each may be six in JSON, and
// attributes.
const maxEntry = 1 << 20

// entry reads the next entry. The error is io.EOF when there is no whole one.
func (f *file) entry() (*Entry, error) {
	for {
		if len(f.buf) > 0 {
			e, n, err := f.next(f.buf)
			switch {
			case err != nil || n == 0 && len(f.buf) > maxEntry: // to where one may begin
				n = f.resync()
				f.buf, f.off = f.buf[n:], f.off+int64(n)
				continue
			case n > 0:
				f.buf, f.off = f.buf[n:], f.off+int64(n)
				if e == nil { // a line that is none
					continue
				}
				return e, nil
			}
		}
		if f.atOnce == 0 {
			f.atOnce = 4 << 10
		}
		b := make([]byte, len(f.buf)+f.atOnce)
		got := copy(b, f.buf)
		n, err := f.src.ReadAt(b[got:], f.off+int64(got))
		f.buf = b[:got+n]
		f.atOnce = min(2*f.atOnce, 256<<10)
		if n == 0 {
			f.buf = nil // it is read again: what was there may have been cut off
			f.atOnce = 0
			if err == nil || err == io.EOF {
				if st, e := f.f.Stat(); e == nil && f.end == nil && st.Size() < f.off {
					f.off = 0 // the file was emptied: json-file with one file
					continue
				}
				return nil, io.EOF
			}
			return nil, err
		}
	}
}

// resync is how many bytes to leave out after something that is no entry: of json-file all that
// there are, of local those up to what looks like a record.
func (f *file) resync() int {
	if f.n == 0 {
		return len(f.buf)
	}
	for i := 1; i+6 <= len(f.buf); i++ {
		if f.buf[i+4] == 'H' && f.buf[i+5] == 'L' {
			if _, _, err := logfile.ParseLocal(f.buf[i:]); err == nil {
				return i
			}
		}
	}
	return max(1, len(f.buf)-6)
}
