package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type memory []byte

func (m memory) OpenAt(_ context.Context, _ ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[offset:])), nil
}

func blobOf(s string) (ocispec.Descriptor, Source) {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(s), Size: int64(len(s))}, memory(s)
}

// realm is a registry with a token server that hands out tokens with a number, of which the last `valid` are good.
type realm struct {
	mu     sync.Mutex
	issued int
	asked  []*http.Request // of the token server, bodies read into Form
	life   int
	revoke bool // the first token is not good a second time
	used   map[string]int
}

func (r *realm) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path == "/token" {
		req.ParseForm()
		r.asked = append(r.asked, req)
		r.issued++
		fmt.Fprintf(w, `{"token":"t%d","expires_in":%d,"refresh_token":"keep-me"}`, r.issued, r.life)
		return
	}
	auth := req.Header.Get("Authorization")
	r.used[auth]++
	if !strings.HasPrefix(auth, "Bearer t") || r.revoke && auth == "Bearer t1" && r.used[auth] > 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+req.Host+`/token",service="the service"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	serveIndex(w, req)
}

func tokenRegistry(t *testing.T, r *realm) string {
	t.Helper()
	r.used = make(map[string]int)
	srv, _ := server(t, false, r.ServeHTTP)
	return srv.Listener.Addr().String()
}

func TestTokens(t *testing.T) {
	r := &realm{life: 300, revoke: true}
	addr := tokenRegistry(t, r)
	c := New(Options{Limits: short, Credentials: Fixed{addr, Credential{Username: "u", Password: "secret"}}})
	get := func(name string) {
		t.Helper()
		if _, err := c.Fetch(t.Context(), ref(t, addr+"/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	get("a:1")
	q := r.asked[0]
	if u, p, _ := q.BasicAuth(); q.Method != http.MethodGet || u != "u" || p != "secret" || q.Form.Get("service") != "the service" || q.Form.Get("scope") != "repository:a:pull" || q.Form.Get("account") != "u" {
		t.Errorf("the token server was asked %s %v", q.Method, q.Form)
	}
	get("a:1") // t1 is revoked: another one is fetched
	if r.issued != 2 {
		t.Errorf("%d tokens for a revoked one, want 2", r.issued)
	}
	get("a:2")
	if r.issued != 2 {
		t.Errorf("%d tokens for one repository", r.issued)
	}
	before := r.used[""]
	get("b:1")
	if r.issued != 3 || r.used[""] != before {
		t.Errorf("another repository: %d tokens, and %d requests without one", r.issued, r.used[""]-before)
	}
	// Many at once fetch one token.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { c.Fetch(context.Background(), ref(t, addr+"/c:1")) })
	}
	wg.Wait()
	if r.issued != 4 {
		t.Errorf("%d tokens, want 4: parallel requests share one", r.issued)
	}
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	r := &realm{life: 1}
	addr := tokenRegistry(t, r)
	c := New(Options{Limits: short})
	for range 2 {
		if _, err := c.Fetch(t.Context(), ref(t, addr+"/a:1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1050 * time.Millisecond)
	}
	if r.issued != 2 {
		t.Errorf("%d tokens of one second in two seconds, want 2", r.issued)
	}
}

func TestIdentityToken(t *testing.T) {
	r := &realm{life: 300}
	addr := tokenRegistry(t, r)
	c := New(Options{Limits: short})
	kept, err := c.Login(t.Context(), addr, Credential{Username: "u", Password: "secret"})
	if err != nil || kept.IdentityToken != "keep-me" || kept.Password != "" {
		t.Fatalf("login: got %v, %v", kept.IdentityToken, err)
	}
	if q := r.asked[len(r.asked)-1]; q.Form.Get("offline_token") != "true" || q.Form.Get("client_id") == "" {
		t.Errorf("login asked %v", q.Form)
	}
	if _, err := c.WithCredentials(Fixed{addr, kept}).Fetch(t.Context(), ref(t, addr+"/a:1")); err != nil {
		t.Fatal(err)
	}
	if q := r.asked[len(r.asked)-1]; q.Method != http.MethodPost || q.PostForm.Get("grant_type") != "refresh_token" || q.PostForm.Get("refresh_token") != "keep-me" || q.PostForm.Get("scope") != "repository:a:pull" || q.Header.Get("Authorization") != "" {
		t.Errorf("the token server was asked %s %v", q.Method, q.PostForm)
	}
}

func TestRegistryToken(t *testing.T) {
	r := &realm{life: 300}
	addr := tokenRegistry(t, r)
	if _, err := New(Options{Limits: short, Credentials: Fixed{addr, Credential{RegistryToken: "t-given"}}}).Fetch(t.Context(), ref(t, addr+"/a:1")); err != nil || len(r.asked) != 0 {
		t.Errorf("got %v after %d questions to the token server", err, len(r.asked))
	}
	_, err := New(Options{Limits: short, Credentials: Fixed{addr, Credential{RegistryToken: "wrong"}}}).Fetch(t.Context(), ref(t, addr+"/a:1"))
	if !errdefs.IsUnauthorized(err) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong token: got %v", err)
	}
}

type brokenStore struct{ asked atomic.Int32 }

func (b *brokenStore) Credential(context.Context, string) (Credential, error) {
	b.asked.Add(1)
	return Credential{}, errors.New("the keychain is locked")
}

// TestBrokenStore: no request with or without credentials follows (CVE-2021-41092); and a store is not asked before a registry is.
func TestBrokenStore(t *testing.T) {
	r := &realm{life: 300}
	addr := tokenRegistry(t, r)
	store := &brokenStore{}
	_, err := New(Options{Limits: short, Credentials: store}).Fetch(t.Context(), ref(t, addr+"/a:1"))
	if err == nil || !strings.Contains(err.Error(), "the keychain is locked") || len(r.asked) != 0 || r.used[""] != 1 {
		t.Errorf("got %v; the token server was asked %d times", err, len(r.asked))
	}
	open, _ := server(t, false, serveIndex)
	if _, err := New(Options{Limits: short, Credentials: store}).Fetch(t.Context(), ref(t, open.Listener.Addr().String()+"/a:1")); err != nil || store.asked.Load() != 1 {
		t.Errorf("a registry that does not ask: %v, and the store was asked %d times", err, store.asked.Load())
	}
}

// TestCredentialsDoNotPrint: in no format, and not as JSON.
func TestCredentialsDoNotPrint(t *testing.T) {
	c := Credential{Username: "u", Password: "secret", IdentityToken: "secret", RegistryToken: "secret"}
	f := Fixed{"h", c}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{c, &c, f, &f, []Credential{c}, struct{ C Credential }{c}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "secret") || strings.Contains(s, "736563726574") {
				t.Errorf("%s of a %T shows it: %s", verb, v, s)
			}
		}
	}
	if b, err := json.Marshal(f); err != nil || bytes.Contains(b, []byte("secret")) {
		t.Errorf("JSON: %s, %v", b, err)
	}
}

func TestRedact(t *testing.T) {
	a := newAuthorizer(nil, "h")
	a.mu.Lock()
	a.hide("p@ss word", "p@ss word and more", "x", "")
	a.mu.Unlock()
	for in, want := range map[string]string{
		"a p@ss word and more b": "a (redacted) b", "p@ss word": "(redacted)", "q=p%40ss+word&": "q=(redacted)&", "cEBzcyB3b3Jk": "(redacted)", "x": "x", "": "",
	} {
		if got := a.redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

var challengeCases = map[string]string{
	`Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"`: `[bearer realm=https://a/t scope=repository:a/b:pull,push service=s]`,
	`Basic realm="x"`:                        `[basic realm=x]`,
	`basic`:                                  `[basic]`,
	`Negotiate, Basic realm="a, \"b\"", X`:   `[negotiate basic realm=a, "b" x]`,
	`Bearer realm=https://a/t , service = s`: `[bearer realm=https://a/t service=s]`,
	`BEARER REALM="x"`:                       `[bearer realm=x]`,
	``:                                       `[]`,
	` , ,Basic`:                              `[basic]`,
	`realm="x"`:                              `error`,
	`Bearer realm="x`:                        `error`,
	`Bearer realm="x\`:                       `error`,
	`Bearer realm="x" service="y"`:           `error`,
	`Bearer realm="x",realm="y"`:             `error`,
	"Bearer realm=\"x\x01\"":                 `error`,
	`Bearer "x"`:                             `error`,
	`(`:                                      `error`,
	`Bearer/x realm="y"`:                     `error`,
	strings.Repeat("A ", 9):                  `error`,
	"B " + manyParams:                        `error`,
}

var manyParams = func() string {
	s := ""
	for i := range 20 {
		s += fmt.Sprintf("p%d=x,", i)
	}
	return s
}()

func show(list []challenge, err error) string {
	if err != nil {
		return "error"
	}
	var words []string
	for _, c := range list {
		words = append(words, c.scheme)
		for _, k := range []string{"realm", "scope", "service"} {
			if v, ok := c.params[k]; ok {
				words = append(words, k+"="+v)
			}
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}

func TestParseChallenges(t *testing.T) {
	for in, want := range challengeCases {
		if got := show(parseChallenges(http.Header{"Www-Authenticate": {in}})); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for in := range challengeCases {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseChallenges(http.Header{"Www-Authenticate": {s}})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 200 {
				t.Fatalf("the error is not one line: %q", err)
			}
			return
		}
		if len(list) > maxChallenges {
			t.Fatalf("%d challenges", len(list))
		}
		for _, c := range list {
			if c.scheme == "" || len(c.params) > maxParams {
				t.Fatalf("scheme %q with %d parameters", c.scheme, len(c.params))
			}
			for k, v := range c.params {
				if !strings.Contains(strings.ToLower(s), k) || strings.ContainsAny(v, "\r\n\x00") {
					t.Fatalf("parameter %q=%q out of nowhere, or with a line in it", k, v)
				}
			}
		}
	})
}

func FuzzErrors(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"DENIED","message":"denied","detail":{"a":[1]}}]}`))
	f.Add([]byte(`{"details":"incorrect"}`))
	f.Add([]byte(`{"error":"invalid_grant","error_description":"no"}`))
	f.Add([]byte("{\"errors\":[{\"message\":\"\\u001b[2J\\n\\u202e\xff\"}]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := parseErrors(body)
		for _, s := range []string{code, message} {
			if len(s) > 210 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u202e' || r == '\u2028' }) {
				t.Fatalf("%q is not fit for a terminal", s)
			}
		}
	})
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-1/2")
	f.Add("bytes 5-9/*")
	f.Add("bytes -1--2/+3")
	f.Fuzz(func(t *testing.T, s string) {
		start, end, total, err := contentRange(s)
		if err == nil && (start < 0 || end < start || total != -1 && end >= total) {
			t.Fatalf("%q: %d-%d/%d", s, start, end, total)
		}
	})
}

// TestTriesAreCounted: a failure that may pass is tried again Limits.Attempts times in all, one that will not pass once.
func TestTriesAreCounted(t *testing.T) {
	l := short
	l.Attempts = 4
	for status, want := range map[int]int32{503: 4, 500: 4, 429: 4, 404: 1, 403: 1, 400: 1, 501: 1} {
		srv, hits := server(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		c := New(Options{Limits: l})
		_, err := c.Fetch(t.Context(), ref(t, srv.Listener.Addr().String()+"/a:1"))
		if err == nil || hits.Load() != want {
			t.Errorf("status %d: %d requests, want %d; %v", status, hits.Load(), want, err)
		}
	}
}

// TestIfRange: the rest of a blob is asked for on the condition that it is the same one.
func TestIfRange(t *testing.T) {
	text := strings.Repeat("0123456789", 10)
	var asked []string
	srv, _ := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
		w.Header().Set("ETag", `"tag"`)
		if r.Header.Get("Range") != "" {
			w.Header().Set("Content-Range", "bytes 30-99/100")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, text[30:])
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, text[:30])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	desc, _ := blobOf(text)
	b, err := New(Options{Limits: short}).OpenBlob(t.Context(), ref(t, srv.Listener.Addr().String()+"/a").Repository, desc, BlobOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil || string(got) != text || len(asked) != 2 || asked[1] != `bytes=30-99 "tag"` {
		t.Errorf("got %q, %v, after %q", got, err, asked)
	}
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "-5": 0, "x": 0, "99999999999999999999": 0, "Mon, 02 Jan 2006 15:04:05 GMT": 0} {
		if got := retryAfter(http.Header{"Retry-After": {in}}); got != want {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}
