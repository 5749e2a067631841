package userdb

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/hull-dev/hull/internal/linux"
	"golang.org/x/sys/unix"
)

const (
	maxFile = 16 << 20 // bytes read of one file
	maxLine = 1 << 20  // bytes of one line: a group of 50,000 members has 500 KB
)

// file is a passwd or group file that is read line by line.
type file struct {
	fd    int // -1: the file is not there
	name  string
	buf   []byte
	start int // of what is not yet given out in buf
	total int // bytes read
	end   bool
}

// openFile opens a file of the container, name relative to its root.
func openFile(root int, name string) (*file, error) {
	fd, err := openRegular(root, name)
	if err == unix.ENOENT {
		return &file{fd: -1, name: name, end: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s in the container: %w", name, err)
	}
	return &file{fd: fd, name: name}, nil
}

// openRegular opens a regular file below root for reading. The file is looked at through an O_PATH descriptor, and only
// then opened, as the same inode, through procfs: opening a device can start it, opening a FIFO can wait.
func openRegular(root int, name string) (int, error) {
	// RESOLVE_IN_ROOT refuses magic links as well today, but openat2(2) does not promise it.
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	path, err := linux.Resolve(root, name, &how)
	if err != nil {
		if err == unix.ENOENT && isLink(root, name) {
			return -1, errors.New("a symbolic link that leads to nothing within the container")
		}
		return -1, err
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return -1, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return -1, errors.New("not a regular file")
	case st.Size > maxFile:
		return -1, errTooLarge
	}
	for {
		fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// isLink says whether name itself is a symbolic link.
func isLink(root int, name string) bool {
	fd, err := linux.Resolve(root, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

var (
	errTooLarge = errors.New("larger than 16 MiB")
	errLongLine = errors.New("a line is longer than 1 MiB")
)

func (f *file) close() {
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
}

// next is the next line without its line feed, valid until the next call; ok is false at the end.
func (f *file) next() (line []byte, ok bool, err error) {
	seen := f.start // no line feed before it
	for {
		if i := bytes.IndexByte(f.buf[seen:], '\n'); i >= 0 {
			line = f.buf[f.start : seen+i]
			f.start = seen + i + 1
			return line, true, nil
		}
		if f.end {
			line, f.start = f.buf[f.start:], len(f.buf)
			return line, len(line) > 0, nil
		}
		seen = len(f.buf) - f.start
		if err := f.fill(); err != nil {
			return nil, false, fmt.Errorf("read %s in the container: %w", f.name, err)
		}
	}
}

// fill moves the unfinished line to the front of the buffer and reads more behind it.
func (f *file) fill() error {
	n := copy(f.buf, f.buf[f.start:])
	f.buf, f.start = f.buf[:n], 0
	switch {
	case n > maxLine:
		return errLongLine
	case n == cap(f.buf):
		f.buf = append(make([]byte, 0, max(8192, 2*n)), f.buf...)
	}
	for {
		got, err := unix.Read(f.fd, f.buf[n:cap(f.buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		f.buf = f.buf[:n+got]
		f.end = got == 0
		if f.total += got; f.total > maxFile {
			return errTooLarge
		}
		return nil
	}
}
