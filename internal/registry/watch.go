package registry

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// watched is a response's body that ends with an error when it stalls: no byte for Limits.Idle, or less than
// Limits.MinRate over a window of the same length. Only the time in which it is waited for counts, not that which its reader takes.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	l      *Limits

	blocked time.Duration // in Read, in this window
	got     int64         // bytes, in this window
}

func newWatched(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, l *Limits) *watched {
	return &watched{body: body, ctx: ctx, cancel: cancel, l: l}
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.l.Idle, func() { w.cancel(stallError("sent nothing for " + w.l.Idle.String())) })
	start := time.Now()
	n, err := w.body.Read(p)
	timer.Stop()
	w.blocked += time.Since(start)
	w.got += int64(n)
	if w.blocked >= w.l.Idle {
		if rate := float64(w.got) / w.blocked.Seconds(); rate < float64(w.l.MinRate) && err == nil {
			w.cancel(stallError(fmt.Sprintf("sends %.0f bytes a second, less than %d", rate, w.l.MinRate)))
		}
		w.blocked, w.got = 0, 0
	}
	if err == nil && n == 0 || err != nil && err != io.EOF {
		if cause := context.Cause(w.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	err := w.body.Close()
	w.cancel(nil)
	return err
}

// upload is a request's body. It keeps the request's timer from running out as long as the registry takes bytes, and gives it
// time to commit after the last.
type upload struct {
	io.ReadCloser
	timer        *time.Timer
	idle, commit time.Duration
	left         int64
	answered     atomic.Bool // the timer is no more: net/http may read on after an early answer
}

// sourceError is an error of what is being sent, which no further try will mend.
type sourceError struct{ err error }

func (e sourceError) Error() string { return e.err.Error() }
func (e sourceError) Unwrap() error { return e.err }

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	u.left -= int64(n)
	switch {
	case err == io.EOF && u.left > 0:
		err = sourceError{fmt.Errorf("it ends %d bytes early: %w", u.left, io.ErrUnexpectedEOF)}
	case err != nil && err != io.EOF:
		err = sourceError{err}
	}
	switch {
	case u.answered.Load():
	case u.left <= 0:
		u.timer.Reset(u.commit)
	default:
		u.timer.Reset(u.idle)
	}
	return n, err
}
