package keel

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hull-dev/hull/internal/ocispec"
)

// logger writes records to the --log file, which is opened only when there is one to write.
// Without a file, warnings and debug messages go to stderr.
type logger struct {
	file  string
	json  bool
	debug bool
}

// fail tells the user and the log of an error, and returns the exit status.
func (l *logger) fail(err error, code int) int {
	fmt.Fprintln(os.Stderr, "keel: "+err.Error())
	if l.file != "" {
		l.write("error", err.Error())
	}
	return code
}

// write appends one record, of level debug, warning or error.
func (l *logger) write(level, msg string) {
	if level == "debug" && !l.debug {
		return
	}
	if l.file == "" {
		fmt.Fprintln(os.Stderr, "keel: "+level+": "+msg)
		return
	}
	f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		defer f.Close()
		_, err = f.Write(l.record(level, msg, time.Now()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keel: write the log: "+err.Error())
	}
}

// record is a line as logrus writes it, which containerd, docker and podman parse.
func (l *logger) record(level, msg string, now time.Time) []byte {
	stamp := now.Format(time.RFC3339)
	if !l.json {
		return []byte("time=" + strconv.Quote(stamp) + " level=" + level + " msg=" + strconv.Quote(msg) + "\n")
	}
	w := ocispec.Writer{}
	w.Open('{')
	w.Name("level")
	w.String(level)
	w.Name("msg")
	w.String(msg)
	w.Name("time")
	w.String(stamp)
	w.Close('}')
	return append(w.B, '\n')
}
