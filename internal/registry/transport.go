package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// Transports keeps the connections to registries. One serves all clients of a process, whatever their credentials: a
// connection knows none (client certificates are part of what tells connections apart).
type Transports struct {
	mu    sync.Mutex
	own   map[string]*pair // by Host.key
	proxy func(*http.Request) (*url.URL, error)
	dial  func(ctx context.Context, network, addr string) (net.Conn, error) // nil but for tests
}

// pair is the two ways out for one host.
type pair struct {
	own     *http.Transport // to the host itself, with its client certificates
	foreign *http.Transport // to where it redirects: no certificates, no skipped checks, and not to every address
}

// maxHosts bounds the pairs kept: more registries than that in one process's life are unheard of.
const maxHosts = 1000

// NewTransports makes an empty set.
// The proxies are those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY; loopback is reached without.
func NewTransports() *Transports {
	return &Transports{own: make(map[string]*pair), proxy: http.ProxyFromEnvironment}
}

// CloseIdle closes the connections that no request uses.
func (t *Transports) CloseIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.own {
		p.own.CloseIdleConnections()
		p.foreign.CloseIdleConnections()
	}
}

// get returns the transports of a host.
func (t *Transports) get(h *Host, l Limits) (*pair, error) {
	key := h.key() + fmt.Sprint(l.Connect, l.Handshake)
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.own[key]; ok {
		return p, nil
	}
	roots, err := authorities(h)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	foreign := t.make(secure, l, refusedAddress(loopback(hostname(h.Addr))))
	mine := secure.Clone()
	mine.InsecureSkipVerify = h.SkipVerify // R27: only where a configuration names this very host
	for _, c := range h.Client {
		pair, err := tls.X509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate for registry host %s: %v: %w", h.Addr, err, errdefs.ErrInvalidArgument)
		}
		mine.Certificates = append(mine.Certificates, pair)
	}
	if len(t.own) >= maxHosts {
		clear(t.own)
	}
	p := &pair{own: t.make(mine, l, nil), foreign: foreign}
	t.own[key] = p
	return p, nil
}

// authorities are the system's and the host's further ones; nil for the system's alone.
func authorities(h *Host) (*x509.CertPool, error) {
	if len(h.CA) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(h.CA) {
		return nil, fmt.Errorf("the CA file for registry host %s holds no certificate: %w", h.Addr, errdefs.ErrInvalidArgument)
	}
	return pool, nil
}

// make builds a transport. HTTP/1.1 alone: each layer has a connection of its own, so that one that stalls holds up no
// other, and the flow control of net/http's HTTP/2 (one window for all streams) does not bound a pull's speed.
func (t *Transports) make(config *tls.Config, l Limits, refused func(netip.Addr) error) *http.Transport {
	dialer := &net.Dialer{Timeout: l.Connect, KeepAlive: 30 * time.Second}
	guarded := &net.Dialer{Timeout: l.Connect, KeepAlive: 30 * time.Second}
	if refused != nil {
		// At the socket, after the name was resolved: a name may resolve to another address each time.
		guarded.Control = func(_, addr string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(addr)
			if err != nil {
				return fmt.Errorf("address %q is not an IP address", addr)
			}
			return refused(ap.Addr())
		}
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	// Addresses of proxies: the user chose them, so any address will do. What a proxy connects to is the proxy's to judge, by
	// the address that it finds; checkForeign has seen the name.
	var proxies sync.Map
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			u, err := t.proxy(r)
			if u != nil {
				proxies.Store(proxyAddr(u), true)
			}
			return u, err
		},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if t.dial != nil {
				return t.dial(ctx, network, addr)
			}
			if _, ok := proxies.Load(addr); ok {
				return dialer.DialContext(ctx, network, addr)
			}
			return guarded.DialContext(ctx, network, addr)
		},
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    l.Handshake,
		MaxIdleConnsPerHost:    8,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // a digest is of the bytes as they are; and no bombs
		Protocols:              &protocols,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
}

func proxyAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		switch u.Scheme {
		case "https":
			port = "443"
		case "socks5", "socks5h":
			port = "1080"
		default:
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// addressError is a refused address; the dialer wraps it.
type addressError string

func (e addressError) Error() string { return string(e) }

// refusedAddress says which addresses a registry may not send a client to. Private networks are allowed: that is where
// private registries keep their blobs. Link-local addresses hold the metadata services of clouds; loopback is this
// machine's own, unless the registry is there too.
func refusedAddress(local bool) func(netip.Addr) error {
	return func(ip netip.Addr) error {
		ip = ip.Unmap().WithZone("")
		switch {
		case ip.IsLinkLocalUnicast(), ip == netip.MustParseAddr("fd00:ec2::254"):
			return addressError(fmt.Sprintf("sends to %s, a link-local address, which Hull does not follow", ip))
		case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return addressError(fmt.Sprintf("sends to %s, which is no host's address", ip))
		case ip.IsLoopback() && !local:
			return addressError(fmt.Sprintf("sends to %s, an address of this machine, which Hull does not follow", ip))
		}
		return nil
	}
}

// checkForeign holds a URL that a host sends to (a redirect, a realm, an upload location) to the rules for such, before a
// connection is made. from is where the host's answer came from.
func (e *endpoint) checkForeign(from, to *url.URL, what string) error {
	switch {
	case to.Scheme != "https" && to.Scheme != "http":
		return e.refuse(errdefs.ErrPermissionDenied, "sends to a %s with the scheme %.20q", what, to.Scheme)
	case to.Host == "" || to.Hostname() == "":
		return e.refuse(errdefs.ErrPermissionDenied, "sends to a %s without a host", what)
	case to.User != nil:
		return e.refuse(errdefs.ErrPermissionDenied, "sends to a %s with credentials in its URL", what)
	case len(to.String()) > maxURL:
		return e.refuse(errdefs.ErrPermissionDenied, "sends to a %s of more than %d bytes", what, maxURL)
	case to.Scheme == "http" && from.Scheme == "https":
		return e.refuse(errdefs.ErrPermissionDenied, "sends from https to a %s over plain http at %s", what, oneLine(to.Host, 100))
	}
	if origin(to) == origin(from) || origin(to) == origin(e.base) {
		return nil
	}
	if to.Scheme == "http" && !loopback(to.Hostname()) && !e.client.namedPlain(to.Host) {
		return e.refuse(errdefs.ErrPermissionDenied, "sends to a %s over plain http at %s, which the configuration does not name", what, oneLine(to.Host, 100))
	}
	local := loopback(hostname(e.host.Addr))
	if !local && loopback(to.Hostname()) {
		return e.refuse(errdefs.ErrPermissionDenied, "sends to %s, an address of this machine, which Hull does not follow", oneLine(to.Hostname(), 100))
	}
	if ip, err := netip.ParseAddr(to.Hostname()); err == nil {
		if err := refusedAddress(local)(ip); err != nil {
			return e.refuse(errdefs.ErrPermissionDenied, "%v", err)
		}
	}
	return nil
}

// refusedDial gives the address error in what a transport returned, if that is what it was.
func (e *endpoint) refusedDial(err error) error {
	var a addressError
	if errors.As(err, &a) {
		return e.refuse(errdefs.ErrPermissionDenied, "%v", a)
	}
	return nil
}

// speaksPlain says whether a TLS handshake failed because the other side speaks HTTP.
func speaksPlain(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && strings.HasPrefix(string(record.RecordHeader[:]), "HTTP")
}
