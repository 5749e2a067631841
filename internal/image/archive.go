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

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/xz"
)

// Limits of an archive of images.
const (
	maxArchiveFiles = 16384
	maxLinks        = 8 // that a name in an archive goes through
)

// archive is an archive of images whose files are all in the content store, by name.
type archive struct {
	files map[string]ocispec.Descriptor
	links map[string]string
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
func (s *Store) readArchive(ctx context.Context, r io.Reader, report Report) (*archive, error) {
	in, err := plain(r)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("reading the archive: " + err.Error())
	}
	defer in.Close()
	a := &archive{files: make(map[string]ocispec.Descriptor), links: make(map[string]string)}
	t := tar.NewReader(in)
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
		name := path.Clean("/" + h.Name)[1:]
		_, twice := a.files[name]
		_, linked := a.links[name]
		if (twice || linked) && h.Typeflag != tar.TypeDir {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has %q twice", shorten(name)))
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if a.files[name], err = s.readFile(ctx, t, h.Size, report); err != nil {
				return nil, fmt.Errorf("reading %q of the archive: %w", shorten(name), err)
			}
			s.opts.At("load.file")
		case tar.TypeSymlink:
			a.links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)[1:]
		}
	}
}

// readFile puts one file of size bytes, or of any with -1, into the content store.
func (s *Store) readFile(ctx context.Context, r io.Reader, size int64, report Report) (desc ocispec.Descriptor, err error) {
	ref := "load-" + rand.Text()
	w, err := s.blobs.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return desc, err
	}
	defer func() {
		w.Close()
		if err != nil { // the lease would end it too, later
			_ = s.blobs.Abort(context.WithoutCancel(ctx), ref)
		}
	}()
	n, err := io.Copy(w, r)
	if err != nil {
		return desc, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if size >= 0 && n != size {
		return desc, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("it has %d bytes, not %d", n, size))
	}
	if report != nil && size > 1<<20 {
		report(Progress{ID: short(w.Digest()), Status: "Loading layer", Current: n, Total: size})
	}
	desc = ocispec.Descriptor{Digest: w.Digest(), Size: n}
	if err := w.Commit(ctx, n, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, err
	}
	return desc, nil
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
