package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// BlobOptions say where a blob is begun and what is done on the way.
type BlobOptions struct {
	// Offset is how many of the blob's first bytes the caller has, from an earlier pull.
	Offset int64
	// Prefix is a hash of the descriptor's algorithm that has taken in those bytes; it is written to. With an Offset and
	// without a Prefix the reader cannot check the digest: the caller must.
	Prefix hash.Hash
	// NoVerify leaves the digest to the caller, who hashes the bytes anyway (a containerd content.Writer does).
	NoVerify bool
	// Progress, if not nil, is told how far the blob has come, after each read.
	Progress func(done int64)
}

// Blob is a blob that is being read. Read gives io.EOF only when all bytes have come, and, unless the options left that to
// the caller, their digest is right. It is used by one goroutine at a time.
type Blob struct {
	ctx    context.Context
	client *Client
	repo   reference.Repository
	desc   ocispec.Descriptor
	opts   BlobOptions
	hosts  []*endpoint
	sum    hash.Hash // nil if the caller verifies

	at      int // index in hosts
	body    io.ReadCloser
	etag    string // of body's response, strong, "" for none
	from    int    // index of the host that gave etag
	off     int64
	err     error // what Read returns from now on
	waits   waits
	mark    int64 // off at the last break
	resumed int
}

// OpenBlob begins to read a blob from the first host that has it. A break later is mended by the reader itself: it asks for
// the rest, from the same host or the next. A registry that ignores ranges is read again from the start, and what the caller
// has is dropped. Closing the blob ends the request.
func (c *Client) OpenBlob(ctx context.Context, repo reference.Repository, desc ocispec.Descriptor, opts BlobOptions) (*Blob, error) {
	op, object := "pulling", repo.String()+"@"+string(desc.Digest)
	if err := manifest.CheckDescriptor(desc); err != nil {
		return nil, about(op, repo.String(), err)
	}
	if opts.Offset < 0 || opts.Offset > desc.Size {
		return nil, about(op, object, fmt.Errorf("offset %d is not within its %d bytes: %w", opts.Offset, desc.Size, errdefs.ErrOutOfRange))
	}
	b := &Blob{ctx: ctx, client: c, repo: repo, desc: desc, opts: opts, off: opts.Offset, mark: opts.Offset}
	switch {
	case opts.NoVerify || opts.Offset > 0 && opts.Prefix == nil:
	case opts.Prefix != nil:
		b.sum = opts.Prefix
	default:
		b.sum = desc.Digest.Algorithm().Hash()
	}
	list, err := c.endpointsOf(repo.Domain)
	if err != nil {
		return nil, about(op, object, err)
	}
	for _, e := range list {
		if e.host.Pull && !c.distrusted(e, desc.Digest) {
			b.hosts = append(b.hosts, e)
		}
	}
	if len(b.hosts) == 0 { // each has given wrong bytes before; perhaps it was mended
		for _, e := range list {
			if e.host.Pull {
				b.hosts = append(b.hosts, e)
			}
		}
	}
	if len(b.hosts) == 0 {
		return nil, about(op, object, fmt.Errorf("the configuration of registry %s names no host for this: %w", repo.Domain, errdefs.ErrFailedPrecondition))
	}
	if b.off == desc.Size {
		return b, nil // nothing to ask for: Read checks the digest
	}
	if err := b.open(); err != nil {
		return nil, about(op, object, err)
	}
	return b, nil
}

// Read implements io.Reader.
func (b *Blob) Read(p []byte) (int, error) {
	for b.err == nil {
		if b.off == b.desc.Size {
			b.err = b.finish()
			break
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := b.body.Read(p[:min(int64(len(p)), b.desc.Size-b.off)])
		if n > 0 {
			if b.sum != nil {
				b.sum.Write(p[:n])
			}
			b.off += int64(n)
			if b.opts.Progress != nil {
				b.opts.Progress(b.off)
			}
			return n, nil // an error comes again with the next read
		}
		if err == nil {
			continue
		}
		if b.err = b.resume(b.hosts[b.at].broken(b.ctx, noEOF(err))); b.err != nil {
			b.err = about("pulling", b.repo.String()+"@"+string(b.desc.Digest), b.err)
		}
	}
	return 0, b.err
}

// noEOF: the end of a body before the blob's is not an end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close implements io.Closer.
func (b *Blob) Close() error {
	if b.err == nil {
		b.err = errors.New("read of a closed blob")
	}
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	return err
}

// finish is called when all bytes are there: io.EOF if they are the blob, and nothing follows them.
func (b *Blob) finish() error {
	e := b.hosts[b.at]
	var wrong *Error
	if b.body != nil {
		if n, _ := b.body.Read(make([]byte, 1)); n > 0 {
			wrong = e.refuse(errdefs.ErrDataLoss, "sends more than the %d bytes of the blob", b.desc.Size)
		}
		b.body.Close()
		b.body = nil
	}
	if wrong == nil && b.sum != nil {
		if got := fmt.Sprintf("%s:%x", b.desc.Digest.Algorithm(), b.sum.Sum(nil)); got != string(b.desc.Digest) {
			wrong = e.refuse(errdefs.ErrDataLoss, "gave a blob with the digest %s", got)
		}
	}
	if wrong != nil {
		b.client.distrust(e, b.desc.Digest)
		return about("pulling", b.repo.String()+"@"+string(b.desc.Digest), wrong)
	}
	return io.EOF
}

// Distrust is for a caller that verifies the digest itself (BlobOptions.NoVerify) and found it wrong: the host
// that gave the last bytes is not asked for this blob again, as long as another one is left, which it reports.
func (b *Blob) Distrust() (more bool) {
	b.client.distrust(b.hosts[b.at], b.desc.Digest)
	for _, e := range b.hosts {
		if !b.client.distrusted(e, b.desc.Digest) {
			return true
		}
	}
	return false
}

// open asks the hosts, beginning with the current one, for the blob from off on, until one gives it.
func (b *Blob) open() error {
	var err error
	for ; b.at < len(b.hosts); b.at++ {
		e := b.hosts[b.at]
		if err = e.ready(b.ctx); err == nil {
			if err = b.openAt(e); err == nil {
				return nil
			}
		}
		if b.ctx.Err() != nil {
			return err
		}
		if b.at < len(b.hosts)-1 {
			b.client.log.Warn("registry host failed, the next one is asked", "registry", b.repo.Domain, "host", e.host.Addr, "error", err)
		}
	}
	b.at = len(b.hosts) - 1
	return err
}

// openAt asks one host, trying again where that may help.
func (b *Blob) openAt(e *endpoint) error {
	for {
		err := b.tryAt(e)
		if err == nil {
			return nil
		}
		if err := e.wait(b.ctx, &b.waits, err); err != nil {
			return err
		}
	}
}

func (b *Blob) tryAt(e *endpoint) error {
	r := &request{method: http.MethodGet, url: e.at(b.repo, "blobs", string(b.desc.Digest)), scopes: pullScope(b.repo), header: make(http.Header), want: []int{http.StatusOK}}
	r.header.Set("Accept", "*/*")
	if b.off > 0 {
		// With an end, which RFC 9110 lets out: there are registries that do not understand it then.
		r.header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.off, b.desc.Size-1))
		if b.etag != "" && b.from == b.at {
			r.header.Set("If-Range", b.etag)
		}
		r.want = append(r.want, http.StatusPartialContent)
	}
	resp, err := e.try(b.ctx, r)
	if err != nil {
		return err
	}
	if err := b.take(e, resp); err != nil {
		resp.Body.Close()
		return err
	}
	b.body = resp.Body
	if b.etag = resp.Header.Get("ETag"); strings.HasPrefix(b.etag, "W/") || len(b.etag) > 1024 {
		b.etag = ""
	}
	b.from = b.at
	return nil
}

// take holds a response to what was asked for, and brings its body to off.
func (b *Blob) take(e *endpoint, resp *http.Response) error {
	if resp.StatusCode == http.StatusPartialContent {
		start, end, total, err := contentRange(resp.Header.Get("Content-Range"))
		switch {
		case err != nil:
			return e.refuse(errdefs.ErrDataLoss, "answers with a part of the blob and does not say which: %v", err)
		case start != b.off:
			return e.refuse(errdefs.ErrDataLoss, "was asked for the blob from byte %d and gives it from byte %d", b.off, start)
		case total >= 0 && total != b.desc.Size, end >= b.desc.Size:
			return e.refuse(errdefs.ErrDataLoss, "has a blob of another size than the %d bytes of the manifest", b.desc.Size)
		case resp.ContentLength >= 0 && resp.ContentLength != end-start+1:
			return e.refuse(errdefs.ErrDataLoss, "announces %d bytes and sends %d", end-start+1, resp.ContentLength)
		}
		return nil
	}
	if resp.ContentLength >= 0 && resp.ContentLength != b.desc.Size {
		return e.refuse(errdefs.ErrDataLoss, "has a blob of %d bytes where the manifest says %d", resp.ContentLength, b.desc.Size)
	}
	// The whole blob: the registry knows no ranges, or the blob is another one now. The digest at the end will tell.
	if n, err := io.CopyN(io.Discard, resp.Body, b.off); err != nil {
		return e.broken(b.ctx, fmt.Errorf("after %d bytes of %d that are already here: %w", n, b.off, noEOF(err)))
	}
	return nil
}

// resume takes the stream up after a break. The budget of tries is for breaks without progress; progress renews it.
func (b *Blob) resume(broke error) error {
	b.body.Close()
	b.body = nil
	if b.off-b.mark >= minProgress {
		b.waits = waits{}
	}
	b.mark = b.off
	if b.resumed++; b.resumed > maxReconnects || b.ctx.Err() != nil {
		return broke
	}
	e := b.hosts[b.at]
	if err := e.wait(b.ctx, &b.waits, broke); err != nil {
		if b.at == len(b.hosts)-1 || b.ctx.Err() != nil {
			return err
		}
		b.at++ // the next host has a budget of its own
		b.waits = waits{}
	}
	return b.open()
}

// contentRange reads "bytes 5-9/10"; total is -1 for "*".
func contentRange(s string) (start, end, total int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, all, ok2 := strings.Cut(rest, "/")
	a, z, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, fmt.Errorf("Content-Range is %.60q", s)
	}
	total = -1
	if all != "*" {
		total, err = parseCount(all)
	}
	start, err1 := parseCount(a)
	end, err2 := parseCount(z)
	if err = errors.Join(err, err1, err2); err != nil || end < start || total >= 0 && end >= total {
		return 0, 0, 0, fmt.Errorf("Content-Range is %.60q", s)
	}
	return start, end, total, nil
}

// parseCount reads digits: strconv alone would take signs.
func parseCount(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
