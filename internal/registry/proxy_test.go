package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// breakingProxy stands before a registry and breaks requests: limit says after how many bytes of a request's body both
// connections are cut, -1 for not. sent counts the bytes of bodies.
func breakingProxy(t *testing.T, addr string, limit func(*http.Request) int64, sent *atomic.Int64) goodRegistry {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	direct := proxy.Director
	proxy.Director = func(r *http.Request) { direct(r) } // the Host header stays: Location headers lead back here
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &breaking{r.Body, limit(r), sent}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return goodRegistry{addr: srv.Listener.Addr().String()}
}

type breaking struct {
	io.ReadCloser
	left int64 // before the break; negative for none
	sent *atomic.Int64
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < -1 {
		b.left = -1
	}
	b.sent.Add(int64(n))
	return n, err
}

// keepingRegistry is the part of a registry that takes uploads, as the distribution specification has it: it keeps what came
// of a broken request and says how far it got. It serves the blobs that were committed.
func keepingRegistry(t *testing.T) goodRegistry {
	t.Helper()
	k := &keeping{uploads: make(map[string][]byte), blobs: make(map[string][]byte)}
	srv := httptest.NewServer(k)
	t.Cleanup(srv.Close)
	return goodRegistry{addr: srv.Listener.Addr().String()}
}

type keeping struct {
	mu      sync.Mutex
	uploads map[string][]byte // by path
	blobs   map[string][]byte // by digest
}

func (k *keeping) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if r.Method == http.MethodPost {
		k.mu.Lock()
		defer k.mu.Unlock()
		at := fmt.Sprintf("%s%d", r.URL.Path, len(k.uploads))
		k.uploads[at] = []byte{}
		w.Header().Set("Location", at+"?state=a%2Fb")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if strings.HasPrefix(name, "sha256:") {
		k.mu.Lock()
		b, ok := k.blobs[name]
		k.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		return
	}
	k.mu.Lock() // a question about an upload waits until a broken request has ended
	defer k.mu.Unlock()
	body, broke := io.ReadAll(r.Body)
	have, ok := k.uploads[r.URL.Path]
	if !ok || r.URL.Query().Get("state") != "a/b" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if s := r.Header.Get("Content-Range"); s != "" && !strings.HasPrefix(s, fmt.Sprintf("%d-", len(have))) || s == "" && len(have) > 0 && len(body) > 0 {
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	have = append(have, body...)
	k.uploads[r.URL.Path] = have
	if broke != nil {
		return
	}
	w.Header().Set("Location", r.URL.RequestURI())
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, len(have)-1)))
	switch r.Method {
	case http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		d := r.URL.Query().Get("digest")
		if string(digest.FromBytes(have)) != d {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		k.blobs[d] = have
		w.Header().Set("Docker-Content-Digest", d)
		w.WriteHeader(http.StatusCreated)
	}
}
