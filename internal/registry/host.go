package registry

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/reference"
)

// Host is one server behind a registry's name, and how to speak to it.
type Host struct {
	Scheme     string // "https"; "http" when the configuration names it; "" where it is found out: on loopback, and with Insecure
	Insecure   bool   // named as such: plain HTTP will do
	Addr       string // host[:port], as in a URL
	Path       string // of the API, "/v2" if not set
	Mirror     bool   // not the upstream: requests carry ?ns=<registry>, and credentials are those of Addr
	Pull       bool   // blobs and documents by digest
	Resolve    bool   // documents by tag
	Push       bool
	CA         []byte        // further authorities, PEM
	Client     []Certificate // client certificates
	SkipVerify bool          // whatever certificate it has is taken; of this host only, never of where it redirects to
	Header     http.Header   // sent with each request to this host, to no other
	Realms     []string      // hosts that may be its realm; empty: any, over TLS
	ChunkSize  int64         // uploads are cut into requests of so many bytes; 0: one request
}

// Certificate is a client certificate and its key, both PEM.
type Certificate struct{ Cert, Key []byte }

// Hosts tells which servers are behind a registry's name, in the order in which they are asked. The configuration of a
// daemon implements it; [HostsDir] is the one of files, [NoHosts] the one without.
type Hosts interface {
	Hosts(domain string) ([]Host, error)
}

// NoHosts is no configuration: each registry is the upstream of its name.
type NoHosts struct{}

// Hosts implements the interface [Hosts].
func (NoHosts) Hosts(domain string) ([]Host, error) { return []Host{Upstream(domain)}, nil }

// upstreamOfDefault is where the API of docker.io is served; what ~/.docker/config.json keeps its credentials under
// is made from it too.
const upstreamOfDefault = "index.docker.io"

// Upstream is the registry of a name itself: HTTPS, or, on loopback, what is spoken there.
func Upstream(domain string) Host {
	h := Host{Scheme: "https", Addr: domain, Path: "/v2", Pull: true, Resolve: true, Push: true}
	if domain == reference.DefaultDomain {
		h.Addr = upstreamOfDefault
	}
	if loopback(hostname(h.Addr)) {
		h.Scheme = ""
	}
	return h
}

// name is what errors call the host, and what credentials are looked up under.
func (h *Host) name() string {
	if h.Addr == upstreamOfDefault {
		return reference.DefaultDomain
	}
	return h.Addr
}

// key tells hosts with different connections apart.
func (h *Host) key() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %v %d %q", h.Scheme, h.Addr, h.SkipVerify, len(h.CA), h.CA)
	for _, c := range h.Client {
		fmt.Fprintf(sum, " %q %q", c.Cert, c.Key)
	}
	return string(sum.Sum(nil))
}

// check refuses what cannot be spoken to.
func (h *Host) check() error {
	if h.Scheme != "https" && h.Scheme != "http" && !(h.Scheme == "" && (h.Insecure || loopback(hostname(h.Addr)))) {
		return fmt.Errorf("registry host %q has the scheme %q, want https or http: %w", h.Addr, h.Scheme, errdefs.ErrInvalidArgument)
	}
	return reference.CheckDomain(h.Addr)
}

// hostname is an address without its port and brackets.
func hostname(addr string) string {
	return (&url.URL{Host: addr}).Hostname()
}

// loopback says whether a host's name means this machine: localhost and what is below it (RFC 6761), 127.0.0.0/8, ::1.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// origin is a URL's scheme, host and port in one spelling.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
