package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hull-dev/hull/internal/manifest"
	"github.com/hull-dev/hull/internal/reference"
)

// Source gives the bytes of what is pushed. containerd's content.Provider becomes one with a section reader.
type Source interface {
	// OpenAt reads content from an offset to its end. It is called again, with another offset, when an upload breaks.
	OpenAt(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)
}

// Outcome is what became of a pushed blob.
type Outcome int

// Outcomes of PushBlob.
const (
	Uploaded Outcome = iota // sent
	Existed                 // the repository had it
	Mounted                 // the registry took it over from another repository
)

// PushBlobOptions say more about one blob.
type PushBlobOptions struct {
	// MountFrom are repositories of the same registry that may have the blob; those of others are ignored.
	MountFrom []reference.Repository
	// Progress, if not nil, is told how many bytes the registry was sent. It can go back when an upload breaks.
	Progress func(done int64)
}

// PushBlob makes a repository have a blob: it asks for it first, then asks the registry to mount it from where it is known
// to be, then sends it. A broken upload goes on from where the registry says it was, and begins anew if it does not say.
func (c *Client) PushBlob(ctx context.Context, repo reference.Repository, desc ocispec.Descriptor, src Source, opts PushBlobOptions) (Outcome, error) {
	if err := manifest.CheckDescriptor(desc); err != nil {
		return 0, about("pushing", repo.String(), err)
	}
	e, err := c.upstream(ctx, repo.Domain)
	if err != nil {
		return 0, about("pushing", repo.String(), err)
	}
	out, err := e.pushBlob(ctx, repo, desc, src, opts)
	return out, about("pushing", repo.String()+"@"+string(desc.Digest), err)
}

func (e *endpoint) pushBlob(ctx context.Context, repo reference.Repository, desc ocispec.Descriptor, src Source, opts PushBlobOptions) (Outcome, error) {
	scopes := pushScope(repo)
	resp, _, err := e.roundTrip(ctx, &request{
		method: http.MethodHead, url: e.at(repo, "blobs", string(desc.Digest)), scopes: scopes, want: []int{http.StatusOK, http.StatusNotFound},
	})
	if err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusOK {
		if n := resp.ContentLength; n > 0 && n != desc.Size {
			return 0, e.refuse(errdefs.ErrDataLoss, "has the blob with %d bytes instead of %d", n, desc.Size)
		}
		return Existed, nil
	}
	u := &uploading{e: e, repo: repo, desc: desc, src: src, opts: opts, scopes: scopes}
	for _, from := range opts.MountFrom {
		if from.Domain != repo.Domain || from == repo {
			continue
		}
		mounted, err := u.mount(ctx, from)
		if err == nil && mounted {
			return Mounted, nil
		}
		if ctx.Err() != nil {
			return 0, e.broken(ctx, ctx.Err())
		}
		if u.location != nil {
			break // the registry began an upload instead
		}
	}
	return Uploaded, u.run(ctx)
}

// uploading is one blob on its way to a repository:
//
//	POST uploads/ ──► location ──► PATCH (all, or chunk by chunk) ──► PUT location?digest=   large
//	                     │                └─ broken ──► GET location ──► Range: how far it came
//	                     └────────► PUT location?digest= with all bytes                      small
type uploading struct {
	e        *endpoint
	repo     reference.Repository
	desc     ocispec.Descriptor
	src      Source
	opts     PushBlobOptions
	scopes   []string
	location *url.URL // of the upload, nil when none has begun
	off      int64    // bytes that the registry has
	chunk    int64    // bytes of a request, 0 for all
}

// mount asks the registry to take the blob over. A registry that does not begins an upload, which is used then.
func (u *uploading) mount(ctx context.Context, from reference.Repository) (bool, error) {
	at := u.e.at(u.repo, "blobs", "uploads/")
	q := at.Query()
	q.Set("mount", string(u.desc.Digest))
	q.Set("from", from.Path)
	at.RawQuery = q.Encode()
	resp, _, err := u.e.roundTrip(ctx, &request{
		method: http.MethodPost, url: at, scopes: append(pushScope(u.repo), pullScope(from)...), want: []int{http.StatusCreated, http.StatusAccepted},
	})
	if err != nil {
		return false, err
	}
	if resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	return false, u.moved(resp)
}

// run sends the blob, from the start or from where a break left it, a bounded number of times.
func (u *uploading) run(ctx context.Context) error {
	u.chunk = u.e.host.ChunkSize
	var waits waits
	var furthest int64
	for {
		err := u.once(ctx)
		if err == nil {
			return nil
		}
		if u.off-furthest >= minProgress { // beginning anew is no progress
			waits.tries, furthest = 0, u.off
		}
		var got *Error
		if errors.As(err, &got) && got.Status == http.StatusRequestEntityTooLarge && u.chunk == 0 && u.desc.Size > smallUpload {
			// A proxy in front of the registry bounds requests. Chunks are the specification's answer.
			u.chunk = 32 * smallUpload
			u.location = nil
			continue
		}
		if u.location != nil && got != nil && (got.Status == http.StatusRequestedRangeNotSatisfiable || got.Status == http.StatusNotFound) {
			// It was further, or less far, than it had said while it was still busy with a broken request; or it has forgotten
			// the upload. Either may be mended by asking once more.
			mendable := *got
			mendable.final = false
			err = &mendable
		}
		if err := u.e.wait(ctx, &waits, err); err != nil {
			return err
		}
		u.resync(ctx)
	}
}

// once takes the upload from where it is to its end.
func (u *uploading) once(ctx context.Context) error {
	if u.location == nil {
		if err := u.begin(ctx); err != nil {
			return err
		}
	}
	if u.off == 0 && u.desc.Size <= smallUpload && u.chunk == 0 {
		return u.commit(ctx, u.stream(ctx, u.desc.Size), u.desc.Size)
	}
	for u.off < u.desc.Size {
		n := u.desc.Size - u.off
		if u.chunk > 0 {
			n = min(n, u.chunk)
		}
		if err := u.send(ctx, n); err != nil {
			return err
		}
	}
	return u.commit(ctx, nil, 0)
}

// begin opens an upload.
func (u *uploading) begin(ctx context.Context) error {
	u.off = 0
	resp, _, err := u.e.whole(ctx, &request{method: http.MethodPost, url: u.e.at(u.repo, "blobs", "uploads/"), scopes: u.scopes, want: []int{http.StatusAccepted}})
	if err != nil {
		return err
	}
	return u.moved(resp)
}

// moved notes where the upload goes on. Another host than the registry's gets no credentials (follow sees to that).
func (u *uploading) moved(resp *http.Response) error {
	s := resp.Header.Get("Location")
	to, err := resp.Request.URL.Parse(s)
	if err != nil || s == "" {
		return u.e.refuse(errdefs.ErrFailedPrecondition, "does not say where the upload goes")
	}
	if err := u.e.checkForeign(resp.Request.URL, to, "upload location"); err != nil {
		return err
	}
	to.Fragment = ""
	u.location = to
	if n, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && u.chunk > 0 {
		u.chunk = max(u.chunk, min(n, u.desc.Size))
	}
	return nil
}

// stream opens n bytes from off, counting them.
func (u *uploading) stream(ctx context.Context, n int64) func() (io.ReadCloser, error) {
	off := u.off
	return func() (io.ReadCloser, error) {
		body, err := u.src.OpenAt(ctx, u.desc, off)
		if err != nil {
			return nil, err
		}
		return &counted{body: body, left: n, done: off, tell: u.opts.Progress}, nil
	}
}

// send sends n bytes with one PATCH. The range is left out of the first request of an upload that is sent in one: that is
// what Docker sends, and older registries take nothing else.
func (u *uploading) send(ctx context.Context, n int64) error {
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if u.off > 0 || u.chunk > 0 {
		header.Set("Content-Range", strconv.FormatInt(u.off, 10)+"-"+strconv.FormatInt(u.off+n-1, 10))
	}
	resp, _, err := u.e.whole(ctx, &request{
		method: http.MethodPatch, url: u.location, header: header, stream: u.stream(ctx, n), size: n, scopes: u.scopes,
		want: []int{http.StatusAccepted, http.StatusNoContent, http.StatusCreated},
	})
	if err != nil {
		return err
	}
	u.off += n
	if s := resp.Header.Get("Range"); s != "" {
		if end, ok := received(s); ok && end != u.off {
			u.off = min(end, u.off)
			return &Error{Host: u.e.host.name(), text: "took less than it was sent", class: errdefs.ErrUnavailable}
		}
	}
	return u.moved(resp)
}

// commit ends the upload, with the whole blob for a small one.
func (u *uploading) commit(ctx context.Context, stream func() (io.ReadCloser, error), size int64) error {
	to := *u.location
	if to.RawQuery != "" { // whatever state the registry keeps there stays byte for byte
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(string(u.desc.Digest))
	resp, _, err := u.e.whole(ctx, &request{
		method: http.MethodPut, url: &to, header: http.Header{"Content-Type": {"application/octet-stream"}}, stream: stream, size: size, scopes: u.scopes, commit: true,
		want: []int{http.StatusCreated, http.StatusNoContent},
	})
	if err != nil {
		return err
	}
	if d := resp.Header.Get("Docker-Content-Digest"); d != "" && d != string(u.desc.Digest) {
		return u.e.refuse(errdefs.ErrDataLoss, "took the blob as %s", oneLine(d, 150))
	}
	return nil
}

// resync asks how far a broken upload came; when that cannot be had, the next try begins a new one.
func (u *uploading) resync(ctx context.Context) {
	if u.location == nil {
		return
	}
	resp, _, err := u.e.whole(ctx, &request{method: http.MethodGet, url: u.location, scopes: u.scopes, want: []int{http.StatusNoContent, http.StatusOK, http.StatusAccepted}})
	if err == nil {
		if end, ok := received(resp.Header.Get("Range")); ok && end <= u.desc.Size && end > 1 {
			if u.moved(resp) == nil || resp.Header.Get("Location") == "" {
				u.off = end
				return
			}
		}
	}
	u.location = nil
}

// received reads "0-41" or "bytes=0-41", of which 42 bytes are there. "0-0" is what registries say of one byte and of none;
// the caller takes it for none.
func received(s string) (int64, bool) {
	a, z, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	end, err := parseCount(z)
	return end + 1, ok && a == "0" && err == nil
}

// counted is a part of a source's stream.
type counted struct {
	body io.ReadCloser
	left int64
	done int64
	tell func(int64)
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.body.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.done += int64(n)
	if n > 0 && c.tell != nil {
		c.tell(c.done)
	}
	return n, err
}

// Close implements io.Closer.
func (c *counted) Close() error { return c.body.Close() }
