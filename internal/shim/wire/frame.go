package wire

import (
	"encoding/binary"
	"fmt"
)

// A stream socket carries a process's output as packets of Docker's multiplexed format, which
// are handed to Docker's clients as they are, and its input as packets of plain bytes. The end
// of a direction is a shutdown(2).
//
//	┌────────┬─────────┬──────────────────┬───────────┐
//	│ stream │ 0  0  0 │ length, 4 bytes  │ payload   │   big endian; one frame a packet
//	└────────┴─────────┴──────────────────┴───────────┘
const (
	FrameHead = 8
	// MaxFrame is the longest payload in bytes, of either direction.
	MaxFrame = 32 << 10

	Stdout = 1
	Stderr = 2
	Notice = 3 // text of the shim's: why the stream ends here
)

// PutFrame writes the head of a frame into b.
func PutFrame(b []byte, stream byte, length int) {
	b[0], b[1], b[2], b[3] = stream, 0, 0, 0
	binary.BigEndian.PutUint32(b[4:], uint32(length))
}

// ParseFrame takes a frame apart. The payload is part of b.
func ParseFrame(b []byte) (stream byte, payload []byte, err error) {
	if len(b) < FrameHead || len(b) > FrameHead+MaxFrame || b[1]|b[2]|b[3] != 0 || b[0] < Stdout || b[0] > Notice || int64(binary.BigEndian.Uint32(b[4:])) != int64(len(b)-FrameHead) {
		return 0, nil, fmt.Errorf("a frame of %d bytes that is not as the protocol has it", len(b))
	}
	return b[0], b[FrameHead:], nil
}

// FrameLength is how long the first of several frames is, its head included.
func FrameLength(b []byte) int {
	return min(len(b), FrameHead+int(binary.BigEndian.Uint32(b[4:])))
}
