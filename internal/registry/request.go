package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// request is what goes to a host, however many exchanges it takes.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte                        // sent as it is, or
	stream func() (io.ReadCloser, error) // opened for each try
	size   int64                         // of the stream
	scopes []string                      // of the token that it needs
	realm  bool                          // it goes to the token server, with its own Authorization
	commit bool                          // the host may take long to answer
	limit  int                           // of a body that is read whole, in bytes
	want   []int                         // statuses that are answers; all others are errors
}

// ready finds out, once, whether a loopback address or an insecure registry speaks TLS: it is asked for it first, and spoken plain
// HTTP to only if it answers in plain HTTP, or nobody is at the port of TLS and the name has none of its own. A certificate that
// does not verify is an error here as anywhere (an insecure registry's is not verified).
func (e *endpoint) ready(ctx context.Context) error {
	select {
	case e.probe <- struct{}{}:
	case <-ctx.Done():
		return e.broken(ctx, ctx.Err())
	}
	defer func() { <-e.probe }()
	if e.base.Scheme != "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.client.limits.Header, stallError("did not answer in time"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+e.host.Addr+e.host.Path+"/", nil)
	if err != nil {
		return fmt.Errorf("registry host %s: %w", e.host.Addr, errdefs.ErrInvalidArgument)
	}
	req.Header.Set("User-Agent", e.client.agent)
	resp, err := e.pair.own.RoundTrip(req)
	switch {
	case err == nil:
		resp.Body.Close()
		e.base.Scheme = "https"
	case speaksPlain(err), e.host.Insecure && errors.Is(err, syscall.ECONNREFUSED) && e.plainAnswers(ctx):
		e.base.Scheme = "http"
	default:
		return e.broken(ctx, err)
	}
	return nil
}

// plainAnswers says whether somebody is at the port of plain HTTP, for a host whose name has no port of its own.
func (e *endpoint) plainAnswers(ctx context.Context) bool {
	if (&url.URL{Host: e.host.Addr}).Port() != "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.host.Addr+e.host.Path+"/", nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", e.client.agent)
	resp, err := e.pair.own.RoundTrip(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// roundTrip sends a request and reads the answer whole, trying again where that may help.
func (e *endpoint) roundTrip(ctx context.Context, r *request) (*http.Response, []byte, error) {
	var waits waits
	for {
		resp, body, err := e.whole(ctx, r)
		if err == nil {
			return resp, body, nil
		}
		if err := e.wait(ctx, &waits, err); err != nil {
			return nil, nil, err
		}
	}
}

// whole is one try of roundTrip.
func (e *endpoint) whole(ctx context.Context, r *request) (*http.Response, []byte, error) {
	limit := e.client.limits.Request
	if r.commit {
		limit += e.client.limits.Commit
	}
	if r.stream == nil { // a stream's time is bounded by its rate
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, stallError("did not answer within "+limit.String()))
		defer cancel()
	}
	resp, err := e.try(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if r.method == http.MethodHead {
		return resp, nil, nil
	}
	max := or(r.limit, maxErrorBody)
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(max)+1))
	if err == nil && len(body) > max && r.limit > 0 {
		return nil, nil, e.refuse(errdefs.ErrResourceExhausted, "answered with more than %d bytes", max)
	}
	if err != nil {
		return nil, nil, e.broken(ctx, err)
	}
	return resp, body, nil
}

// try is one exchange with a host: the request, the answer to a challenge, and where it redirects to. The caller closes the
// body of the response.
func (e *endpoint) try(ctx context.Context, r *request) (*http.Response, error) {
	for challenges := 0; ; challenges++ {
		sent := ""
		if !r.realm {
			var err error
			if sent, err = e.authorization(ctx, r.scopes); err != nil {
				return nil, err
			}
		}
		resp, err := e.follow(ctx, r, sent)
		if err != nil {
			return nil, err
		}
		from := resp.Request.URL
		if resp.StatusCode == http.StatusUnauthorized && !r.realm && origin(from) == origin(e.base) && challenges < 2 && len(resp.Header.Values("WWW-Authenticate")) > 0 {
			discard(resp.Body)
			if err := e.challenged(ctx, from, resp.Header, sent, r.scopes); err != nil {
				return nil, err
			}
			continue
		}
		if !slices.Contains(r.want, resp.StatusCode) {
			return nil, e.answerError(resp)
		}
		return resp, nil
	}
}

// follow sends a request to where it belongs and then where it is redirected to. The host's Authorization header goes to
// the first place only.
func (e *endpoint) follow(ctx context.Context, r *request, auth string) (*http.Response, error) {
	at := r.url
	for hops := 0; ; hops++ {
		first := origin(at) == origin(r.url)
		req := (&http.Request{Method: r.method, URL: at, Host: at.Host, Header: make(http.Header), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
		own := origin(at) == origin(e.base)
		if own {
			for k, v := range e.host.Header {
				req.Header[k] = v
			}
		}
		for k, v := range r.header { // with the realm's Authorization, which is refused below before it could go elsewhere
			req.Header[k] = v
		}
		if own && first && auth != "" {
			req.Header.Set("Authorization", auth)
		}
		req.Header.Set("User-Agent", e.client.agent)
		resp, err := e.send(req, r, own)
		if err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		discard(resp.Body)
		next, err := at.Parse(resp.Header.Get("Location"))
		switch {
		case err != nil || resp.Header.Get("Location") == "":
			return nil, e.refuse(errdefs.ErrFailedPrecondition, "redirects to nowhere")
		case r.method != http.MethodGet && r.method != http.MethodHead:
			return nil, e.refuse(errdefs.ErrFailedPrecondition, "redirects a %s request, which Hull does not follow", r.method)
		case hops == e.client.limits.Redirects:
			return nil, e.refuse(errdefs.ErrFailedPrecondition, "redirects more than %d times", hops)
		case r.realm && origin(next) != origin(r.url) && len(r.header["Authorization"]) > 0:
			return nil, e.refuse(errdefs.ErrPermissionDenied, "has a token server that redirects to %s, which gets no credentials", oneLine(next.Host, 100))
		}
		if err := e.checkForeign(at, next, "redirect"); err != nil {
			return nil, err
		}
		next.Fragment = ""
		at = next
	}
}

// send is one request and one response.
func (e *endpoint) send(req *http.Request, r *request, own bool) (*http.Response, error) {
	l := &e.client.limits
	wait := l.Header
	if r.commit {
		wait = l.Commit
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(wait, func() { cancel(stallError("did not answer within " + wait.String())) })
	req = req.WithContext(ctx)
	switch {
	case r.stream != nil:
		body, err := r.stream()
		if err != nil {
			timer.Stop()
			cancel(nil)
			return nil, &Error{text: "reading what is sent: " + oneLine(err.Error(), 300), class: classOf(err), cause: err, final: true}
		}
		sending := &upload{ReadCloser: body, timer: timer, idle: l.Idle, commit: l.Commit, left: r.size}
		defer sending.answered.Store(true)
		req.Body, req.ContentLength = sending, r.size
		if r.size == 0 { // net/http takes a length of 0 with a body for an unknown one
			body.Close()
			req.Body = http.NoBody
		}
	case r.body != nil:
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	case r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch:
		req.Body = http.NoBody
	}
	transport := e.pair.foreign
	if own {
		transport = e.pair.own
	}
	resp, err := transport.RoundTrip(req)
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		if refused := e.refusedDial(err); refused != nil {
			return nil, refused
		}
		var source sourceError
		if errors.As(err, &source) {
			return nil, &Error{text: "reading what is sent: " + oneLine(source.err.Error(), 300), class: classOf(source.err), cause: source.err, final: true}
		}
		return nil, e.broken(ctx, err)
	}
	resp.Body = newWatched(ctx, cancel, resp.Body, l)
	return resp, nil
}

// discard reads a small rest of a body, so that the connection can be used again.
func discard(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 4<<10)
	body.Close()
}

// waits counts the tries of one request.
type waits struct {
	tries int
	total time.Duration
}

// wait sleeps until a request may be tried again, or returns the error that ends it.
func (e *endpoint) wait(ctx context.Context, w *waits, err error) error {
	var got *Error
	if !errors.As(err, &got) || got.final || ctx.Err() != nil {
		return err
	}
	l := &e.client.limits
	w.tries++
	tries := l.Attempts
	var dial *net.OpError
	if errors.As(got.cause, &dial) && dial.Op == "dial" {
		tries = min(tries, 2) // a port where nothing listens is most often a wrong name
	}
	var stall stallError
	if errors.As(got.cause, &stall) {
		tries = min(tries, 3) // each took its time limit already
	}
	if w.tries >= tries {
		return err
	}
	pause := l.Backoff << (w.tries - 1)
	pause = pause/2 + rand.N(pause) // so that clients that failed together do not come back together
	if got.after > 0 {
		if got.after > l.MaxWait {
			late := *got
			late.text += ", and asks to come back in " + got.after.Round(time.Second).String()
			return &late
		}
		pause = max(pause, got.after)
	}
	if w.total += pause; w.total > l.TotalWait {
		return err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return e.broken(ctx, ctx.Err())
	}
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110, section 10.2.3).
func retryAfter(h http.Header) time.Duration {
	s := h.Get("Retry-After")
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
