package build

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/moby/buildkit/identity"
)

// bodyHost is a name that no other host has: below it are the contexts that clients send in a
// request.
const bodyHost = "build-context.invalid"

// bodies give the solver's HTTP source the contexts that came with requests. Other requests go out.
type bodies struct {
	out http.RoundTripper
	mu  sync.Mutex
	m   map[string]io.Reader
}

func newBodies() *bodies {
	return &bodies{out: http.DefaultTransport, m: make(map[string]io.Reader)}
}

// add gives a body a URL, which works once and until done is called.
func (b *bodies) add(r io.Reader) (url string, done func()) {
	if r == nil {
		r = http.NoBody
	}
	id := identity.NewID()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m[id] = r
	return "http://" + bodyHost + "/" + id, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.m, id)
	}
}

// RoundTrip implements http.RoundTripper.
func (b *bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != bodyHost {
		return b.out.RoundTrip(r)
	}
	if r.Method != http.MethodGet {
		return nil, errors.New("a context can only be read")
	}
	id := r.URL.Path[min(1, len(r.URL.Path)):]
	b.mu.Lock()
	body, ok := b.m[id]
	delete(b.m, id)
	b.mu.Unlock()
	if !ok {
		return nil, errors.New("the context was sent once and cannot be read again")
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

// jobs are builds by the id of their clients.
type jobs struct {
	mu sync.Mutex
	m  map[string]*job
}

// job is one of them: the build, and the request that brings its context.
type job struct {
	users    int
	body     chan io.Reader
	finished chan struct{}
	mu       sync.Mutex
	cancels  []func()
}

func (s *jobs) join(id string) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string]*job)
	}
	j := s.m[id]
	if j == nil {
		j = &job{body: make(chan io.Reader), finished: make(chan struct{})}
		s.m[id] = j
	}
	j.users++
	return j
}

func (s *jobs) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.m[id]; j != nil {
		if j.users--; j.users == 0 {
			delete(s.m, id)
		}
	}
}

func (s *jobs) cancel(id string) {
	s.mu.Lock()
	j := s.m[id]
	s.mu.Unlock()
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cancels {
		c()
	}
}

func (j *job) onCancel(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cancels = append(j.cancels, f)
}

// upload hands a body over and returns when it was used.
func (j *job) upload(ctx context.Context, r io.Reader) error {
	select {
	case j.body <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-j.finished:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (j *job) wait(ctx context.Context) (io.Reader, error) {
	select {
	case r := <-j.body:
		return r, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (j *job) finish() { close(j.finished) }
