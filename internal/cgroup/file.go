package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read from one cgroup file. cgroup.procs of a full pid space (4
// million lines of 8 bytes) fits.
const maxFile = 64 << 20

// open opens a cgroup file. The kernel may interrupt it (EINTR): Go's own preemption signal
// does.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			if err != nil {
				return -1, &os.PathError{Op: "open", Path: path, Err: err}
			}
			return fd, nil
		}
	}
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// readFile returns the content of dir/file. A cgroup file is one record of the kernel's
// seq_file, which a single read returns whole: a read that does not fill the buffer was the
// last. That does not hold for lists of processes and for /proc: see readLong.
func readFile(dir, file string) (string, error) {
	return readUntil(dir, file, func(n, room int) bool { return n < room })
}

// readLong reads dir/file until the kernel says that it has ended.
func readLong(dir, file string) (string, error) {
	return readUntil(dir, file, func(n, room int) bool { return n == 0 })
}

func readUntil(dir, file string, last func(n, room int) bool) (string, error) {
	path := dir + "/" + file
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var small [4096]byte
	buf := small[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxFile {
				return "", &os.PathError{Op: "read", Path: path, Err: errors.New("file is larger than 64 MiB")}
			}
			buf = append(buf, 0)[:len(buf)]
		}
		room := buf[len(buf):cap(buf)]
		n, err := read(fd, room)
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		buf = buf[:len(buf)+n]
		if last(n, len(room)) {
			return string(buf), nil
		}
	}
}

// writeFile writes value into dir/file by one write(2), as cgroup files demand. The file is
// never created: a missing one is the kernel's way to say that a feature is absent.
func writeFile(dir, file, value string) error {
	path := dir + "/" + file
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	err = writeFD(fd, path, value)
	unix.Close(fd)
	return err
}

func writeFD(fd int, path, value string) error {
	for {
		n, err := unix.Write(fd, []byte(value))
		if err == unix.EINTR { // lowering a memory limit reclaims and can be interrupted
			continue
		}
		if err == nil && n != len(value) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return &os.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
}

// parseUint reads a counter. Older kernels show some unlimited values as negative numbers:
// those are 0 here, and "max" is the largest number, as in runc.
func parseUint(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	if s == "max" {
		return 1<<64 - 1, nil
	}
	if strings.HasPrefix(s, "-") {
		if _, err := strconv.ParseInt(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
			return 0, nil
		}
	}
	return strconv.ParseUint(s, 10, 64)
}

// readUint reads a file that holds one number.
func readUint(dir, file string) (uint64, error) {
	s, err := readFile(dir, file)
	if err != nil {
		return 0, err
	}
	n, err := parseUint(s)
	if err != nil {
		return 0, fmt.Errorf("parse %s/%s: %w", dir, file, err)
	}
	return n, nil
}

// eachKey calls f for every line of the form "key number". Other lines are skipped.
func eachKey(text string, f func(key string, n uint64)) {
	for line := range strings.Lines(text) {
		key, val, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			continue
		}
		if n, err := parseUint(val); err == nil {
			f(key, n)
		}
	}
}

// keyOf returns the number beside key in a file of "key number" lines.
func keyOf(text, key string) (uint64, bool) {
	var v uint64
	var found bool
	eachKey(text, func(k string, n uint64) {
		if k == key {
			v, found = n, true
		}
	})
	return v, found
}

func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

// isNoRights tells a lack of permission in the loose sense: for an ordinary user a read-only
// file system is one too.
func isNoRights(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)
}
