package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// apiVersion is the newest version that hull speaks. hulld, of the same source tree, is spoken to
// in it at once; a daemon that the user named is asked first what it can.
const apiVersion = "/v1.51"

// oldestVersion is what a daemon that does not say speaks.
const oldestVersion = "1.24"

const defaultHost = "unix:///run/hull/hull.sock"

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 64 << 20

// client speaks to one daemon.
type client struct {
	endpoint
	http    http.Client
	header  map[string]string // of the user's configuration, sent with each request
	fixed   string            // version that the user asked for
	version string            // agreed on; empty until then
}

func newClient(e endpoint) *client {
	c := &client{endpoint: e}
	c.http.Transport = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.connect(ctx) },
		DisableCompression: true,
		MaxIdleConns:       6,
	}
	return c
}

// connect opens a connection, and starts a hulld where the user did not name a daemon and none
// answers.
func (c *client) connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.dial(ctx)
	if err == nil {
		return conn, nil
	}
	if c.host != "" || !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		return nil, &unreachableError{c.url(), err}
	}
	return startDaemon(ctx, c.address)
}

// url is the daemon's address for people.
func (c *client) url() string {
	if c.host == "" {
		return defaultHost
	}
	return c.host
}

// unreachableError is that no daemon answers.
type unreachableError struct {
	host  string
	cause error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot connect to hulld at %s. Is it running? (%v)", e.host, e.cause)
}
func (e *unreachableError) Unwrap() error { return e.cause }

// agree settles the version of the API: the user's, else the lesser of hull's and the daemon's.
func (c *client) agree(ctx context.Context) error {
	switch {
	case c.version != "":
		return nil
	case c.fixed != "":
		c.version = c.fixed
		return nil
	case c.host == "":
		c.version = apiVersion[2:]
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, "HEAD", "http://hulld/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	theirs := resp.Header.Get("Api-Version")
	if theirs == "" {
		theirs = oldestVersion
	}
	if newer(theirs, apiVersion[2:]) {
		theirs = apiVersion[2:]
	}
	c.version = theirs
	return nil
}

// newer compares versions such as 1.24; what is no version is older than all.
func newer(a, b string) bool {
	n := func(s string) (v int) {
		major, minor, _ := strings.Cut(s, ".")
		x, err1 := strconv.Atoi(major)
		y, err2 := strconv.Atoi(minor)
		if err1 != nil || err2 != nil {
			return -1
		}
		return x*10000 + y
	}
	return n(a) > n(b)
}

// has says whether the agreed version is at least v.
func (c *client) has(v string) bool { return !newer(v, c.version) }

// answerError is an error that hulld gave.
type answerError struct {
	status  int
	message string
}

func (e *answerError) Error() string { return "Error response from daemon: " + e.message }

// call is one request. header and body may be nil.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader
}

// request makes the HTTP request of a call.
func (c *client) request(ctx context.Context, q call) (*http.Request, error) {
	if err := c.agree(ctx); err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "http", Host: "hulld", Path: "/v" + c.version + q.path, RawQuery: q.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), q.body)
	if err != nil {
		return nil, err
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	return req, nil
}

func (c *client) send(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return resp, err
}

// answer sends a call and returns a good answer, with its header.
func (c *client) answer(ctx context.Context, q call) (*http.Response, error) {
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, badAnswer(resp)
}

// badAnswer is the error that an answer carries.
func badAnswer(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var e struct{ Message string }
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		e.Message = resp.Status
	}
	return &answerError{resp.StatusCode, strings.TrimSpace(e.Message)}
}

// do sends a call and returns the body of a good answer.
func (c *client) do(ctx context.Context, q call) (io.ReadCloser, error) {
	resp, err := c.answer(ctx, q)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// post sends a JSON body, which may be nil, and reads an answer into v, which may be, too.
func (c *client) post(ctx context.Context, path string, query url.Values, body, v any) error {
	q := call{method: "POST", path: path, query: query}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		q.body, q.header = bytes.NewReader(raw), http.Header{"Content-Type": {"application/json"}}
	}
	return c.get(ctx, q, v)
}

// missing says whether the daemon does not know an object.
func missing(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status == http.StatusNotFound
}

// get reads an answer into v; a nil v drops it.
func (c *client) get(ctx context.Context, q call, v any) error {
	body, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer body.Close()
	if v == nil {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer of hulld: %w", err)
	}
	if len(raw) > maxAnswer {
		return fmt.Errorf("the answer of hulld is over %d bytes", maxAnswer)
	}
	if keep, ok := v.(*json.RawMessage); ok {
		*keep = raw
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("reading the answer of hulld: %w", err)
	}
	return nil
}

// filterQuery encodes KEY=VALUE filters.
func filterQuery(filters []string) (string, error) {
	if len(filters) == 0 {
		return "", nil
	}
	set := make(map[string]map[string]bool)
	for _, f := range filters {
		k, v, ok := strings.Cut(f, "=")
		if !ok {
			return "", misused("bad format of filter (expected name=value): %q", f)
		}
		if k, not := strings.CutSuffix(k, "!"); not {
			f = k + "!"
		} else {
			f = k
		}
		if set[f] == nil {
			set[f] = make(map[string]bool)
		}
		set[f][v] = true
	}
	raw, err := json.Marshal(set)
	return string(raw), err
}
