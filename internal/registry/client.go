package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/hull-dev/hull/internal/reference"
)

// Options make a client. The zero value of a field means its default.
type Options struct {
	Hosts       Hosts       // NoHosts
	Credentials Credentials // Anonymous
	Transports  *Transports // a new set
	Limits      Limits
	UserAgent   string       // "hull"
	Log         *slog.Logger // nothing is logged; with one, each failing mirror is
}

// Client speaks to registries with one set of credentials.
type Client struct {
	hosts      Hosts
	creds      Credentials
	transports *Transports
	limits     Limits
	agent      string
	log        *slog.Logger

	mu        sync.Mutex
	endpoints map[string][]*endpoint // by domain
	wrong     map[string]bool        // host and digest of blobs that were not what they should be
}

// endpoint is one host as this client uses it.
type endpoint struct {
	client *Client
	host   Host
	pair   *pair
	auth   *authorizer
	query  url.Values // sent with each request to the API

	probe chan struct{} // of one: held while it is found out what a loopback address speaks
	base  *url.URL      // scheme and host; the scheme is set by the probe
}

// New makes a client. It touches neither disk nor network.
func New(o Options) *Client {
	c := &Client{
		hosts: o.Hosts, creds: o.Credentials, transports: o.Transports, limits: o.Limits.withDefaults(), agent: or(o.UserAgent, "hull"), log: o.Log,
		endpoints: make(map[string][]*endpoint), wrong: make(map[string]bool),
	}
	if c.hosts == nil {
		c.hosts = NoHosts{}
	}
	if c.creds == nil {
		c.creds = Anonymous{}
	}
	if c.transports == nil {
		c.transports = NewTransports()
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// WithCredentials is a client with the same connections and settings that knows other credentials, and no tokens yet.
func (c *Client) WithCredentials(creds Credentials) *Client {
	return New(Options{Hosts: c.hosts, Credentials: creds, Transports: c.transports, Limits: c.limits, UserAgent: c.agent, Log: c.log})
}

// CloseIdle closes the connections that no request uses.
func (c *Client) CloseIdle() { c.transports.CloseIdle() }

// endpointsOf are the hosts behind a registry's name, mirrors first.
func (c *Client) endpointsOf(domain string) ([]*endpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if list, ok := c.endpoints[domain]; ok {
		return list, nil
	}
	hosts, err := c.hosts.Hosts(domain)
	if err != nil {
		return nil, err
	}
	var list []*endpoint
	for _, h := range hosts {
		if err := h.check(); err != nil {
			return nil, err
		}
		h.Path = or(h.Path, "/v2")
		pair, err := c.transports.get(&h, c.limits)
		if err != nil {
			return nil, err
		}
		e := &endpoint{client: c, host: h, pair: pair, auth: newAuthorizer(c.creds, h.name()), base: &url.URL{Scheme: h.Scheme, Host: h.Addr}, probe: make(chan struct{}, 1)}
		if h.Mirror {
			e.query = url.Values{"ns": {domain}}
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the configuration of registry %s names no host: %w", domain, errdefs.ErrFailedPrecondition)
	}
	c.endpoints[domain] = list
	return list, nil
}

// read asks the hosts that may in turn until one answers. Its error is the last host's, the upstream's as a rule; those of
// the mirrors before it are logged.
func (c *Client) read(ctx context.Context, domain string, may func(*Host) bool, ask func(*endpoint) error) error {
	list, err := c.endpointsOf(domain)
	if err != nil {
		return err
	}
	err = fmt.Errorf("the configuration of registry %s names no host for this: %w", domain, errdefs.ErrFailedPrecondition)
	for i, e := range list {
		if !may(&e.host) {
			continue
		}
		if err = e.ready(ctx); err == nil {
			err = ask(e)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if i < len(list)-1 {
			c.log.Warn("registry host failed, the next one is asked", "registry", domain, "host", e.host.Addr, "error", err)
		}
	}
	return err
}

func mayPull(h *Host) bool    { return h.Pull }
func mayResolve(h *Host) bool { return h.Resolve }

// upstream is the host that pushes and logins go to.
func (c *Client) upstream(ctx context.Context, domain string) (*endpoint, error) {
	list, err := c.endpointsOf(domain)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.host.Push && !e.host.Mirror {
			return e, e.ready(ctx)
		}
	}
	for _, e := range list {
		if e.host.Push {
			return e, e.ready(ctx)
		}
	}
	return nil, fmt.Errorf("the configuration of registry %s names no host that may be pushed to: %w", domain, errdefs.ErrFailedPrecondition)
}

// namedPlain says whether the configuration names a host with http://.
func (c *Client) namedPlain(addr string) bool {
	hosts, err := c.hosts.Hosts(addr)
	if err != nil {
		return false
	}
	for _, h := range hosts {
		if (h.Scheme == "http" || h.Insecure) && h.Addr == addr {
			return true
		}
	}
	return false
}

// distrust keeps a host from being asked again for a blob that it gave wrong bytes of.
func (c *Client) distrust(e *endpoint, d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) > maxReferrers {
		clear(c.wrong)
	}
	c.wrong[e.host.Addr+" "+string(d)] = true
}

func (c *Client) distrusted(e *endpoint, d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrong[e.host.Addr+" "+string(d)]
}

// at is the URL of something below a repository: at(repo, "manifests", "latest").
func (e *endpoint) at(repo reference.Repository, kind, name string) *url.URL {
	u := *e.base
	u.Path = e.host.Path + "/" + repo.Path + "/" + kind + "/" + name
	u.RawQuery = e.query.Encode()
	return &u
}

// Scopes of tokens, as Docker's registries name them.
func pullScope(repo reference.Repository) []string {
	return []string{"repository:" + repo.Path + ":pull"}
}
func pushScope(repo reference.Repository) []string {
	return []string{"repository:" + repo.Path + ":pull,push"}
}
