package logfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// journalSocket is where systemd-journald takes messages (its native protocol).
const journalSocket = "/run/systemd/journal/socket"

// journald sends entries to the journal with the fields of Docker's driver.
type journald struct {
	sender
	fields []byte
	buf    []byte
}

func openJournald(c Config, fail func(uint64, error)) (driver, error) {
	return openJournal(journalSocket, c, fail)
}

func openJournal(socket string, c Config, fail func(uint64, error)) (driver, error) {
	d := &journald{}
	d.fail, d.fd = fail, -1
	d.dial = func() (int, error) {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, os.NewSyscallError("socket", err)
		}
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			unix.Close(fd)
			return -1, os.NewSyscallError("connect", err)
		}
		return fd, nil
	}
	for _, f := range c.Fields {
		name, value, ok := strings.Cut(f, "=")
		if !ok || !fieldName(name) {
			return nil, fmt.Errorf("%q is not a field of the journal", f)
		}
		d.fields = appendField(d.fields, name, []byte(value))
	}
	if err := d.connect(); err != nil {
		return nil, fmt.Errorf("journald is not available on this host: %w", err)
	}
	if c.Buffer > 0 {
		return d, nil
	}
	return newBuffer(d, DefaultBuffer, fail), nil
}

// fieldName says whether the journal takes a name: capital letters, digits and underscores, not
// beginning with one of the latter two.
func fieldName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'A' && c <= 'Z' || i > 0 && (c == '_' || c >= '0' && c <= '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// appendField appends a field; one with a newline in it has its length before it.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		b = append(b, '=')
	} else {
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	}
	b = append(b, value...)
	return append(b, '\n')
}

func (d *journald) add(e *Entry) {
	b := append(d.buf[:0], d.fields...)
	if e.Stream == 2 {
		b = append(b, "PRIORITY=3\n"...)
	} else {
		b = append(b, "PRIORITY=6\n"...)
	}
	b = appendField(b, "SYSLOG_TIMESTAMP", e.Time.UTC().AppendFormat(nil, time.RFC3339Nano))
	if e.Partial.ID != 0 {
		if !e.Partial.Last {
			b = append(b, "CONTAINER_PARTIAL_MESSAGE=true\n"...)
		}
		b = append(b, "CONTAINER_PARTIAL_ID="...)
		b = strconv.AppendUint(b, e.Partial.ID, 16)
		b = append(b, "\nCONTAINER_PARTIAL_ORDINAL="...)
		b = strconv.AppendInt(b, int64(e.Partial.Ordinal), 10)
		b = append(b, "\nCONTAINER_PARTIAL_LAST="...)
		b = append(strconv.AppendBool(b, e.Partial.Last), '\n')
	}
	d.buf = appendField(b, "MESSAGE", e.Line)
	d.send(d.buf)
}
