package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// apiVersion is what hull speaks; it comes from the same source tree as hulld.
const apiVersion = "/v1.51"

const defaultHost = "unix:///run/hull/hull.sock"

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 64 << 20

// client speaks to one socket.
type client struct {
	host  string
	named bool // the user said which: none is started
	http  http.Client
	warn  io.Writer
}

func newClient(host string, warn io.Writer) *client {
	c := &client{host: host, named: host != "", warn: warn}
	if !c.named {
		c.host = defaultHost
	}
	c.http.Transport = &http.Transport{
		DialContext:        c.dial,
		DisableCompression: true,
		MaxIdleConns:       2,
	}
	return c
}

// dial connects, and starts a hulld where the user did not name one and none answers.
func (c *client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	path, ok := strings.CutPrefix(c.host, "unix://")
	if !ok {
		return nil, fmt.Errorf("host %q: hull speaks to unix:///PATH only", c.host)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return conn, nil
	}
	if c.named || !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("cannot connect to hulld at %s. Is it running? (%w)", c.host, err)
	}
	return startDaemon(ctx, path)
}

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

// do sends a call and returns the body of a good answer.
func (c *client) do(ctx context.Context, q call) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "hulld", Path: apiVersion + q.path, RawQuery: q.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), q.body)
	if err != nil {
		return nil, err
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	if resp.StatusCode < 400 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var e struct{ Message string }
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		e.Message = resp.Status
	}
	return nil, &answerError{resp.StatusCode, e.Message}
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
