package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hull-dev/hull/internal/xz"
)

// Limits of an archive of images. They bound memory; the disk has Options.Free.
const (
	maxArchiveFiles = 16384
	maxArchiveName  = 4096 // bytes of a name, or of a link's target
	maxLinks        = 8    // that a name in an archive goes through
	maxRatio        = 1100 // of plain to compressed bytes (deflate cannot exceed 1,032)
	ratioGrace      = 256 << 20
)

// archive is an archive of images whose files are all in the content store, by name.
type archive struct {
	files map[string]ocispec.Descriptor
	links map[string]string
	fresh *freshLayers
}

// freshLayers are files of an archive that were unpacked while they came in, by digest: most of
// them are layers, which is known only when the documents have been read.
type freshLayers struct {
	mu  sync.Mutex
	all map[digest.Digest]*extraction
}

// take returns what was unpacked of a file, once; nil if there is nothing.
func (f *freshLayers) take(d digest.Digest) *extraction {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.all[d]
	delete(f.all, d)
	return x
}

// drop removes what nobody took.
func (a *archive) drop(ctx context.Context, s *Store) {
	for _, x := range a.fresh.all {
		s.drop(ctx, x)
	}
}

// magic of the compressions that are read; anything else is taken as a plain tar.
var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicXZ   = []byte(xz.Magic)
	magicBzip = []byte("BZh")
)

// maxDictionary bounds what a decoder keeps, in bytes: 64 MiB is what xz -9 asks for.
const maxDictionary = 64 << 20

// plain is r without its compression. Close frees the decoder, not r.
func plain(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(len(xz.Magic))
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, magicGzip):
		return gzip.NewReader(b)
	case bytes.HasPrefix(head, magicZstd):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	if r := foreign(head, b); r != nil {
		return io.NopCloser(r), nil
	}
	return io.NopCloser(b), nil
}

// readArchive puts every file of an archive into the content store. No name of the archive
// becomes a path. ctx carries the lease that holds the files.
//
// Where snapshots can be made without their parents, large files are unpacked on the way.
func (s *Store) readArchive(ctx context.Context, r io.Reader, report Report) (_ *archive, err error) {
	src := &counted{r: r}
	in, err := plain(src)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("reading the archive: " + err.Error())
	}
	defer in.Close()
	a := &archive{
		files: make(map[string]ocispec.Descriptor), links: make(map[string]string),
		fresh: &freshLayers{all: make(map[digest.Digest]*extraction)},
	}
	// A file is made durable while the next one comes in.
	var commits errgroup.Group
	commits.SetLimit(commitsBehind)
	defer func() {
		if cerr := commits.Wait(); err == nil {
			err = cerr
		}
		if err != nil {
			a.drop(ctx, s)
		}
	}()
	t := tar.NewReader(&ratio{counted{r: in}, src})
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("reading the archive: " + err.Error())
		}
		if n == maxArchiveFiles {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has more than %d files", maxArchiveFiles))
		}
		if err := checkHeader(h); err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)[1:]
		_, twice := a.files[name]
		_, linked := a.links[name]
		if (twice || linked) && h.Typeflag != tar.TypeDir {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has %q twice", shorten(name)))
		}
		switch h.Typeflag {
		case tar.TypeReg:
			desc, x, commit, err := s.readFile(ctx, t, name, h.Size, report)
			if err != nil {
				return nil, fmt.Errorf("reading %q of the archive: %w", shorten(name), err)
			}
			a.files[name] = desc
			if x != nil && a.fresh.all[desc.Digest] != nil {
				s.drop(ctx, x)
			} else if x != nil {
				a.fresh.all[desc.Digest] = x
			}
			commits.Go(func() error {
				if err := commit(); err != nil {
					return fmt.Errorf("storing %q of the archive: %w", shorten(name), err)
				}
				s.opts.At("load.file")
				return nil
			})
		case tar.TypeSymlink:
			a.links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)[1:]
		}
	}
}

// checkHeader refuses what needs more memory or disk than the bytes that came.
func checkHeader(h *tar.Header) error {
	if max(len(h.Name), len(h.Linkname)) > maxArchiveName {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has a name of %d bytes", max(len(h.Name), len(h.Linkname))))
	}
	sparse := h.Typeflag == tar.TypeGNUSparse
	for key := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(key, "GNU.sparse.")
	}
	if sparse {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q of the archive is a sparse file, which an archive of images has not", shorten(h.Name)))
	}
	return nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ratio ends a stream that is too much longer than what it is decompressed from.
type ratio struct {
	counted
	from *counted
}

func (r *ratio) Read(p []byte) (int, error) {
	if out := r.n - ratioGrace; out > 0 && out/maxRatio > r.from.n {
		return 0, fmt.Errorf("%d bytes out of %d, more than %d for one", r.n, r.from.n, maxRatio)
	}
	return r.counted.Read(p)
}

// unpackFrom is the size in bytes from which a file of an archive is taken for a layer. A smaller one
// is unpacked from the store, when it is known to be one.
const unpackFrom = 64 << 10

// commitsBehind is how many files of an archive are made durable at a time.
const commitsBehind = 4

// readFile puts one file of size bytes, or of any with -1, into the content store; commit, which must be called, makes it durable. It
// is unpacked on the way if it may be a layer and can be unpacked; if not, that is no error:
// perhaps it is something else.
func (s *Store) readFile(ctx context.Context, r io.Reader, name string, size int64, report Report) (desc ocispec.Descriptor, x *extraction, commit func() error, err error) {
	ref := "load-" + rand.Text()
	w, err := s.blobs.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return desc, nil, nil, err
	}
	giveUp := func() { // the lease would end it too, later
		w.Close()
		_ = s.blobs.Abort(context.WithoutCancel(ctx), ref)
	}
	in := newIntake(r, s.room(w), 0, func(int64) {})
	if s.opts.Rebase && size >= unpackFrom && !s.hasNamed(ctx, name) {
		x, err = s.extract(ctx, "load", "", in, false)
	}
	if ctx.Err() == nil {
		err = in.drain()
	}
	got := in.state()
	if err == nil && size >= 0 && got.n != size {
		err = fmt.Errorf("it has %d bytes, not %d", got.n, size)
	}
	if err != nil {
		in.end()
		giveUp()
		if x != nil {
			s.drop(ctx, x)
		}
		if got.wrote {
			return desc, nil, nil, err
		}
		return desc, nil, nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	desc = ocispec.Descriptor{Digest: w.Digest(), Size: got.n}
	if report != nil && size > 1<<20 {
		report(Progress{ID: short(desc.Digest), Status: "Loading layer", Current: size, Total: size})
	}
	return desc, x, func() error {
		if err := w.Commit(ctx, got.n, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
			giveUp()
			return err
		}
		return w.Close()
	}, nil
}

// hasNamed says whether the store has the blob that a file of a layout is called after: then its
// layer was most likely unpacked before.
func (s *Store) hasNamed(ctx context.Context, name string) bool {
	hex, ok := strings.CutPrefix(name, "blobs/sha256/")
	if !ok {
		return false
	}
	d := digest.NewDigestFromEncoded(digest.SHA256, hex)
	if d.Validate() != nil {
		return false
	}
	here, err := s.has(ctx, d)
	return err == nil && here
}

// file finds a file by its name, through links of the archive.
func (a *archive) file(name string) (ocispec.Descriptor, error) {
	name = path.Clean("/" + name)[1:]
	at := name
	for range maxLinks {
		if d, ok := a.files[at]; ok {
			return d, nil
		}
		next, ok := a.links[at]
		if !ok {
			break
		}
		at = next
	}
	return ocispec.Descriptor{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has no file %q", shorten(name)))
}

// blob finds the file of a layout (blobs/ALGORITHM/HEX), and holds it to its name.
func (a *archive) blob(d digest.Digest) (ocispec.Descriptor, error) {
	f, err := a.file(path.Join("blobs", d.Algorithm().String(), d.Encoded()))
	if err == nil && d.Algorithm() == f.Digest.Algorithm() && f.Digest != d {
		err = errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("the archive's blob %s has other bytes", d))
	}
	return f, err
}

// layerType is the media type of a layer by its first bytes.
func (s *Store) layerType(ctx context.Context, desc ocispec.Descriptor) (string, error) {
	r, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return "", err
	}
	defer r.Close()
	head := make([]byte, 4)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, magicGzip):
		return ocispec.MediaTypeImageLayerGzip, nil
	case bytes.HasPrefix(head, magicZstd):
		return ocispec.MediaTypeImageLayerZstd, nil
	}
	return ocispec.MediaTypeImageLayer, nil
}

func blobPath(d digest.Digest) string {
	return strings.Join([]string{"blobs", d.Algorithm().String(), d.Encoded()}, "/")
}
