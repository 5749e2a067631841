package image

import (
	"fmt"
	"io"
	"syscall"
)

const (
	// reserve is what a blob that comes in leaves of the disk, in bytes: package unpack leaves as
	// much. The database, and whoever else uses the disk, go on.
	reserve = 32 << 20
	// lookEvery is how many bytes come in between two looks at the free space. The layers of a
	// pull together stay below the reserve with it.
	lookEvery = 4 << 20
)

// room is a writer to the content store that fails before the disk is full.
type room struct {
	w    io.Writer
	free func() (int64, error)
	left int64 // bytes until the next look
}

// room is w with the bound of Options.Free.
func (s *Store) room(w io.Writer) io.Writer {
	if s.opts.Free == nil {
		return w
	}
	return &room{w: w, free: s.opts.Free}
}

func (r *room) Write(p []byte) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		free, err := r.free()
		if err != nil {
			return 0, fmt.Errorf("looking at the free space: %w", err)
		}
		if free < reserve+int64(len(p)) {
			return 0, fmt.Errorf("%d MiB are free, and %d MiB are left untouched: %w", free>>20, reserve>>20, syscall.ENOSPC)
		}
		r.left = lookEvery
	}
	return r.w.Write(p)
}
