package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A stream without a terminal carries frames:
//
//	byte 0      1 2 3   4 5 6 7            8 …
//	     kind   zero    length, big end    payload
//
// The kind is 0 (input echoed) or 1 for standard output, 2 for standard error, and 3 for an
// error of the daemon itself.
const (
	frameHeader   = 8
	maxFrameError = 64 << 10 // bytes of a daemon's error that are shown
)

// demux splits a stream of frames; a nil writer drops its part.
func demux(out, errOut io.Writer, r io.Reader) error {
	var header [frameHeader]byte
	buf := make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(r, header[:])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("the stream of hulld broke off in the head of a frame after %d bytes: %w", n, err)
		}
		length := int64(binary.BigEndian.Uint32(header[4:]))
		var w io.Writer
		switch header[0] {
		case 0, 1:
			w = out
		case 2:
			w = errOut
		case 3:
			text, err := io.ReadAll(io.LimitReader(r, min(length, maxFrameError)))
			if err != nil {
				return err
			}
			return errors.New("error from daemon in stream: " + string(text))
		default:
			return fmt.Errorf("unrecognized input header: %d", header[0])
		}
		if w == nil {
			w = io.Discard
		}
		written, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(r, length), buf)
		if err != nil {
			return err
		}
		if written < length {
			return fmt.Errorf("the stream of hulld broke off %d bytes before the end of a frame: %w", length-written, io.ErrUnexpectedEOF)
		}
	}
}
