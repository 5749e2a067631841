package network

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// ports are the published ports of the host. A port is reserved by binding it, so that no program
// of the host can take it too, and hulld none that a program has.
type ports struct {
	mu   sync.Mutex
	held map[hostPort][]*reservation
	next uint16 // where the search for a free port begins
}

// hostPort is a port without its address.
type hostPort struct {
	proto string
	port  uint16
}

// reservation is a bound port.
type reservation struct {
	endpoint string
	binding  Binding
	socket   io.Closer // nil when there is nothing to bind (SCTP without support in the kernel)
}

// conflicts says whether two addresses of the host cannot have the same port.
func conflicts(a, b netip.Addr) bool {
	return a.Is4() == b.Is4() && (a == b || a.IsUnspecified() || b.IsUnspecified())
}

// publishAll reserves ports for an endpoint and adds them to its bindings. It returns the new ones.
// After an error nothing is kept.
func (h *Host) publishAll(s *state, e *Endpoint, want []Port) (fresh []Binding, err error) {
	if s.Internal || len(want) == 0 {
		return nil, nil // in an internal network nobody outside could reach them
	}
	policy, err := h.policy()
	if err != nil {
		return nil, err
	}
	if policy == PolicyRespect {
		if err := h.divert(); err != nil {
			return nil, err
		}
	}
	for _, p := range want {
		bindings, err := h.publish(s, e, p, policy == PolicyRespect)
		if err != nil {
			h.ports.release(e.ID, fresh)
			return nil, fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w", e.Name, e.ID, err)
		}
		fresh = append(fresh, bindings...)
	}
	h.setBindings(e, slices.Concat(e.Bindings, fresh))
	return fresh, nil
}

// unpublish gives ports back and takes them out of an endpoint's bindings.
func (h *Host) unpublish(e *Endpoint, gone []Binding) {
	h.ports.release(e.ID, gone)
	h.setBindings(e, slices.DeleteFunc(slices.Clone(e.Bindings), func(b Binding) bool { return slices.Contains(gone, b) }))
}

// setBindings replaces an endpoint's bindings, which others read at any time.
func (h *Host) setBindings(e *Endpoint, bindings []Binding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Bindings = bindings
}

// hostIPs are the addresses that a port is published on.
func (h *Host) hostIPs(s *state, e *Endpoint, p Port) (list []netip.Addr, implied bool) {
	for _, a := range []netip.Addr{p.HostIP, s.set.hostIP, h.cfg.HostIP} {
		if a.IsValid() && (a == p.HostIP || !a.IsUnspecified()) {
			return []netip.Addr{a.Unmap()}, false
		}
	}
	if e.IPv4.IsValid() {
		list = append(list, zero4)
	}
	if e.IPv6.IsValid() || p.Proto != "sctp" {
		list = append(list, zero6)
	}
	return list, true
}

// publish reserves one port, on the same number for both families.
func (h *Host) publish(s *state, e *Endpoint, p Port, judged bool) ([]Binding, error) {
	if protocol(p.Proto) == 0 || p.Container == 0 {
		return nil, invalid("invalid port %d/%s", p.Container, p.Proto)
	}
	ips, implied := h.hostIPs(s, e, p)
	for _, ip := range ips {
		if to, proxied := e.target(Binding{HostIP: ip}); !to.IsValid() || proxied && p.Proto == "sctp" {
			return nil, invalid("cannot publish port %d/%s on %s: the container has no address of that family", p.Container, p.Proto, ip)
		}
		if s.mode(ip) == modeRouted {
			return []Binding{{Proto: p.Proto, Container: p.Container, HostIP: ip}}, nil
		}
	}
	if judged && p.Proto == "sctp" {
		return nil, invalid("cannot publish port %d/sctp under the host's firewall: set publish-policy to open", p.Container)
	}
	from, to := p.Host, max(p.Host, p.HostEnd)
	if from == 0 {
		from, to = freeRange()
	}
	h.ports.mu.Lock()
	defer h.ports.mu.Unlock()
	count := int(to) - int(from) + 1
	start := 0
	if p.Host == 0 && h.ports.next >= from && h.ports.next <= to {
		start = int(h.ports.next - from)
	}
	var first error
	for i := range count {
		port := from + uint16((start+i)%count)
		bindings, err := h.reserve(e, p, ips, port, implied, judged)
		if err == nil {
			if p.Host == 0 {
				h.ports.next = port + 1
			}
			return bindings, nil
		}
		if first == nil {
			first = err
		}
		if !errdefs.IsConflict(err) {
			break
		}
	}
	return nil, first
}

// reserve binds one port number on all addresses. ports.mu is held.
func (h *Host) reserve(e *Endpoint, p Port, ips []netip.Addr, port uint16, implied, judged bool) (got []Binding, err error) {
	for _, ip := range ips {
		b := Binding{Proto: p.Proto, Container: p.Container, HostIP: ip, Host: port, Judged: judged}
		err = h.ports.hold(h, e, b)
		if err != nil && implied && ip.Is6() && len(got) > 0 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
			continue // a host without IPv6
		}
		if err != nil {
			h.ports.drop(e.ID, got)
			return nil, err
		}
		got = append(got, b)
	}
	return got, nil
}

// hold binds one port on one address. mu is held.
func (ps *ports) hold(h *Host, e *Endpoint, b Binding) error {
	key := hostPort{b.Proto, b.Host}
	for _, r := range ps.held[key] {
		if conflicts(r.binding.HostIP, b.HostIP) {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Bind for %s failed: port is already allocated", netip.AddrPortFrom(b.HostIP, b.Host)))
		}
	}
	r := &reservation{endpoint: e.ID, binding: b}
	var err error
	if r.socket, err = h.bind(e, b); err != nil {
		err = fmt.Errorf("failed to bind host port %s/%s: %w", netip.AddrPortFrom(b.HostIP, b.Host), b.Proto, err)
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("%w: %w", errdefs.ErrConflict.WithMessage(err.Error()), unix.EADDRINUSE)
		}
		return err
	}
	if ps.held == nil {
		ps.held = make(map[hostPort][]*reservation)
	}
	ps.held[key] = append(ps.held[key], r)
	return nil
}

func (ps *ports) release(endpoint string, bindings []Binding) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.drop(endpoint, bindings)
}

func (ps *ports) drop(endpoint string, bindings []Binding) {
	for _, b := range bindings {
		key := hostPort{b.Proto, b.Host}
		ps.held[key] = slices.DeleteFunc(ps.held[key], func(r *reservation) bool {
			if r.endpoint != endpoint || r.binding != b {
				return false
			}
			if r.socket != nil {
				r.socket.Close()
			}
			return true
		})
		if len(ps.held[key]) == 0 {
			delete(ps.held, key)
		}
	}
}

// closeAll gives all ports back: hulld ends.
func (ps *ports) closeAll() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, list := range ps.held {
		for _, r := range list {
			if r.socket != nil {
				r.socket.Close()
			}
		}
	}
	ps.held = nil
}

// freeRange is where the host takes ports for its own connections from, Docker's choice too.
func freeRange() (from, to uint16) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err = fmt.Sscan(strings.TrimSpace(string(data)), &from, &to); err == nil && from > 0 && from <= to {
			return from, to
		}
	}
	return 49153, 65535
}

// bind takes a port. On IPv4 the kernel translates what comes for it, and the socket, which drops
// all it gets, only keeps others away (and is silent when somebody flushes the rules, so that
// clients try again). On IPv6 a proxy listens: for ::1, and for containers without IPv6.
func (h *Host) bind(e *Endpoint, b Binding) (io.Closer, error) {
	to, _ := e.target(b)
	if b.HostIP.Is6() || b.Judged {
		c := carrier{at: netip.AddrPortFrom(b.HostIP, b.Host), to: netip.AddrPortFrom(to, b.Container)}
		if b.Judged && to.Is4() == b.HostIP.Is4() {
			c.keep, c.near = true, e.near(to)
		}
		switch b.Proto {
		case "tcp":
			return c.listenTCP(h)
		case "udp":
			return c.listenUDP(h)
		}
	}
	return placeholder(b)
}

// near is the subnet of one of an endpoint's addresses.
func (e *Endpoint) near(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return e.IPv4.Masked()
	}
	return e.IPv6.Masked()
}

// fdCloser is a descriptor that nothing is read from.
type fdCloser int

func (fd fdCloser) Close() error { return unix.Close(int(fd)) }

// placeholder binds a port with a socket that drops everything.
func placeholder(b Binding) (io.Closer, error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(b.Host), Addr: as4(b.HostIP)}
	if b.HostIP.Is6() {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(b.Host), Addr: b.HostIP.As16()}
	}
	if b.Proto == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol(b.Proto)))
	if b.Proto == "sctp" && (errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT)) {
		return nil, nil // no program of this host could have it
	}
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	fail := func(err error) (io.Closer, error) {
		unix.Close(fd)
		return nil, err
	}
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]}); err != nil {
		return fail(os.NewSyscallError("setsockopt(SO_ATTACH_FILTER)", err))
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fail(os.NewSyscallError("setsockopt(IPV6_V6ONLY)", err))
		}
	}
	if kind == unix.SOCK_STREAM {
		// Connections that a former owner of the port has closed are no reason to refuse it. A listening
		// socket keeps others away in spite of the option.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fail(os.NewSyscallError("setsockopt(SO_REUSEADDR)", err))
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fail(err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 0); err != nil {
			return fail(err)
		}
	}
	return fdCloser(fd), nil
}

func as4(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		return a.As4()
	}
	return b
}
