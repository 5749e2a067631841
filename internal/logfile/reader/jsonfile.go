package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/hull-dev/hull/internal/logfile"
)

type jsonChain struct{ c logfile.Config }

func (l *jsonChain) name(n int) string {
	if n == 0 {
		return l.c.Dir + "/" + l.c.Name
	}
	return l.c.Dir + "/" + l.c.Name + "." + strconv.Itoa(n)
}

// open opens all files while the writer cannot rename them.
func (l *jsonChain) open() ([]*file, error) {
	unlock, err := logfile.Lock(l.c.Dir, l.c.Name, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var list []*file
	for n := max(1, l.c.MaxFiles) - 1; n >= 0; n-- {
		f, err := l.openFile(n)
		if err != nil {
			for _, f := range list {
				f.close()
			}
			return nil, err
		}
		if f != nil {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	return list, nil
}

// openFile opens the nth file; nil when there is none.
func (l *jsonChain) openFile(n int) (*file, error) {
	f, err := os.Open(l.name(n))
	if err == nil {
		return &file{f: f, src: f, inode: inodeOf(f), next: nextJSON}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	f, err = os.Open(l.name(n) + ".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &file{f: f, next: nextJSON}
	return out, out.gunzip()
}

func inodeOf(f *os.File) uint64 {
	if st, err := f.Stat(); err == nil {
		return st.Sys().(*syscall.Stat_t).Ino
	}
	return 0
}

func (l *jsonChain) next(f *file) (*file, error) {
	if l.current(f) {
		return nil, nil
	}
	unlock, err := logfile.Lock(l.c.Dir, l.c.Name, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l.current(f) {
		return nil, nil
	}
	if _, err := os.Lstat(l.name(0)); err != nil {
		return nil, nil // between two names
	}
	// f is one of the older ones, maybe compressed since; the next is the one before it in the list.
	for n := 1; n < l.c.MaxFiles; n++ {
		c, err := l.openFile(n)
		if err != nil {
			return nil, err
		}
		same := c.same(f)
		c.close()
		if same {
			return l.openFile(n - 1)
		}
	}
	for n := max(1, l.c.MaxFiles) - 1; n >= 0; n-- { // it is deleted: go on with the oldest
		if next, err := l.openFile(n); err != nil || next != nil {
			return next, err
		}
	}
	return nil, nil
}

// current tells whether f is the file that is being written.
func (l *jsonChain) current(f *file) bool {
	st, err := os.Lstat(l.name(0))
	return err == nil && f.inode != 0 && st.Sys().(*syscall.Stat_t).Ino == f.inode
}

// same tells whether two open files are one, or one is made from the other. Numbers of inodes
// count only for files that are open: a compressed file's is taken by another one soon. There the
// first line tells, which has a time in nanoseconds.
func (f *file) same(other *file) bool {
	if f == nil {
		return false
	}
	if f.inode != 0 && other.inode != 0 {
		return f.inode == other.inode
	}
	a, b := f.firstLine(), other.firstLine()
	return len(a) > 0 && bytes.Equal(a, b)
}

func (f *file) firstLine() []byte {
	var b []byte
	for size := 4 << 10; size <= maxEntry; size *= 4 {
		b = make([]byte, size)
		n, _ := f.src.ReadAt(b, 0)
		b = b[:n]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return b[:i]
		}
	}
	return nil
}

// line is a line of the file.
type line struct {
	Log    string          `json:"log"`
	Stream string          `json:"stream"`
	Attrs  json.RawMessage `json:"attrs"`
	Time   time.Time       `json:"time"`
}

func nextJSON(b []byte) (*Entry, int, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, 0, nil
	}
	var l line
	if i > maxEntry || json.Unmarshal(b[:i], &l) != nil || l.Time.IsZero() {
		return nil, i + 1, nil
	}
	e := &Entry{Attrs: l.Attrs}
	e.Time, e.Line, e.Stream = l.Time, []byte(l.Log), 1
	if l.Stream == "stderr" {
		e.Stream = 2
	}
	if len(l.Log) == 0 || l.Log[len(l.Log)-1] != '\n' {
		e.Partial = logfile.Partial{ID: 1, Ordinal: 1} // which piece of which line, the file does not say
	}
	return e, i + 1, nil
}
