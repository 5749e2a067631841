package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hull-dev/hull/internal/network/dns"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

// questions bounds what all containers together ask of other servers at a time.
const questions = 4096

// resolver is the directory of all names. Its lock is held for look-ups only.
type resolver struct {
	h   *Host
	all dns.Everybody

	mu    sync.RWMutex
	names map[string]map[string][]*Endpoint // network → name → endpoints
	views map[string]*view                  // container → what it sees

	hostMu  sync.Mutex
	host    []netip.AddrPort // the host's own servers
	checked time.Time
	stamp   time.Time // of the file that they were read from
}

// view is what one container sees. It is replaced, not changed.
type view struct {
	networks []*state
	links    map[string][]string // alias → container IDs
	dns      DNSConfig
	outside  bool // some network has a way out
	ns       *netns
}

func (r *resolver) init(h *Host) {
	r.h, r.all = h, dns.NewEverybody(questions)
	r.names, r.views = make(map[string]map[string][]*Endpoint), make(map[string]*view)
}

// attach makes an endpoint's names known in its network and lets its container ask.
func (r *resolver) attach(b *sandbox, e *Endpoint) {
	r.mu.Lock()
	r.add(e)
	r.mu.Unlock()
	r.look(b)
	if b.serving || b.ns.names == nil {
		return
	}
	b.serving = true
	dns.Serve(r.h.running, directory{r, b.container}, r.all, b.ns.names.udp, b.ns.names.tcp)
}

// add puts an endpoint's names into its network's list. mu is held.
func (r *resolver) add(e *Endpoint) {
	for _, n := range e.DNSNames {
		n = strings.ToLower(n)
		if r.names[e.Network] == nil {
			r.names[e.Network] = make(map[string][]*Endpoint)
		}
		r.names[e.Network][n] = append(r.names[e.Network][n], e)
	}
}

// remove takes them out. mu is held.
func (r *resolver) remove(e *Endpoint) {
	for _, n := range e.DNSNames {
		n = strings.ToLower(n)
		left := slices.DeleteFunc(r.names[e.Network][n], func(x *Endpoint) bool { return x.ID == e.ID })
		if len(left) > 0 {
			r.names[e.Network][n] = left
		} else {
			delete(r.names[e.Network], n)
		}
	}
	if len(r.names[e.Network]) == 0 {
		delete(r.names, e.Network)
	}
}

func (r *resolver) detach(b *sandbox, e *Endpoint) {
	r.mu.Lock()
	r.remove(e)
	r.mu.Unlock()
	r.h.mu.Lock()
	gone := r.h.boxes[b.container] != b
	r.h.mu.Unlock()
	if gone {
		r.mu.Lock()
		delete(r.views, b.container)
		r.mu.Unlock()
		return
	}
	r.lookWithout(b, e)
}

// look makes a container's view anew.
func (r *resolver) look(b *sandbox) { r.lookWithout(b, nil) }

func (r *resolver) lookWithout(b *sandbox, without *Endpoint) {
	r.h.mu.Lock()
	v := &view{dns: b.dns, ns: b.ns, links: make(map[string][]string)}
	for _, e := range b.endpoints {
		s := r.h.networks[e.Network]
		if s == nil || e == without {
			continue
		}
		v.networks = append(v.networks, s)
		v.outside = v.outside || !s.Internal
		for _, l := range e.Links {
			alias := strings.ToLower(l.Alias)
			v.links[alias] = append(v.links[alias], l.Container)
		}
	}
	r.h.mu.Unlock()
	r.mu.Lock()
	r.views[b.container] = v
	r.mu.Unlock()
}

// directory is the names that one container may know.
type directory struct {
	r         *resolver
	container string
}

// Addresses looks a name up in the container's networks, in order; the first that has it answers.
// "NAME.NETWORK" asks in one network alone.
func (d directory) Addresses(name string) (list []netip.Addr, known bool) {
	d.r.mu.RLock()
	defer d.r.mu.RUnlock()
	v := d.r.views[d.container]
	if v == nil {
		return nil, false
	}
	for _, x := range v.dns.Extra {
		if strings.EqualFold(x.Name, name) {
			list, known = append(list, x.Addr), true
		}
	}
	if known {
		return list, true
	}
	for _, s := range v.networks {
		names := d.r.names[s.ID]
		found := names[name]
		if base, ok := strings.CutSuffix(name, "."+strings.ToLower(s.Name)); ok && len(found) == 0 {
			found = names[base]
		}
		for _, id := range v.links[name] {
			for _, e := range names[short(id)] {
				if e.Container == id {
					found = append(found[:len(found):len(found)], e)
				}
			}
		}
		if len(found) == 0 {
			continue
		}
		for _, e := range found {
			for _, a := range []netip.Addr{e.IPv4.Addr(), e.IPv6.Addr()} {
				if a.IsValid() && !slices.Contains(list, a) {
					list = append(list, a)
				}
			}
		}
		return list, true
	}
	return nil, false
}

// NameOf is "CONTAINER.NETWORK".
func (d directory) NameOf(a netip.Addr) string {
	d.r.mu.RLock()
	v := d.r.views[d.container]
	d.r.mu.RUnlock()
	if v == nil {
		return ""
	}
	d.r.h.mu.Lock()
	defer d.r.h.mu.Unlock()
	for _, s := range v.networks {
		l := s.v4
		if a.Is6() {
			l = s.v6
		}
		if l == nil {
			continue
		}
		if e := s.endpoints[l.taken[a]]; e != nil && len(e.DNSNames) > 0 {
			return e.Name + "." + s.Name
		}
	}
	return ""
}

// Upstream are the servers that --dns named, asked from within the container, where an internal
// network has no way to them; else the host's own, asked by the host, and not for containers that
// have internal networks only (CVE-2024-29018).
func (d directory) Upstream() (list []dns.Upstream) {
	d.r.mu.RLock()
	v := d.r.views[d.container]
	d.r.mu.RUnlock()
	if v == nil {
		return nil
	}
	for _, a := range v.dns.Servers {
		if a == resolverIP {
			continue
		}
		list = append(list, dns.Upstream{Addr: netip.AddrPortFrom(a, 53), Dial: func(ctx context.Context, network string, to netip.AddrPort) (c net.Conn, err error) {
			err = rtnl.Inside(int(v.ns.file.Fd()), func() error {
				c, err = net.DialTimeout(network, to.String(), time.Second)
				return err
			})
			return c, err
		}})
	}
	if len(v.dns.Servers) > 0 || !v.outside {
		return list
	}
	for _, a := range d.r.hostServers() {
		list = append(list, dns.Upstream{Addr: a, Dial: dialHost})
	}
	return list
}

func dialHost(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, to.String())
}

// hostServers are the servers of the host's resolv.conf, as it is now: the file is looked at again
// when a second has passed.
func (r *resolver) hostServers() []netip.AddrPort {
	r.hostMu.Lock()
	defer r.hostMu.Unlock()
	if now := time.Now(); now.Sub(r.checked) > time.Second {
		r.checked = now
		if info, err := os.Stat(r.h.cfg.ResolvConf); err == nil && !info.ModTime().Equal(r.stamp) {
			if c, err := ReadResolvConf(r.h.cfg.ResolvConf); err == nil {
				r.stamp = info.ModTime()
				r.host = nil
				for _, a := range c.Servers {
					r.host = append(r.host, netip.AddrPortFrom(a, 53))
				}
			}
		}
	}
	return r.host
}
