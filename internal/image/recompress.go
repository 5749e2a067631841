package image

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/xz"
)

// foreign decompresses what no media type of layers names, xz and bzip2; nil for all else.
func foreign(head []byte, r io.Reader) io.Reader {
	switch {
	case bytes.HasPrefix(head, magicXZ):
		return xz.NewReader(r, maxDictionary)
	case bytes.HasPrefix(head, magicBzip):
		return bzip2.NewReader(r)
	}
	return nil
}

// portable is the stream r, or, if registries and other engines would not know its compression, the same
// as gzip. stop ends the work; it must be called.
func portable(r io.Reader) (out io.Reader, stop func(), err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(len(xz.Magic))
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	plain := foreign(head, b)
	if plain == nil {
		return b, func() {}, nil
	}
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { // a decoder of strangers' bytes: its panic ends this archive, not hulld
			if p := recover(); p != nil {
				pw.CloseWithError(errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("decompressing: %v", p)))
			}
		}()
		z := gzip.NewWriter(pw)
		_, err := io.Copy(z, plain)
		if err == nil {
			err = z.Close()
		}
		pw.CloseWithError(err)
	}()
	return pr, func() {
		pr.Close()
		<-done
	}, nil
}

// portableLayer is the layer in the store that is as desc, or the same as gzip. Its media type is by its first bytes.
func (s *Store) portableLayer(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	r, err := s.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return desc, err
	}
	defer r.Close()
	head := make([]byte, len(xz.Magic))
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return desc, err
	}
	if foreign(head[:n], nil) != nil {
		in, stop, err := portable(content.NewReader(r))
		if err != nil {
			return desc, err
		}
		defer stop()
		var commit func() error
		if desc, _, commit, err = s.readFile(ctx, in, "", -1, nil); err == nil {
			err = commit()
		}
		if err != nil {
			return desc, err
		}
	}
	desc.MediaType, err = s.layerType(ctx, desc)
	return desc, err
}
