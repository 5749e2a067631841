package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Want is what a good client makes of a behaviour.
type Want int

// Verdicts.
const (
	Refused   Want = iota // one error
	Recovered             // the image, whole
)

// Behaviour is one way to misbehave.
type Behaviour struct {
	Name string
	Want Want
	Tags bool // it is about listing tags rather than pulling

	setup func(*Server)                                                        // may be nil
	serve func(s *Server, w http.ResponseWriter, r *http.Request, k Kind) bool // false: what a good registry does
}

// Kind is what a request asks for.
type Kind int

// Kinds of requests.
const (
	Other Kind = iota
	Ping
	Token
	ByTag    // a manifest
	ByDigest // a manifest
	Blob     // the layer
	Config
	TagList
)

// Server is a registry and a thief.
type Server struct {
	Image *Image

	behaviour Behaviour
	listeners []net.Listener
	servers   []*http.Server
	quit      chan struct{} // closed by Close: slow answers end

	mu     sync.Mutex
	healed bool
	basic  bool // login by Basic
	tokens int
	count  map[Kind]int
	stolen []string
}

// Start starts the registry on loopback with one behaviour; the zero Behaviour is a good registry.
func Start(b Behaviour) (*Server, error) {
	s := &Server{Image: newImage(b.Name), behaviour: b, quit: make(chan struct{}), count: make(map[Kind]int)}
	if b.setup != nil {
		b.setup(s)
	}
	for _, h := range []http.HandlerFunc{s.registry, s.thief} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("starting a registry for tests: %w", err)
		}
		srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
		s.listeners, s.servers = append(s.listeners, l), append(s.servers, srv)
		go srv.Serve(l)
	}
	return s, nil
}

// Host is host:port of the registry.
func (s *Server) Host() string { return s.listeners[0].Addr().String() }

// Thief is host:port of the other host.
func (s *Server) Thief() string { return s.listeners[1].Addr().String() }

// Heal makes it a good registry.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = true
}

// Stolen lists what the thief got hold of.
func (s *Server) Stolen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stolen
}

// Requests is how many requests of a kind there were.
func (s *Server) Requests(k Kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[k]
}

// Secrets are the texts that must not be seen anywhere.
func Secrets() []string {
	return []string{Password, url.QueryEscape(Password), base64.StdEncoding.EncodeToString([]byte(User + ":" + Password)), tokenPrefix}
}

// Close ends the servers and what they are doing.
func (s *Server) Close() {
	close(s.quit)
	for _, srv := range s.servers {
		srv.Close()
	}
}

// pause sleeps, shorter when the server is closed or the client has gone; false then.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.quit:
	case <-r.Context().Done():
	}
	return false
}

const tokenPrefix = "token-of-mallory-"

func (s *Server) kind(path string) Kind {
	base := "/v2/" + Repository
	switch {
	case path == "/token":
		return Token
	case path == "/v2/":
		return Ping
	case path == base+"/tags/list":
		return TagList
	case strings.HasPrefix(path, base+"/manifests/sha256:"):
		return ByDigest
	case strings.HasPrefix(path, base+"/manifests/"):
		return ByTag
	case path == base+"/blobs/"+Digest(s.Image.Layer):
		return Blob
	case strings.HasPrefix(path, base+"/blobs/"):
		return Config
	}
	return Other
}

// registry is the host that is pulled from.
func (s *Server) registry(w http.ResponseWriter, r *http.Request) {
	k := s.kind(r.URL.Path)
	s.mu.Lock()
	s.count[k]++
	bad := !s.healed && s.behaviour.serve != nil
	s.mu.Unlock()
	// A behaviour begins behind the login, unless it is about that.
	if bad && s.behaviour.serve(s, w, r, k) {
		return
	}
	s.good(w, r, k)
}

// good is what a registry should do.
func (s *Server) good(w http.ResponseWriter, r *http.Request, k Kind) {
	if k == Token {
		user, password, ok := r.BasicAuth()
		if !ok || user != User || password != Password {
			http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
			return
		}
		s.mu.Lock()
		s.tokens++
		token := fmt.Sprintf("%s%d", tokenPrefix, s.tokens)
		s.mu.Unlock()
		fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, token)
		return
	}
	if !s.allowed(r) {
		s.challenge(w)
		return
	}
	s.content(w, r, k)
}

// allowed says whether a request carries the token or the password.
func (s *Server) allowed(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.basic {
		user, password, ok := r.BasicAuth()
		return ok && user == User && password == Password
	}
	return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+tokenPrefix)
}

func (s *Server) challenge(w http.ResponseWriter) {
	s.mu.Lock()
	basic := s.basic
	s.mu.Unlock()
	if basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
	} else {
		w.Header().Set("WWW-Authenticate", s.bearer("http://"+s.Host()+"/token"))
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func (s *Server) bearer(realm string) string {
	return fmt.Sprintf(`Bearer realm=%q,service="registry",scope="repository:%s:pull"`, realm, Repository)
}

// content serves the image.
func (s *Server) content(w http.ResponseWriter, r *http.Request, k Kind) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch k {
	case Ping:
	case ByTag, ByDigest:
		s.mu.Lock()
		kind, b := s.Image.document(name)
		s.mu.Unlock()
		if b == nil {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Docker-Content-Digest", Digest(b))
		w.Write(b)
	case Blob, Config:
		b := s.Image.blob(name)
		if b == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"`+name+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	case TagList:
		fmt.Fprintf(w, `{"name":%q,"tags":[%q]}`, Repository, Tag)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// thief serves the image to everybody and looks for secrets in what it is sent.
func (s *Server) thief(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	seen := r.URL.String() + "\n" + string(body) + "\n"
	for name, values := range r.Header {
		seen += name + ": " + strings.Join(values, " ") + "\n"
	}
	s.mu.Lock()
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		s.stolen = append(s.stolen, r.Method+" "+r.URL.Path+" with credentials")
	}
	for _, secret := range Secrets() {
		if strings.Contains(seen, secret) {
			s.stolen = append(s.stolen, r.Method+" "+r.URL.Path+" with a secret")
		}
	}
	s.mu.Unlock()
	if r.URL.Path == "/token" {
		fmt.Fprintf(w, `{"token":"%sthief"}`, tokenPrefix)
		return
	}
	s.content(w, r, s.kind(r.URL.Path))
}
