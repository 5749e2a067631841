package ocispec

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxConfigSize is the most bytes that [ReadFile] reads (SECURITY.md R10). A config.json with Docker's seccomp profile
// has 20 KB.
const MaxConfigSize = 16 << 20

// ReadFile reads a document of at most [MaxConfigSize] bytes from a regular file. name is relative to the directory
// dirfd, which may be unix.AT_FDCWD. The file may be a symbolic link: a bundle is the caller's, not the container's.
// Opening does not block on a FIFO and starts nothing on a device.
func ReadFile(dirfd int, name string) ([]byte, error) {
	b, err := readFile(dirfd, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

func readFile(dirfd int, name string) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("not a regular file")
	}
	if st.Size > MaxConfigSize {
		return nil, errTooLarge
	}
	// One byte more than the size, to see the end in the same call; files of procfs and pipes into /dev/fd say 0.
	b := make([]byte, 0, max(int(st.Size)+1, 4096))
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, b[len(b):cap(b)]) })
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return b, nil
		case len(b)+n > MaxConfigSize:
			return nil, errTooLarge
		}
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

var errTooLarge = errors.New("larger than 16 MiB")

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}
