package shim

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/hull-dev/hull/internal/shim/wire"
	"golang.org/x/sys/unix"
)

// Stream is an attached client's end of a process's input and output. One goroutine may read
// while another writes.
type Stream struct {
	f    *os.File
	want uint8
	once sync.Once
}

func newStream(fd int, want uint8) *Stream {
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, StreamBuffer)
	return &Stream{f: os.NewFile(uintptr(fd), "stream"), want: want}
}

// packetRoom is as long as a packet may be.
const packetRoom = wire.FrameHead + wire.MaxFrame

// frame reads the next frame into buf, of packetRoom bytes. The error is io.EOF at the end.
func (t *Stream) frame(buf []byte) ([]byte, error) {
	n, err := t.f.Read(buf)
	if err != nil {
		if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
			err = io.EOF
		}
		return nil, err
	}
	return buf[:n], nil
}

// Next reads a piece of the output: 1 is standard output and a terminal, 2 standard error, 3 the
// shim's notice that this client is cut off. The data is part of buf, which must have room for
// 40 KiB. The error is io.EOF at the end.
func (t *Stream) Next(buf []byte) (stream byte, data []byte, err error) {
	b, err := t.frame(buf)
	if err != nil {
		return 0, nil, err
	}
	return wire.ParseFrame(b)
}

// WriteTo copies the output to w in the format of Docker's multiplexed streams: a head of 8 bytes
// before each piece.
func (t *Stream) WriteTo(w io.Writer) (n int64, err error) {
	buf := make([]byte, packetRoom)
	for {
		b, err := t.frame(buf)
		if err == io.EOF {
			return n, nil
		}
		if err == nil {
			_, _, err = wire.ParseFrame(b)
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// Write gives the process input.
func (t *Stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		m, err := t.f.Write(p[:min(len(p), wire.MaxFrame)])
		n += m
		if err != nil {
			if errors.Is(err, unix.EPIPE) {
				err = io.ErrClosedPipe
			}
			return n, err
		}
		p = p[m:]
	}
	return n, nil
}

// CloseWrite ends the input that this client gives.
func (t *Stream) CloseWrite() error {
	raw, err := t.f.SyscallConn()
	if err != nil {
		return err
	}
	var e error
	if err := raw.Control(func(fd uintptr) { e = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	return e
}

// Close leaves. The process goes on; its input ends if it takes but one client's.
func (t *Stream) Close() (err error) {
	t.once.Do(func() { err = t.f.Close() })
	return err
}

// ErrCutOff says that a client was cut off because it did not read.
var ErrCutOff = errors.New("the output was cut off because it was not read fast enough")

// Copy copies stdin to the process and its output to the writers, until the output ends, a
// writer fails or ctx is done. It does not wait for stdin: a Read of it may go on afterwards.
func (t *Stream) Copy(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	stop := context.AfterFunc(ctx, func() { t.Close() })
	defer stop()
	if stdin != nil {
		go func() {
			_, err := io.Copy(t, stdin)
			if err == nil {
				_ = t.CloseWrite()
			}
		}()
	}
	if t.want&(wire.WantStdout|wire.WantStderr) == 0 {
		stdout, stderr = io.Discard, io.Discard
	}
	buf := make([]byte, packetRoom)
	for {
		kind, data, err := t.Next(buf)
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		w := stdout
		switch kind {
		case wire.Stderr:
			w = stderr
		case wire.Notice:
			return ErrCutOff
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
}
