package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hull-dev/hull/internal/logfile"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxPlain bounds what a compressed file of a log may unpack to, in bytes.
const maxPlain = 4 << 30

// unpacked reads a compressed file. A place before the last one makes it begin anew.
type unpacked struct {
	f    *os.File
	open func(io.Reader) (io.ReadCloser, error)
	r    io.ReadCloser
	pos  int64
}

func (u *unpacked) ReadAt(b []byte, off int64) (n int, err error) {
	if off > maxPlain {
		return 0, errors.New("a compressed log of more than 4 GiB")
	}
	if u.r == nil || off < u.pos {
		u.close()
		if _, err := u.f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		if u.r, err = u.open(u.f); err != nil {
			return 0, fmt.Errorf("%s: %w", u.f.Name(), err)
		}
	}
	if off > u.pos {
		m, err := io.CopyN(io.Discard, u.r, off-u.pos)
		u.pos += m
		if err != nil {
			return 0, err
		}
	}
	n, err = io.ReadFull(u.r, b)
	u.pos += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

func (u *unpacked) close() {
	if u.r != nil {
		u.r.Close()
	}
	u.r, u.pos = nil, 0
}

func (f *file) gunzip() error {
	return f.unpack(func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) })
}

func (f *file) unzstd() error {
	return f.unpack(func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	})
}

func (f *file) unpack(open func(io.Reader) (io.ReadCloser, error)) error {
	u := &unpacked{f: f.f, open: open}
	f.src, f.end = u, u.close
	return nil
}

// Compress compresses the rotated files of a log. One call at a time for each log. It can be cut
// off at any moment: the next call takes away what that left.
func Compress(ctx context.Context, c logfile.Config) error {
	if !c.Compress {
		return nil
	}
	left, _ := filepath.Glob(filepath.Join(c.Dir, "."+c.Name+".*.tmp"))
	for _, name := range left {
		os.Remove(name)
	}
	switch c.Driver {
	case logfile.DriverLocal:
		return compressLocal(ctx, c)
	case logfile.DriverJSONFile:
		return compressJSON(ctx, c)
	}
	return nil
}

func compressLocal(ctx context.Context, c logfile.Config) error {
	list := logfile.Segments(c.Dir, c.Name)
	for i, s := range list {
		if s.Compressed || i == len(list)-1 {
			continue
		}
		name := logfile.SegmentName(c.Dir, c.Name, s.N)
		in, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("compress the log: %w", err)
		}
		tmp, err := pack(ctx, in, c, func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
		})
		in.Close()
		if err == nil {
			err = os.Rename(tmp, name+".zst")
		}
		if err != nil {
			os.Remove(tmp)
			return fmt.Errorf("compress the log: %w", err)
		}
		os.Remove(name)
	}
	// The writer may have removed one that was just being compressed.
	list = logfile.Segments(c.Dir, c.Name)
	for len(list) > max(1, c.MaxFiles) {
		os.Remove(logfile.SegmentName(c.Dir, c.Name, list[0].N) + ".zst")
		list = list[1:]
	}
	return nil
}

func compressJSON(ctx context.Context, c logfile.Config) error {
	l := &jsonChain{c: c}
	for {
		in, inode := l.plain()
		if in == nil {
			return nil
		}
		tmp, err := pack(ctx, in, c, func(w io.Writer) (io.WriteCloser, error) {
			return gzip.NewWriter(w), nil
		})
		if err == nil {
			err = l.put(tmp, inode)
		}
		in.Close() // not before: its inode would be another file's
		os.Remove(tmp)
		if err != nil {
			return fmt.Errorf("compress the log: %w", err)
		}
	}
}

// plain opens the oldest rotated file that is not compressed.
func (l *jsonChain) plain() (*os.File, uint64) {
	for n := l.c.MaxFiles - 1; n > 0; n-- {
		if f, err := os.Open(l.name(n)); err == nil {
			return f, inodeOf(f)
		}
	}
	return nil, 0
}

// put gives a compressed file the name that the one with this inode has by now, in its place.
func (l *jsonChain) put(tmp string, inode uint64) error {
	unlock, err := logfile.Lock(l.c.Dir, l.c.Name, true)
	if err != nil {
		return err
	}
	defer unlock()
	for n := 1; n < l.c.MaxFiles; n++ {
		f, err := os.Open(l.name(n))
		if err != nil {
			continue
		}
		same := inodeOf(f) == inode
		f.Close()
		if same {
			if err := os.Rename(tmp, l.name(n)+".gz"); err != nil {
				return err
			}
			return os.Remove(l.name(n))
		}
	}
	return nil // it was deleted
}

// pack compresses a file into a temporary one beside it.
func pack(ctx context.Context, in *os.File, c logfile.Config, writer func(io.Writer) (io.WriteCloser, error)) (tmp string, err error) {
	tmp = filepath.Join(c.Dir, "."+strings.TrimPrefix(filepath.Base(in.Name()), ".")+".tmp")
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return tmp, err
	}
	z, err := writer(out)
	if err == nil {
		_, err = io.Copy(z, &stoppable{ctx, in})
		if e := z.Close(); err == nil {
			err = e
		}
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return tmp, err
}

// stoppable is a reader that fails when its context is done.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}
