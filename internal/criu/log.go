package criu

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	maxLogTail  = 256 << 10 // what is looked at, from the end
	maxLogLines = 4         // errors quoted
	maxLogLine  = 300       // bytes of each
)

// LogErrors returns the last lines of a log of criu's that tell of errors, the newest last, as
// they are to be printed; empty when there are none, or no log. dir is the descriptor of the
// directory that the log is in.
func LogErrors(dir int, name string) []string {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil
	}
	b := make([]byte, min(st.Size(), maxLogTail))
	n, err := f.ReadAt(b, st.Size()-int64(len(b)))
	if err != nil && err != io.EOF {
		return nil
	}
	return errorLines(b[:n])
}

// errorLines finds lines like "(00.009220) Error (criu/vdso.c:381): vdso: Unexpected …", of criu
// itself, and "(00.040210)      1: Error (criu/mount.c:2517): …", of process 1 that it restores.
func errorLines(log []byte) []string {
	var out []string
	for len(log) > 0 {
		line, rest, _ := bytes.Cut(log, []byte("\n"))
		log = rest
		_, text, ok := bytes.Cut(line, []byte(" Error ("))
		if !ok || line[0] != '(' {
			continue
		}
		if len(out) == maxLogLines {
			out = append(out[:0], out[1:]...)
		}
		out = append(out, printable(append([]byte{'('}, bytes.TrimSpace(text)...)))
	}
	return out
}

// printable replaces what could drive a terminal, or end a line; the container chooses names.
func printable(b []byte) string {
	cut := len(b) > maxLogLine
	if cut {
		b = b[:maxLogLine]
	}
	s := make([]byte, 0, len(b))
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			c = '?'
		}
		s = append(s, c)
	}
	if cut {
		s = append(s, "..."...)
	}
	return string(s)
}
