package registry

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/reference"
)

// network lets a client reach servers on loopback under names and ports of its own, as if they were out there.
type network map[string]net.Addr // by host:port

func (n network) transports() *Transports {
	t := NewTransports()
	t.dial = func(ctx context.Context, proto, addr string) (net.Conn, error) {
		to, ok := n[addr]
		if !ok {
			return nil, &net.OpError{Op: "dial", Net: proto, Err: fmt.Errorf("no route to %s", addr)}
		}
		var d net.Dialer
		return d.DialContext(ctx, to.Network(), to.String())
	}
	return t
}

// server starts one with TLS or without; hits counts its requests.
func server(t *testing.T, secure bool, h http.HandlerFunc) (srv *httptest.Server, hits *atomic.Int32) {
	t.Helper()
	hits = new(atomic.Int32)
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		h(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, hits
}

// pemOf is the certificate of a server with TLS, which is for example.com and 127.0.0.1.
func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

type fixedHosts map[string]Host

func (f fixedHosts) Hosts(domain string) ([]Host, error) {
	if h, ok := f[domain]; ok {
		return []Host{h}, nil
	}
	return []Host{Upstream(domain)}, nil
}

var short = Limits{Connect: time.Second, Handshake: time.Second, Header: 2 * time.Second, Request: 3 * time.Second, Attempts: 2, Backoff: time.Millisecond}

func ref(t *testing.T, s string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`

func serveIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	io.WriteString(w, emptyIndex)
}

// TestNoPlainHTTP: a registry on the network that speaks no TLS is refused, and no request reaches it (CVE-2014-5277); one that
// the configuration names with http:// is spoken to.
func TestNoPlainHTTP(t *testing.T) {
	srv, hits := server(t, false, serveIndex)
	out := network{"example.com:443": srv.Listener.Addr(), "example.com:80": srv.Listener.Addr()}
	_, err := New(Options{Transports: out.transports(), Limits: short}).Fetch(t.Context(), ref(t, "example.com/app:1"))
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS") || hits.Load() != 0 {
		t.Errorf("got %v after %d requests", err, hits.Load())
	}
	named := fixedHosts{"example.com": {Scheme: "http", Addr: "example.com", Pull: true, Resolve: true}}
	if _, err := New(Options{Transports: out.transports(), Limits: short, Hosts: named}).Fetch(t.Context(), ref(t, "example.com/app:1")); err != nil || hits.Load() != 1 {
		t.Errorf("named: got %v after %d requests", err, hits.Load())
	}
	// On loopback TLS is tried first; a certificate that does not verify does not lead to plain HTTP.
	secure, hits := server(t, true, serveIndex)
	if _, err := New(Options{Limits: short}).Fetch(t.Context(), ref(t, secure.Listener.Addr().String()+"/app:1")); err == nil || !strings.Contains(err.Error(), "certificate") || hits.Load() != 0 {
		t.Errorf("on loopback with a certificate of nobody: got %v after %d requests", err, hits.Load())
	}
}

func TestCertificates(t *testing.T) {
	srv, _ := server(t, true, serveIndex)
	out := network{"example.com:443": srv.Listener.Addr(), "elsewhere.test:443": srv.Listener.Addr()}
	fetch := func(domain string, h Host) error {
		h.Scheme, h.Addr, h.Pull, h.Resolve = "https", domain, true, true
		_, err := New(Options{Transports: out.transports(), Limits: short, Hosts: fixedHosts{domain: h}}).Fetch(t.Context(), ref(t, domain+"/app:1"))
		return err
	}
	if err := fetch("example.com", Host{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: got %v", err)
	}
	if err := fetch("example.com", Host{CA: pemOf(srv)}); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	if err := fetch("elsewhere.test", Host{CA: pemOf(srv)}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of another name: got %v", err)
	}
	if err := fetch("elsewhere.test", Host{SkipVerify: true}); err != nil {
		t.Errorf("not verified: %v", err)
	}
	if err := fetch("example.com", Host{CA: []byte("none")}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("an authority that is none: got %v", err)
	}
}

// TestClientCertificate: it is shown to the host that it is for, and to no host that this one redirects to.
func TestClientCertificate(t *testing.T) {
	var shown atomic.Int32
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown.Add(int32(len(r.TLS.PeerCertificates)))
		serveIndex(w, r)
	}))
	other.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	other.StartTLS()
	t.Cleanup(other.Close)
	redirect := ""
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redirect != "" {
			http.Redirect(w, r, redirect, http.StatusFound)
			return
		}
		serveIndex(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	// The test server's own certificate serves as the client's.
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pair := Certificate{Cert: pemOf(srv), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})}
	out := network{"example.com:443": srv.Listener.Addr(), "blobs.example.com:443": other.Listener.Addr(), "blobs.test:443": other.Listener.Addr()}
	get := func(h Host) error {
		h.Scheme, h.Addr, h.Pull, h.Resolve, h.CA = "https", "example.com", true, true, pemOf(srv)
		_, err := New(Options{Transports: out.transports(), Limits: short, Hosts: fixedHosts{"example.com": h}}).Fetch(t.Context(), ref(t, "example.com/app:1"))
		return err
	}
	if err := get(Host{}); err == nil {
		t.Error("without a certificate: accepted")
	}
	if err := get(Host{Client: []Certificate{pair}}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	redirect = "https://blobs.example.com/x"
	if err := get(Host{Client: []Certificate{pair}}); err != nil || shown.Load() != 0 {
		t.Errorf("a redirect: got %v, and the other host was shown %d certificates", err, shown.Load())
	}
	redirect = "https://blobs.test/x" // which the certificate is not for
	if err := get(Host{Client: []Certificate{pair}, SkipVerify: true}); err == nil || !strings.Contains(err.Error(), "certificate") || shown.Load() != 0 {
		t.Errorf("a redirect from a host that is not verified to one that is: got %v, %d certificates shown", err, shown.Load())
	}
}

// TestForeignAddresses: where a registry on the network may send a client.
func TestForeignAddresses(t *testing.T) {
	c := New(Options{Hosts: fixedHosts{"plain.example": {Scheme: "http", Addr: "plain.example", Pull: true}}})
	list, err := c.endpointsOf("example.com")
	if err != nil {
		t.Fatal(err)
	}
	e := list[0]
	for to, ok := range map[string]bool{
		"http://plain.example/x":  false, // named, and a step down all the same
		"https://blobs.example/x": true, "https://10.1.2.3/x": true, "https://example.com:444/x": true, "https://93.184.216.34/": true, "https://[2606:4700::1]/": true,
		"http://blobs.example/x": false, "http://example.com/x": false, "https://169.254.169.254/": false, "https://127.0.0.1/": false, "https://localhost/": false,
		"https://x.localhost/": false, "https://[::1]/": false, "https://[fe80::1]/": false, "https://0.0.0.0/": false, "https://[::]/": false, "https://[::ffff:127.0.0.1]/": false,
		"https://user@blobs.example/": false, "ftp://blobs.example/": false, "//": false, "https:///x": false, "https://224.0.0.1/": false, "https://255.255.255.255/": false,
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.checkForeign(e.base, u, "redirect"); (err == nil) != ok {
			t.Errorf("from https://example.com to %s: got %v", to, err)
		}
	}
	plain := &url.URL{Scheme: "http", Host: "registry.example"}
	for to, ok := range map[string]bool{"http://plain.example/": true, "http://other.example/": false, "https://other.example/": true, "http://registry.example/x": true} {
		u, _ := url.Parse(to)
		if err := e.checkForeign(plain, u, "redirect"); (err == nil) != ok {
			t.Errorf("from plain http to %s: got %v", to, err)
		}
	}
	for s, ok := range map[string]bool{"1.2.3.4": true, "192.168.1.1": true, "127.0.0.1": false, "169.254.0.1": false, "fe80::1%eth0": false, "::ffff:169.254.169.254": false, "fd00::1": true, "fd00:ec2::254": false, "ff02::1": false} {
		if err := refusedAddress(false)(netip.MustParseAddr(s)); (err == nil) != ok {
			t.Errorf("%s: got %v", s, err)
		}
	}
}

// TestForeignNames: a name that resolves to this machine is refused when the connection is made, after names were resolved.
func TestForeignNames(t *testing.T) {
	srv, hits := server(t, false, serveIndex)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	foreign := NewTransports().make(nil, short.withDefaults(), refusedAddress(false))
	req, _ := http.NewRequest(http.MethodGet, "http://localhost:"+port+"/", nil)
	_, err := foreign.RoundTrip(req)
	if err == nil || !strings.Contains(err.Error(), "an address of this machine") || hits.Load() != 0 {
		t.Errorf("got %v after %d requests", err, hits.Load())
	}
}

// TestMain takes the proxies of this machine's environment out of the tests' way: net/http reads them once.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// TestProxy: a proxy is used, whatever address it has, for a registry and for where this one sends to.
func TestProxy(t *testing.T) {
	var asked []string
	proxy, _ := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		if r.URL.Host == "plain.example" && strings.Contains(r.URL.Path, "manifests") {
			http.Redirect(w, r, "http://other.example/x", http.StatusFound)
			return
		}
		serveIndex(w, r)
	})
	transports := NewTransports()
	transports.proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	plain := fixedHosts{"plain.example": {Scheme: "http", Addr: "plain.example", Pull: true, Resolve: true}, "other.example": {Scheme: "http", Addr: "other.example"}}
	_, err := New(Options{Transports: transports, Hosts: plain, Limits: short}).Fetch(t.Context(), ref(t, "plain.example/app:1"))
	if err != nil || len(asked) != 2 || asked[1] != "http://other.example/x" {
		t.Errorf("got %v, and the proxy was asked for %v", err, asked)
	}
	for in, want := range map[string]string{"http://p": "p:80", "https://p": "p:443", "socks5://p": "p:1080", "http://p:3128": "p:3128", "http://[::1]": "[::1]:80"} {
		u, _ := url.Parse(in)
		if got := proxyAddr(u); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestDowngrade: from https a redirect, a realm and an upload location over plain http are refused before a request is made.
func TestDowngrade(t *testing.T) {
	plain, hits := server(t, false, serveIndex)
	answer := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.com/x", http.StatusFound)
	}
	srv, _ := server(t, true, func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	out := network{"example.com:443": srv.Listener.Addr(), "example.com:80": plain.Listener.Addr()}
	c := New(Options{Transports: out.transports(), Limits: short, Hosts: fixedHosts{"example.com": {Scheme: "https", Addr: "example.com", CA: pemOf(srv), Pull: true, Resolve: true}},
		Credentials: Fixed{"example.com", Credential{Username: "u", Password: "secret"}}})
	_, err := c.Fetch(t.Context(), ref(t, "example.com/app:1"))
	if !errdefs.IsPermissionDenied(err) || hits.Load() != 0 {
		t.Errorf("redirect: got %v after %d requests", err, hits.Load())
	}
	answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, err = c.Fetch(t.Context(), ref(t, "example.com/app:1"))
	if !errdefs.IsPermissionDenied(err) || hits.Load() != 0 {
		t.Errorf("realm: got %v after %d requests", err, hits.Load())
	}
}

// TestRealmElsewhere: a realm on another host gets the credentials over TLS, unless the configuration lists others.
func TestRealmElsewhere(t *testing.T) {
	var user atomic.Value
	srv, _ := server(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			u, _, _ := r.BasicAuth()
			user.Store(u)
			io.WriteString(w, `{"access_token":"good"}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://example.com:4000/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		serveIndex(w, r)
	})
	// The test certificate is for example.com and 127.0.0.1: the realm has that name, on another port.
	realm := func(h http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/app/manifests/1") && r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://example.com:4000/token",service="s"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		}
	}
	front, _ := server(t, true, realm(srv.Config.Handler))
	out := network{"example.com:443": front.Listener.Addr(), "example.com:4000": srv.Listener.Addr()}
	for _, c := range []struct {
		realms []string
		ok     bool
	}{{nil, true}, {[]string{"example.com:4000"}, true}, {[]string{"auth.example"}, false}} {
		user.Store("")
		h := Host{Scheme: "https", Addr: "example.com", CA: append(pemOf(front), pemOf(srv)...), Pull: true, Resolve: true, Realms: c.realms}
		client := New(Options{Transports: out.transports(), Limits: short, Hosts: fixedHosts{"example.com": h}, Credentials: Fixed{"example.com", Credential{Username: "u", Password: "secret"}}})
		_, err := client.Fetch(t.Context(), ref(t, "example.com/app:1"))
		if (err == nil) != c.ok || (user.Load() == "u") != c.ok {
			t.Errorf("realms %v: got %v, the realm saw user %q", c.realms, err, user.Load())
		}
	}
}

// TestUploadElsewhere: an upload that a registry sends to another host goes there without credentials.
func TestUploadElsewhere(t *testing.T) {
	var auth atomic.Value
	auth.Store("")
	other, hits := server(t, true, func(w http.ResponseWriter, r *http.Request) {
		auth.Store(auth.Load().(string) + r.Header.Get("Authorization"))
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
	})
	srv, _ := server(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch _, _, ok := r.BasicAuth(); {
		case !ok:
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Location", "https://example.com:4000/upload?signature=x")
			w.WriteHeader(http.StatusAccepted)
		}
	})
	out := network{"example.com:443": srv.Listener.Addr(), "example.com:4000": other.Listener.Addr()}
	h := Host{Scheme: "https", Addr: "example.com", CA: append(pemOf(srv), pemOf(other)...), Push: true}
	c := New(Options{Transports: out.transports(), Limits: short, Hosts: fixedHosts{"example.com": h}, Credentials: Fixed{"example.com", Credential{Username: "u", Password: "secret"}}})
	desc, src := blobOf("some bytes")
	if _, err := c.PushBlob(t.Context(), ref(t, "example.com/app").Repository, desc, src, PushBlobOptions{}); err != nil || hits.Load() != 1 || auth.Load() != "" {
		t.Errorf("got %v after %d requests with the credentials %q", err, hits.Load(), auth.Load())
	}
}

// TestDeadPeer: nobody answers, in three ways; each has its own words and its bound.
func TestDeadPeer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			go bufio.NewReader(c).ReadString('\xff')
		}
	}()
	out := network{"silent.example:443": silent.Addr()}
	l := short
	l.Handshake = 100 * time.Millisecond
	for name, want := range map[string]string{"silent.example": "", "nowhere.example": "cannot be reached: no route"} {
		start := time.Now()
		_, err := New(Options{Transports: out.transports(), Limits: l}).Fetch(t.Context(), ref(t, name+"/app:1"))
		if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), want) || time.Since(start) > 3*time.Second {
			t.Errorf("%s: got %v after %v", name, err, time.Since(start))
		}
	}
}
