package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/containerd/errdefs"
)

// Download opens what a URL that a user named holds (`docker import URL`). It is no registry's, but the daemon asks from where it
// stands, so the rules for addresses that a registry may send to hold: http and https, never from https to http, no
// credentials in URLs, not to this machine or a link-local address, by name or by number; no header is sent that names anybody.
// size is -1 when the server does not say. The body ends with an error when it stalls, or ends before its size.
func (c *Client) Download(ctx context.Context, at string) (body io.ReadCloser, size int64, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, 0, fmt.Errorf("downloading: the URL cannot be read: %w", errdefs.ErrInvalidArgument) // without what may be a password in it
	}
	if err := checkDownload(u); err != nil {
		return nil, 0, fmt.Errorf("downloading %s: %w", shown(at), err)
	}
	pair, err := c.transports.get(&Host{Scheme: "https"}, c.limits)
	if err != nil {
		return nil, 0, err
	}
	client := &http.Client{Transport: pair.foreign, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		r.Header.Del("Referer")
		switch {
		case len(via) > c.limits.Redirects:
			return fmt.Errorf("more than %d redirects: %w", c.limits.Redirects, errdefs.ErrFailedPrecondition)
		case via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme == "http":
			return fmt.Errorf("a redirect from https to plain http at %s: %w", oneLine(r.URL.Host, 100), errdefs.ErrPermissionDenied)
		}
		return checkDownload(r.URL)
	}}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.limits.Request, func() { cancel(stallError("no answer within " + c.limits.Request.String())) })
	fail := func(err error) (io.ReadCloser, int64, error) {
		timer.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		var a addressError
		if errors.As(err, &a) {
			err = fmt.Errorf("the name %v: %w", a, errdefs.ErrPermissionDenied)
		}
		return nil, 0, fmt.Errorf("downloading %s: %w", shown(at), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fail(errdefs.ErrInvalidArgument)
	}
	req.Header.Set("User-Agent", c.agent)
	resp, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	if !timer.Stop() || resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return fail(fmt.Errorf("the server answers %q: %w", oneLine(resp.Status, 100), errdefs.ErrFailedPrecondition))
	}
	return newWatched(ctx, cancel, resp.Body, &c.limits), resp.ContentLength, nil
}

// checkDownload refuses a URL before a connection is made. A name is judged by what it resolves to, at the socket.
func checkDownload(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("want http://HOST/… or https://HOST/…: %w", errdefs.ErrInvalidArgument)
	case u.User != nil:
		return fmt.Errorf("credentials in a URL: %w", errdefs.ErrPermissionDenied)
	case len(u.String()) > maxURL:
		return fmt.Errorf("a URL of more than %d bytes: %w", maxURL, errdefs.ErrInvalidArgument)
	case loopback(u.Hostname()):
		return fmt.Errorf("%s is this machine: fetch it and import it from standard input: %w", oneLine(u.Hostname(), 100), errdefs.ErrPermissionDenied)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := refusedAddress(false)(ip); err != nil {
			return fmt.Errorf("the URL %w: %w", err, errdefs.ErrPermissionDenied)
		}
	}
	return nil
}
