package logfile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// file appends entries to a file, as many as there are with one write(2).
type file struct {
	fd      int
	size    int64
	buf     []byte // whole entries
	entries uint64 // in buf
	fail    func(uint64, error)
}

const maxBuffered = 64 << 10 // bytes of entries that one write takes

func (f *file) open(name string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("open %s: %w", name, err)
	}
	f.fd, f.size = fd, st.Size
	return nil
}

// reopen goes on with another file, or with the one it has when that cannot be opened.
func (f *file) reopen(name string) {
	old := f.fd
	if err := f.open(name); err != nil {
		f.fail(0, err)
		return
	}
	unix.Close(old)
}

// entry says that another entry is in the buffer.
func (f *file) entry() {
	f.entries++
	if len(f.buf) >= maxBuffered {
		f.flush()
	}
}

// flush writes what is in the buffer. What does not fit on the disk is lost as a whole: half an
// entry would spoil the next one.
func (f *file) flush() {
	if len(f.buf) == 0 {
		return
	}
	for off := 0; off < len(f.buf); {
		n, err := unix.Write(f.fd, f.buf[off:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			f.fail(f.entries, fmt.Errorf("write to the log: %w", err))
			if off > 0 {
				unix.Ftruncate(f.fd, f.size)
			}
			off = -1
			break
		}
		if off += n; off == len(f.buf) {
			f.size += int64(off)
		}
	}
	f.entries = 0
	if cap(f.buf) > 4<<10 {
		f.buf = nil
	} else {
		f.buf = f.buf[:0]
	}
}

func (f *file) close() { unix.Close(f.fd) }
