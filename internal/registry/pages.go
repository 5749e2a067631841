package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
)

// page is one answer of a list.
type page struct {
	resp *http.Response
	body []byte
}

// pages reads a list that may come in several answers, each naming the next with a Link header (RFC 8288), which must lead to
// the same host and to a place where it was not before. each returns false to end.
func (e *endpoint) pages(ctx context.Context, r *request, each func(page) (bool, error)) error {
	seen := make(map[string]bool)
	for {
		seen[r.url.String()] = true
		resp, body, err := e.roundTrip(ctx, r)
		if err != nil {
			return err
		}
		if more, err := each(page{resp, body}); err != nil || !more {
			return err
		}
		next, err := e.next(r.url, resp.Header.Get("Link"))
		if err != nil || next == nil {
			return err
		}
		if seen[next.String()] {
			return e.refuse(errdefs.ErrFailedPrecondition, "gives a list whose pages go round in a circle")
		}
		if len(seen) == maxTagPages {
			return e.refuse(errdefs.ErrResourceExhausted, "gives a list of more than %d pages", maxTagPages)
		}
		again := *r
		again.url = next
		r = &again
	}
}

// next reads `<url>; rel="next"`; nil if there is none.
func (e *endpoint) next(from *url.URL, link string) (*url.URL, error) {
	for part := range strings.SplitSeq(link, ",") {
		target, params, ok := strings.Cut(strings.TrimSpace(part), ">")
		target, ok2 := strings.CutPrefix(target, "<")
		rel := strings.ReplaceAll(strings.ReplaceAll(params, `"`, ""), " ", "")
		if !ok || !ok2 || !strings.Contains(rel+";", ";rel=next;") {
			continue
		}
		u, err := from.Parse(target)
		if err != nil || len(target) > maxURL {
			return nil, e.refuse(errdefs.ErrFailedPrecondition, "gives a list whose next page has no valid address")
		}
		if origin(u) != origin(e.base) || u.User != nil {
			return nil, e.refuse(errdefs.ErrPermissionDenied, "gives a list whose next page is on another host, %s", oneLine(u.Host, 100))
		}
		return u, nil
	}
	return nil, nil
}
