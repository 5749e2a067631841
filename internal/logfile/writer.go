package logfile

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// Writer is the log of one container. Its methods may be called from one goroutine at a time,
// but for those that say otherwise.
type Writer struct {
	drv   driver
	now   func() time.Time
	lines uint64 // numbers the lines that come in pieces

	mu   sync.Mutex // of what follows: a buffered driver works on its own
	lost uint64
	err  error
}

// driver is one way to keep entries. Entries that were added are where they belong after flush.
type driver interface {
	add(e *Entry)
	flush()
	close()
}

// Open makes the writer that c describes. A destination that cannot be reached is an error only
// here: later it is waited for, or its entries are lost.
func Open(c Config) (*Writer, error) {
	w := &Writer{now: time.Now}
	var err error
	switch c.Driver {
	case "", DriverNone:
		w.drv = none{}
	case DriverLocal:
		w.drv, err = openLocal(c, w.fail)
	case DriverJSONFile:
		w.drv, err = openJSONFile(c, w.fail)
	case DriverJournald:
		w.drv, err = openJournald(c, w.fail)
	case DriverSyslog:
		w.drv, err = openSyslog(c, w.fail)
	default:
		err = fmt.Errorf("there is no log driver %q", c.Driver)
	}
	if err != nil {
		return nil, fmt.Errorf("open the container's log: %w", err)
	}
	if c.Buffer > 0 && c.Driver != "" && c.Driver != DriverNone {
		w.drv = newBuffer(w.drv, c.Buffer, w.fail)
	}
	return w, nil
}

// fail counts entries that are lost. It may be called from any goroutine.
func (w *Writer) fail(entries uint64, err error) {
	w.mu.Lock()
	w.lost += entries
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
}

// Lost is how many entries could not be written, and the first reason. It may be called from any
// goroutine.
func (w *Writer) Lost() (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost, w.err
}

// Close writes what is left and closes the log. Streams are closed before it.
func (w *Writer) Close() {
	w.drv.flush()
	w.drv.close()
}

// None tells whether nothing is kept.
func (w *Writer) None() bool {
	_, ok := w.drv.(none)
	return ok
}

// Stream cuts one stream of output into entries, as Docker's copier does: an entry for each
// line; a line of more than MaxLine bytes comes in pieces, with the time of the first; what is
// left at the end without a newline is a piece that is not the last.
type Stream struct {
	w    *Writer
	e    Entry  // of the line that is coming in
	rest []byte // of that line, what is not in an entry yet
}

// Stream begins a stream: 1 for standard output, 2 for standard error.
func (w *Writer) Stream(n byte) *Stream { return &Stream{w: w, e: Entry{Stream: n}} }

// Write takes bytes of the stream.
func (s *Stream) Write(p []byte) {
	if s.w.None() {
		return
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i >= 0 && len(s.rest)+i < MaxLine {
			s.line(p[:i])
			p = p[i+1:]
			continue
		}
		room := MaxLine - len(s.rest)
		if len(p) < room { // the line goes on
			s.rest = append(s.rest, p...)
			break
		}
		s.piece(p[:room])
		p = p[room:]
	}
	s.w.drv.flush()
}

// line ends the line that is coming in.
func (s *Stream) line(p []byte) {
	e := &s.e
	if e.Partial.ID != 0 {
		e.Partial.Ordinal++
		e.Partial.Last = true
	} else {
		e.Time = s.w.now()
	}
	s.add(p)
	e.Partial = Partial{}
	if cap(s.rest) > 1024 {
		s.rest = nil // a shim keeps no memory that it needs now and then
	}
}

// piece is a part of a line.
func (s *Stream) piece(p []byte) {
	e := &s.e
	if e.Partial.ID == 0 {
		s.w.lines++
		e.Time = s.w.now()
		e.Partial.ID = s.w.lines
	}
	e.Partial.Ordinal++
	s.add(p)
}

// add hands over an entry of the rest and p.
func (s *Stream) add(p []byte) {
	s.e.Line = p
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		s.e.Line = s.rest
	}
	s.w.drv.add(&s.e)
	s.e.Line, s.rest = nil, s.rest[:0]
}

// Close takes the end of the stream.
func (s *Stream) Close() {
	if len(s.rest) > 0 {
		s.piece(nil)
		s.w.drv.flush()
	}
	s.rest = nil
}

type none struct{}

func (none) add(*Entry) {}
func (none) flush()     {}
func (none) close()     {}
