package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hull-dev/hull/internal/unpack"
)

// rebase changes the first part of each name of an archive from one base to another. The caller
// closes what it returns.
func rebase(r io.Reader, from, to string) *io.PipeReader {
	if from == "/" {
		from = ""
	}
	out, w := io.Pipe()
	go func() {
		w.CloseWithError(rename(w, r, func(name string) string { return rebased(name, from, to) }))
	}()
	return out
}

// rename copies an archive with other names.
func rename(w io.Writer, r io.Reader, as func(string) string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		h.Format = tar.FormatPAX // a longer name may need it
		h.Name = as(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = as(h.Linkname)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

// rebased is a name with its first part changed; other names stay.
func rebased(name, from, to string) string {
	switch rest, ok := strings.CutPrefix(name, from); {
	case from == "":
		return to + "/" + strings.TrimLeft(name, "/")
	case ok && (rest == "" || rest[0] == '/'):
		return to + rest
	}
	return name
}

// archiveOf is a tar stream of a local file or tree, which it calls name. The caller closes it.
func archiveOf(ctx context.Context, src place, name string) *io.PipeReader {
	out, w := io.Pipe()
	go func() {
		if !src.dir {
			w.CloseWithError(writeFile(w, src.path, name))
			return
		}
		dir, err := os.Open(src.path)
		if err != nil {
			w.CloseWithError(err)
			return
		}
		defer dir.Close()
		tree, tw := io.Pipe()
		defer tree.Close()
		go func() {
			_, err := unpack.Write(ctx, tw, dir, unpack.WriteOptions{})
			tw.CloseWithError(err)
		}()
		w.CloseWithError(rename(w, tree, func(entry string) string {
			return name + "/" + strings.TrimPrefix(entry, "./") // the root itself is "./"
		}))
	}()
	return out
}

// writeFile writes an archive of one file that is no directory.
func writeFile(w io.Writer, file, name string) error {
	st, err := os.Lstat(file)
	if err != nil {
		return err
	}
	link := ""
	if st.Mode()&os.ModeSymlink != 0 {
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	}
	var f *os.File
	if st.Mode().IsRegular() {
		if f, err = os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); err != nil {
			return err
		}
		defer f.Close()
		if st, err = f.Stat(); err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s changed while it was copied", file)
		}
	}
	h, err := tar.FileInfoHeader(numeric{st}, link)
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(sys.Uid), int(sys.Gid)
	}
	h.Name, h.Format, h.AccessTime, h.ChangeTime = name, tar.FormatPAX, time.Time{}, time.Time{}
	out := tar.NewWriter(w)
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	if f != nil {
		if n, err := io.Copy(out, io.LimitReader(f, h.Size)); err != nil || n < h.Size {
			return errors.Join(err, fmt.Errorf("%s changed while it was copied", file))
		}
	}
	return out.Close()
}

// numeric hides the system's part of a file's description, so that no names of users are looked
// up.
type numeric struct{ os.FileInfo }

func (numeric) Sys() any { return nil }

// copyProgress counts what is read through it.
type copyProgress struct {
	r io.Reader
	n atomic.Int64
}

func (c *copyProgress) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// progress shows how much has been copied, on a terminal, until stop is called with where to.
func (a *App) progress(quiet bool, title string, c *copyProgress) (stop func(where string)) {
	if quiet {
		return func(string) {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if !isTerminal(a.Err) {
			return
		}
		tick := time.NewTicker(75 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(a.Err, "\r\x1b[2K%s%s", title, size(c.n.Load()))
			select {
			case <-done:
				fmt.Fprint(a.Err, "\r\x1b[2K")
				return
			case <-tick.C:
			}
		}
	}()
	return func(where string) {
		close(done)
		<-ended
		fmt.Fprintln(a.Err, "Successfully copied", size(c.n.Load()), where)
	}
}
