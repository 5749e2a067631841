package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// jsonFile is Docker's json-file driver: one JSON object a line.
//
//	{"log":"hello\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.678901234Z"}
//
// A full file becomes NAME.1, NAME.1 becomes NAME.2 and so on, and so do those that were
// compressed (NAME.1.gz). Who compresses them, in hulld, holds a lock on NAME.lock while names
// change (see [Lock]); who cannot get it goes on with the full file.
type jsonFile struct {
	file
	c     Config
	attrs []byte
}

func openJSONFile(c Config, fail func(uint64, error)) (*jsonFile, error) {
	d := &jsonFile{c: c, file: file{fail: fail}}
	if len(c.Attrs) > 0 && string(c.Attrs) != "{}" {
		d.attrs = append([]byte(`,"attrs":`), c.Attrs...)
	}
	return d, d.open(d.name(0))
}

// name is the nth file's, 0 is the current one's.
func (d *jsonFile) name(n int) string {
	if n == 0 {
		return d.c.Dir + "/" + d.c.Name
	}
	return d.c.Dir + "/" + d.c.Name + "." + strconv.Itoa(n)
}

func (d *jsonFile) add(e *Entry) {
	if d.c.MaxSize > 0 && d.size+int64(len(d.buf)) >= d.c.MaxSize {
		d.flush()
		d.rotate()
	}
	b := append(d.buf, `{"log":"`...)
	b = appendEscaped(b, e.Line)
	if e.Partial.ID == 0 || e.Partial.Last {
		b = append(b, `\n`...)
	}
	b = append(b, `","stream":"`...)
	b = append(b, streamName(e.Stream)...)
	b = append(b, '"')
	b = append(b, d.attrs...)
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	d.buf = append(b, "\"}\n"...)
	d.entry()
}

func streamName(n byte) string {
	if n == 2 {
		return "stderr"
	}
	return "stdout"
}

// overdue is by how much a file may be larger than it should, in bytes, because somebody holds
// the lock on its name.
const overdue = 1 << 20

// rotate begins a new file.
func (d *jsonFile) rotate() {
	if d.c.MaxFiles < 2 { // Docker begins the file anew
		if err := unix.Ftruncate(d.fd, 0); err != nil {
			d.fail(0, fmt.Errorf("empty the log %s: %w", d.name(0), err))
			return
		}
		d.size = 0
		return
	}
	unlock, err := Lock(d.c.Dir, d.c.Name, false)
	if err == nil {
		defer unlock()
	} else if d.size < d.c.MaxSize+overdue {
		return
	}
	unix.Unlink(d.name(d.c.MaxFiles - 1))
	unix.Unlink(d.name(d.c.MaxFiles-1) + ".gz")
	for n := d.c.MaxFiles - 2; n >= 0; n-- {
		for _, kind := range [...]string{"", ".gz"} {
			if n == 0 && kind != "" {
				continue
			}
			if err := os.Rename(d.name(n)+kind, d.name(n+1)+kind); err != nil && !errors.Is(err, fs.ErrNotExist) {
				d.fail(0, fmt.Errorf("rotate the log: %w", err))
				return
			}
		}
	}
	d.reopen(d.name(0))
}

// Lock takes the lock on the names of a json-file log. Without wait the error is unix.EAGAIN when
// somebody has it.
func Lock(dir, name string, wait bool) (unlock func(), err error) {
	fd, err := unix.Open(dir+"/"+name+".lock", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		if err = unix.Flock(fd, how); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// appendEscaped appends the inside of a JSON string, with Docker's escapes.
func appendEscaped(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '\\' && c != '"' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '\\', '"':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + 1
		} else if r == '\u2028' || r == '\u2029' {
			b = append(append(b, s[start:i]...), '\\', 'u', '2', '0', '2', hex[r&15])
			start = i + size
		}
		i += size
	}
	return append(b, s[start:]...)
}
