package network

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
	"golang.org/x/sys/unix"
)

// Attach gives a container a place in a network. The namespace is the one that NewNetNS gave to the
// container, or req.NetNS.
func (h *Host) Attach(ctx context.Context, req EndpointRequest) (_ *Endpoint, err error) {
	b, err := h.box(req.Container, req.NetNS)
	if err != nil {
		return nil, err
	}
	select {
	case <-b.plumb:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { b.plumb <- struct{}{} }()

	s, e, err := h.register(b, req)
	if err != nil {
		return nil, err
	}
	var undo []func()
	defer func() {
		if err != nil {
			for _, u := range slices.Backward(undo) {
				u()
			}
		}
	}()
	undo = append(undo, func() { h.unregister(b, s, e) })
	if s.Driver != "bridge" && b.ns.spare != nil { // against what NewNetNS was told
		if err := h.unplug(b, &Endpoint{HostInterface: b.ns.spare.host}); err != nil {
			return nil, err
		}
		b.ns.spare = nil
	}
	if s.Driver == "bridge" {
		// Elements before the device: what it sends first is judged already.
		if _, err := h.publishAll(s, e, req.Ports); err != nil {
			return nil, err
		}
		undo = append(undo, func() { h.unpublish(e, e.Bindings) })
		if err := h.fw.apply(h.fw.ofEndpoint(s, e), nil); err != nil {
			return nil, err
		}
		undo = append(undo, func() { _ = h.fw.apply(nil, h.fw.ofEndpoint(s, e)) })
	}
	if err := h.connect(b, s, e); err != nil {
		return nil, fmt.Errorf("connecting container %.12s to network %s: %w", req.Container, s.Name, err)
	}
	undo = append(undo, func() { _ = h.unplug(b, e) })
	if err := h.limit(e); err != nil {
		return nil, err
	}
	h.forgetFlows(e, e.Bindings)
	h.dns.attach(b, e)
	out := *e
	return &out, nil
}

// register checks a request and takes what it needs of the maps: addresses, a device's name.
func (h *Host) register(b *sandbox, req EndpointRequest) (*state, *Endpoint, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.restored {
		return nil, nil, errors.New("the networks are not restored yet")
	}
	s, err := h.findLocked(req.Network)
	if err != nil {
		return nil, nil, err
	}
	if s.leaving {
		return nil, nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", req.Network))
	}
	for _, e := range b.endpoints {
		if e.Network == s.ID {
			return nil, nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("endpoint with name %s already exists in network %s", req.Name, s.Name))
		}
	}
	e, err := newEndpoint(s, req)
	if err != nil {
		return nil, nil, err
	}
	device := req.Interface
	if device == "" {
		device = req.DriverOpts[optIfName]
	}
	if e.Interface, err = b.deviceName(s, device); err != nil {
		return nil, nil, err
	}
	if _, err := endpointSysctls(e); err != nil {
		return nil, nil, err
	}
	if err := s.lease(e, [2]netip.Addr{req.IPv4, req.IPv6}, [2]netip.Addr{req.Had4, req.Had6}); err != nil {
		return nil, nil, err
	}
	if len(req.MAC) > 0 {
		if len(req.MAC) != 6 || req.MAC[0]&1 != 0 {
			s.release(e)
			return nil, nil, invalid("invalid MAC address: %s is not the address of one Ethernet device", req.MAC)
		}
		e.MAC = req.MAC.String()
	} else {
		e.MAC = net.HardwareAddr(macOf(e.IPv4.Addr(), e.IPv6.Addr(), bridgeSalt(e.ID))).String()
	}
	if s.Driver == "bridge" {
		if e.HostInterface = h.tag + e.ID[:11]; b.ns.spare != nil {
			e.HostInterface = b.ns.spare.host
		}
	}
	s.endpoints[e.ID] = e
	b.endpoints = append(b.endpoints, e)
	b.dns = req.DNS
	return s, e, nil
}

func (h *Host) unregister(b *sandbox, s *state, e *Endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.release(e)
	delete(s.endpoints, e.ID)
	b.endpoints = slices.DeleteFunc(b.endpoints, func(x *Endpoint) bool { return x == e })
}

func newEndpoint(s *state, req EndpointRequest) (*Endpoint, error) {
	var id [32]byte
	rand.Read(id[:])
	e := &Endpoint{ID: hex.EncodeToString(id[:]), Container: req.Container, Name: req.Name, Hostname: req.Hostname, Network: s.ID, NetworkName: s.Name,
		Aliases: slices.Clone(req.Aliases), Links: slices.Clone(req.Links), GatewayPriority: req.GatewayPriority, DriverOpts: req.DriverOpts,
		Bandwidth: req.Bandwidth, Ports: slices.Clone(req.Ports), DNS: req.DNS}
	for _, a := range req.LinkLocal {
		if !a.IsLinkLocalUnicast() {
			return nil, invalid("invalid link-local IP address: %s", a)
		}
	}
	e.LinkLocal = slices.Clone(req.LinkLocal)
	e.DNSNames = dnsNames(s, e)
	return e, nil
}

// dnsNames are the names that an endpoint has in its network, as Docker lists them.
func dnsNames(s *state, e *Endpoint) (names []string) {
	if s.set.isDefault {
		return nil
	}
	for _, n := range slices.Concat([]string{e.Name}, e.Aliases, []string{short(e.Container), e.Hostname}) {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func short(id string) string { return id[:min(12, len(id))] }

// deviceName is the name that was asked for, or the next free one.
func (b *sandbox) deviceName(s *state, want string) (string, error) {
	used := func(name string) bool {
		return slices.ContainsFunc(b.endpoints, func(e *Endpoint) bool { return e.Interface == name })
	}
	if want != "" {
		if !validDevice(want) || want == "lo" {
			return "", invalid("invalid interface name %q", want)
		}
		if used(want) {
			return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("the container has an interface %s already", want))
		}
		return want, nil
	}
	for i := 0; ; i++ {
		if name := s.set.prefix + strconv.Itoa(i); !used(name) {
			return name, nil
		}
	}
}

// lease takes an endpoint's addresses: those it wants, else those it had if they are free, else any.
func (s *state) lease(e *Endpoint, want, had [2]netip.Addr) error {
	take := func(l *leases, want, had netip.Addr, f string) (netip.Prefix, error) {
		if l == nil {
			if want.IsValid() {
				return netip.Prefix{}, invalid("invalid config for network %s: user specified IP address is supported only when connecting to networks with user configured subnets: the network has no %s", s.Name, f)
			}
			return netip.Prefix{}, nil
		}
		var err error
		if want.IsValid() {
			if !l.subnet.Given {
				return netip.Prefix{}, invalid("invalid config for network %s: invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets", s.Name)
			}
			err = l.claim(want, e.ID)
		} else if want = had; !l.again(had, e.ID) {
			want, err = l.take(e.ID)
		}
		return netip.PrefixFrom(want, l.subnet.Prefix.Bits()), err
	}
	var err error
	if e.IPv4, err = take(s.v4, want[0], had[0], "IPv4"); err != nil {
		e.IPv4 = netip.Prefix{}
		return err
	}
	if e.IPv6, err = take(s.v6, want[1], had[1], "IPv6"); err != nil {
		e.IPv6 = netip.Prefix{}
		s.release(e)
		return err
	}
	s.gateways(e)
	return nil
}

// gateways are where an endpoint's other packets go; none in internal networks.
func (s *state) gateways(e *Endpoint) {
	if s.Internal {
		return
	}
	if s.v4 != nil && !s.set.noGateway4 {
		e.Gateway4 = s.v4.subnet.Gateway
	}
	if s.v6 != nil {
		e.Gateway6 = s.v6.subnet.Gateway
	}
}

func (s *state) release(e *Endpoint) {
	if e.IPv4.IsValid() {
		s.v4.free(e.IPv4.Addr(), e.ID)
	}
	if e.IPv6.IsValid() {
		s.v6.free(e.IPv6.Addr(), e.ID)
	}
}

// ofEndpoint are the elements of an endpoint's device: what it may send as. Those of its ports are
// made with them.
func (f *firewall) ofEndpoint(s *state, e *Endpoint) (list []entry) {
	put := func(set *nft.Set, key string) { list = append(list, entry{set, nft.Elem{Key: key}}) }
	mac, _ := net.ParseMAC(e.MAC)
	put(f.mac, nft.Join(e.HostInterface, mac))
	if e.DriverOpts[optSpoof] == "false" {
		put(f.loose, nft.Join(e.HostInterface))
	}
	addrs := slices.Clone(e.LinkLocal)
	if e.IPv4.IsValid() {
		addrs = append(addrs, e.IPv4.Addr())
	}
	if e.IPv6.IsValid() {
		addrs = append(addrs, e.IPv6.Addr(), linkLocal(mac))
	}
	for _, a := range addrs {
		put(f.src[index(a)], nft.Join(e.HostInterface, a))
	}
	if len(e.Bindings) > 0 {
		list = append(list, f.ofOwn(e)...)
	}
	return append(list, f.ofBindings(s, e, e.Bindings)...)
}

func index(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// linkLocal is the address that the kernel makes of a MAC address (RFC 4291, appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.AddrFrom16(a)
}

// connect makes an endpoint's devices, addresses and routes. The caller has b.plumb.
func (h *Host) connect(b *sandbox, s *state, e *Endpoint) error {
	ahead := b.ns.spare
	if ahead != nil && ahead.host != e.HostInterface {
		ahead = nil
	} else {
		b.ns.spare = nil
	}
	err := h.plug(b, s, e, ahead)
	if err != nil {
		return errors.Join(err, h.unplug(b, e))
	}
	return nil
}

func (h *Host) plug(b *sandbox, s *state, e *Endpoint, ahead *spare) error {
	v6 := e.IPv6.IsValid() || slices.ContainsFunc(e.LinkLocal, netip.Addr.Is6)
	if err := h.ipv6Default(b, v6, ahead); err != nil {
		return err
	}
	if err := h.makeDevice(b, s, e, ahead); err != nil {
		return err
	}
	var p rtnl.Plan
	var inner int
	if ahead != nil {
		mac, _ := net.ParseMAC(e.MAC)
		if inner = ahead.inner; e.Interface != spareName {
			p.Rename(inner, spareName, e.Interface)
		}
		p.MAC(inner, e.Interface, mac)
		s.dev.Lock()
		mtu := s.mtu
		s.dev.Unlock()
		if mtu != defaultMTU {
			p.MTU(inner, e.Interface, mtu)
		}
	} else {
		l, err := b.ns.route.Link(e.Interface)
		if err != nil {
			return err
		}
		inner = l.Index
	}
	p.Up(inner, e.Interface)
	for _, a := range e.addresses() {
		p.Address(inner, e.Interface, a)
	}
	h.mu.Lock()
	b.defaultRoutes(&p, e, inner)
	h.mu.Unlock()
	p.Settle(inner, e.Interface)
	if err := b.ns.route.Apply(&p); err != nil {
		return err
	}
	if err := applySysctls(b, e); err != nil || e.HostInterface == "" {
		return err
	}
	return h.settlePort(s, e)
}

// settlePort finishes the host's end of an endpoint's device and waits until the bridge sends
// through it: what a container sends in its first moments would be lost else, and be sent again
// after a second.
func (h *Host) settlePort(s *state, e *Endpoint) error {
	return h.route(func(c *rtnl.Conn) error {
		// The bridge too: it has carrier since it has a port.
		list, err := c.Named(e.HostInterface, s.Bridge)
		if err != nil {
			return err
		}
		var p rtnl.Plan
		if !s.set.icc {
			// Containers of a network without icc do not even share a wire.
			p.Isolate(list[0].Index, e.HostInterface)
		}
		if len(e.Bindings) > 0 && bridgeNetfilter() {
			p.Hairpin(list[0].Index, e.HostInterface)
		}
		if !p.Empty() {
			if err := c.Apply(&p); err != nil {
				return err
			}
		}
		// The order of the two matters, and Linux before 6.8 takes its time.
		for try := 0; !(list[0].Ready && list[1].Ready) && try < 20; try++ {
			if try > 0 {
				time.Sleep(time.Millisecond)
			}
			if list, err = c.Named(e.HostInterface, s.Bridge); err != nil {
				return err
			}
		}
		return nil
	})
}

// bridgeNetfilter says whether bridges pass packets through the hooks of routers. They then redirect
// what goes to a published port themselves, also back where it came from, if the port lets them.
func bridgeNetfilter() bool {
	v, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil && strings.TrimSpace(string(v)) == "1"
}

func (e *Endpoint) addresses() (list []netip.Prefix) {
	for _, a := range []netip.Prefix{e.IPv4, e.IPv6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	if mac, err := net.ParseMAC(e.MAC); err == nil && e.IPv6.IsValid() && e.HostInterface != "" {
		list = append(list, netip.PrefixFrom(linkLocal(mac), 64)) // at once, not when the kernel gets round to it
	}
	for _, a := range e.LinkLocal {
		bits := 16
		if a.Is6() {
			bits = 64
		}
		list = append(list, netip.PrefixFrom(a, bits))
	}
	return list
}

// ipv6Default says whether the next device in a namespace, or the one that was made ahead, gets
// IPv6. In a network without it a container has no IPv6 address there, not even a link-local one
// (CVE-2024-32473).
func (h *Host) ipv6Default(b *sandbox, on bool, ahead *spare) error {
	name := "default"
	if ahead != nil {
		name = spareName
	}
	if ahead != nil && !on || ahead == nil && on == b.ns.ipv6 {
		return nil
	}
	off := "1"
	if on {
		off = "0"
	}
	err := rtnl.Inside(int(b.ns.file.Fd()), func() error { return sysctl("ipv6/conf/"+name+"/disable_ipv6", off) })
	if err == nil && ahead == nil {
		b.ns.ipv6 = on
	}
	return err
}

// makeDevice makes an endpoint's device in its namespace, and the other end.
func (h *Host) makeDevice(b *sandbox, s *state, e *Endpoint, ahead *spare) error {
	mac, _ := net.ParseMAC(e.MAC)
	if s.Driver != "bridge" {
		return h.route(func(c *rtnl.Conn) error {
			parent, err := c.Link(s.set.parent)
			if err != nil {
				return err
			}
			var p rtnl.Plan
			if s.Driver == "ipvlan" {
				mac = nil // it has its parent's
			}
			p.Macvlan(s.Driver, e.Interface, parent.Index, s.set.submode, s.set.mtu, int(b.ns.file.Fd()), mac)
			return lacks(c.Apply(&p), s.Driver)
		})
	}
	plug := func() error {
		s.dev.Lock()
		index, mtu := s.index, s.mtu
		s.dev.Unlock()
		return h.route(func(c *rtnl.Conn) error {
			var p rtnl.Plan
			if ahead == nil {
				p.Veth(e.HostInterface, e.Interface, int(b.ns.file.Fd()), mtu, mac)
			}
			p.Plug(e.HostInterface, index, mtu, h.ipv6 && mtu >= minIPv6MTU)
			return c.Apply(&p)
		})
	}
	err := plug()
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		// Somebody removed the bridge: make it again, once.
		s.dev.Lock()
		again := h.ensureBridge(s)
		s.dev.Unlock()
		if again == nil {
			if ahead == nil {
				again = h.unplug(b, e)
			}
			err = errors.Join(again, plug())
		}
	}
	if errors.Is(err, unix.EXFULL) || errors.Is(err, unix.ENOSPC) {
		return errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("network %s is full: a bridge has at most 1,023 ports", s.Name))
	}
	return err
}

// defaultRoutes plans the default routes of a namespace, given by the endpoint with the highest
// priority. fresh is the endpoint whose device is being set up, or nil when one has gone.
func (b *sandbox) defaultRoutes(p *rtnl.Plan, fresh *Endpoint, index int) {
	for _, six := range []bool{false, true} {
		best := b.gatewayEndpoint(six)
		if best == nil || best != fresh {
			continue
		}
		gw, zero := best.Gateway4, netip.PrefixFrom(zero4, 0)
		if six {
			gw, zero = best.Gateway6, netip.PrefixFrom(zero6, 0)
		}
		r := rtnl.Route{Dst: zero, Gateway: gw, Index: index}
		if pfx := best.IPv4; !six && !pfx.Contains(gw) || six && !best.IPv6.Contains(gw) {
			r.OnLink = true
		}
		p.Route(r, best.Interface)
	}
}

// gatewayEndpoint is the endpoint whose gateway a container uses.
func (b *sandbox) gatewayEndpoint(six bool) (best *Endpoint) {
	for _, e := range b.endpoints {
		gw := e.Gateway4
		if six {
			gw = e.Gateway6
		}
		if !gw.IsValid() {
			continue
		}
		if best == nil || e.GatewayPriority > best.GatewayPriority || e.GatewayPriority == best.GatewayPriority && strings.Compare(e.NetworkName, best.NetworkName) < 0 {
			best = e
		}
	}
	return best
}

// minIPv6MTU is the least that IPv6 takes, in bytes (RFC 8200).
const minIPv6MTU = 1280

// unplug removes an endpoint's device while its namespace lives.
func (h *Host) unplug(b *sandbox, e *Endpoint) error {
	if e.HostInterface == "" {
		l, err := b.ns.route.Link(e.Interface)
		if errors.Is(err, rtnl.ErrNoLink) {
			return nil
		}
		if err != nil {
			return err
		}
		var p rtnl.Plan
		p.Delete(l.Index, l.Name)
		return b.ns.route.Apply(&p)
	}
	return h.route(func(c *rtnl.Conn) error {
		l, err := c.Link(e.HostInterface)
		if errors.Is(err, rtnl.ErrNoLink) {
			return nil
		}
		if err != nil {
			return err
		}
		var p rtnl.Plan
		p.Delete(l.Index, l.Name)
		return c.Apply(&p)
	})
}
