package erofs

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Image is a finished image in a file.
type Image interface {
	io.ReaderAt
	io.WriterAt
}

// SetRoot gives the root directory of a finished image another mode (its permissions), owner and time. Its
// extended attributes stay.
func SetRoot(f Image, size int64, m Meta) error {
	if _, err := Inspect(f, size); err != nil {
		return fmt.Errorf("changing the root of an EROFS image: %w", err)
	}
	block := make([]byte, blockSize)
	if _, err := f.ReadAt(block, 0); err != nil {
		return fmt.Errorf("changing the root of an EROFS image: %w", err)
	}
	le := binary.LittleEndian
	in := block[rootOffset : rootOffset+inodeSize]
	le.PutUint16(in[4:], uint16(uint32(le.Uint16(in[4:]))&^0o7777|m.Mode&0o7777))
	le.PutUint32(in[24:], m.UID)
	le.PutUint32(in[28:], m.GID)
	le.PutUint64(in[32:], uint64(m.Sec))
	le.PutUint32(in[40:], m.Nsec)
	// The checksum covers the root's inode too, with its own field as zero.
	le.PutUint32(block[superOffset+4:], 0)
	le.PutUint32(block[superOffset+4:], checksum(block))
	if _, err := f.WriteAt(block, 0); err != nil {
		return fmt.Errorf("changing the root of an EROFS image: %w", err)
	}
	return nil
}
