package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// stream is a connection that turned from HTTP into a two-way stream of bytes.
type stream struct {
	net.Conn
	r *bufio.Reader // what HTTP read ahead comes first
}

// Read is the stream's end, too, when the other side closed it with input unread: what it sent
// before has been read then (unix(7)).
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n == 0 && errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// CloseWrite tells the other side that there is no more input.
func (s *stream) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// hijack sends a call and takes its connection over.
func (c *client) hijack(ctx context.Context, q call) (*stream, error) {
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{conn, bufio.NewReaderSize(conn, 32<<10)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = req.Write(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(s.r, req)
	}
	switch {
	case err != nil:
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("opening a stream to hulld: %w", err)
	case resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode == http.StatusOK:
		return s, nil // 200 is what daemons said before the Upgrade header
	}
	defer conn.Close()
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		return nil, fmt.Errorf("unable to upgrade to tcp, received %d", resp.StatusCode)
	}
	return nil, badAnswer(resp)
}

// session joins the terminal or pipes of hull to a stream.
type session struct {
	in       io.Reader // nil: no input
	out, err io.Writer // nil: dropped
	tty      bool      // the stream is one terminal's; otherwise it has frames
	keys     []byte    // that end the session from in, with tty
	raw      func() (restore func(), err error)
}

// start runs the session in the background.
func (s *session) start(ctx context.Context, conn *stream) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.run(ctx, conn) }()
	return done
}

// run copies both ways until the output ends, the user types the detach keys, or ctx ends. When
// input ends, the other side is told, and output goes on.
func (s *session) run(ctx context.Context, conn *stream) error {
	restore := func() {}
	if s.in != nil && s.tty && s.raw != nil {
		var err error
		if restore, err = s.raw(); err != nil {
			return fmt.Errorf("unable to set IO streams as raw terminal: %w", err)
		}
	}
	defer restore()
	output := make(chan error, 1)
	if s.out != nil || s.err != nil {
		go func() {
			var err error
			if s.tty {
				_, err = io.Copy(s.out, conn)
				restore() // what is printed from now on is hull's own
			} else {
				err = demux(s.out, s.err, conn)
			}
			output <- err
		}()
	}
	input := make(chan error, 1)
	go func() {
		var err error
		if s.in != nil {
			in := s.in
			if s.tty {
				in = &detachReader{r: in, keys: s.keys}
			}
			_, err = io.Copy(conn.Conn, in)
		}
		if errors.Is(err, errDetached) {
			input <- err
			return
		}
		_ = conn.CloseWrite() // an error of writing shows on the reading side, too
		input <- nil
	}()
	for {
		select {
		case err := <-output:
			return err
		case err := <-input:
			if err != nil || s.out == nil && s.err == nil {
				return err
			}
			input = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errDetached is that the user typed the detach keys.
var errDetached = errors.New("read escape sequence")

// detachReader passes input on until the detach keys come. Keys that begin the sequence are held
// back until it is clear that it is not one.
type detachReader struct {
	r    io.Reader
	keys []byte
	seen int    // keys of the sequence that were read
	left []byte // read, not yet given out
	err  error
}

func (d *detachReader) Read(p []byte) (int, error) {
	for len(d.left) == 0 && d.err == nil {
		buf := make([]byte, max(len(p)-len(d.keys), 1))
		n, err := d.r.Read(buf)
		d.err = err
		for _, b := range buf[:n] {
			if len(d.keys) > 0 && b == d.keys[d.seen] {
				if d.seen++; d.seen == len(d.keys) {
					d.err = errDetached
					break
				}
				continue
			}
			d.left = append(d.left, d.keys[:d.seen]...)
			d.seen = 0
			if len(d.keys) > 0 && b == d.keys[0] && len(d.keys) > 1 {
				d.seen = 1
				continue
			}
			d.left = append(d.left, b)
		}
		if err != nil && !errors.Is(d.err, errDetached) {
			d.left = append(d.left, d.keys[:d.seen]...)
			d.seen = 0
		}
	}
	n := copy(p, d.left)
	d.left = d.left[n:]
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}
