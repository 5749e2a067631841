package metadata

import (
	"context"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// blobs is containerd's content store, whose ingests go to the disk while they come in: a commit,
// which syncs them, waits the less.
type blobs struct {
	content.Store
	root string
}

// Writer implements content.Ingester.
func (b blobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := b.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	out := &blobWriter{Writer: w}
	// Where the store keeps an ingest is its own; if it moves, only the head start is lost.
	out.file, err = os.OpenFile(filepath.Join(b.root, "ingest", digest.FromString(o.Ref).Encoded(), "data"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err == nil {
		out.behind.FD = int(out.file.Fd())
	}
	if st, err := w.Status(); err == nil {
		out.offset = st.Offset
	}
	return out, nil
}

// blobWriter is one ingest.
type blobWriter struct {
	content.Writer
	file   *os.File // nil: not found
	behind linux.Behind
	offset int64
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.offset += int64(n)
	w.behind.Wrote(w.offset)
	return n, err
}

// Truncate implements content.Writer.
func (w *blobWriter) Truncate(size int64) error {
	w.offset = size
	return w.Writer.Truncate(size)
}

// Sync implements content.Syncer.
func (w *blobWriter) Sync() error {
	if s, ok := w.Writer.(content.Syncer); ok {
		return s.Sync()
	}
	return nil
}

// Commit implements content.Writer.
func (w *blobWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	w.release()
	return w.Writer.Commit(ctx, size, expected, opts...)
}

// Close implements content.Writer.
func (w *blobWriter) Close() error {
	w.release()
	return w.Writer.Close()
}

func (w *blobWriter) release() {
	w.behind.Wait()
	w.behind.FD = -1
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}
