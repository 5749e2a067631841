package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/network/nft"
	"golang.org/x/sys/unix"
)

// maxPorts bounds the ports that one specification stands for.
const maxPorts = 4096

// ParsePort reads Docker's way to write published ports:
//
//	[[HOST-IP:]HOST-PORT[-END]:]CONTAINER-PORT[-END][/tcp|udp|sctp]
//
// An IPv6 host address stands in brackets. A range of container ports with one of host ports of
// the same length is a list of pairs; one container port with a range of host ports takes a free
// one of it.
func ParsePort(spec string) ([]Port, error) {
	bad := func(why string) ([]Port, error) {
		return nil, invalid("invalid port specification %.100q: %s", spec, why)
	}
	rest, proto, ok := strings.Cut(spec, "/")
	if !ok {
		proto = "tcp"
	}
	if proto = strings.ToLower(proto); protocol(proto) == 0 {
		return bad("the protocol is none of tcp, udp and sctp")
	}
	var hostIP netip.Addr
	if inner, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); ok && strings.HasPrefix(rest, "[") {
		a, err := netip.ParseAddr(inner)
		if err != nil || a.Zone() != "" || !strings.HasPrefix(after, ":") {
			return bad("the host address is none")
		}
		hostIP, rest = a, after[1:]
	}
	parts := strings.Split(rest, ":")
	if len(parts) == 3 && !hostIP.IsValid() {
		if parts[0] != "" {
			a, err := netip.ParseAddr(parts[0])
			if err != nil || !a.Is4() {
				return bad("the host address is none")
			}
			hostIP = a
		}
		parts = parts[1:]
	}
	if len(parts) > 2 {
		return bad("too many colons")
	}
	container, containerEnd, err := portRange(parts[len(parts)-1])
	if err != nil || container == 0 {
		return bad("the container's port is not between 1 and 65535")
	}
	var host, hostEnd uint16
	if len(parts) == 2 && parts[0] != "" {
		if host, hostEnd, err = portRange(parts[0]); err != nil {
			return bad("the host's port is not between 0 and 65535")
		}
	}
	n, m := int(containerEnd)-int(container)+1, int(hostEnd)-int(host)+1
	switch {
	case n > maxPorts || m > maxPorts:
		return bad(fmt.Sprintf("more than %d ports", maxPorts))
	case n == 1 && host != 0:
		return []Port{{Proto: proto, Container: container, HostIP: hostIP, Host: host, HostEnd: hostEnd}}, nil
	case host != 0 && n != m:
		return bad("the ranges differ in length")
	}
	var ports []Port
	for i := range n {
		p := Port{Proto: proto, Container: container + uint16(i), HostIP: hostIP}
		if host != 0 {
			p.Host, p.HostEnd = host+uint16(i), host+uint16(i)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// portRange reads "80" or "80-90".
func portRange(s string) (from, to uint16, err error) {
	a, b, ranged := strings.Cut(s, "-")
	first, err := strconv.ParseUint(a, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	last := first
	if ranged {
		if last, err = strconv.ParseUint(b, 10, 16); err != nil {
			return 0, 0, err
		}
	}
	if last < first || a[0] == '+' {
		return 0, 0, strconv.ErrRange
	}
	return uint16(first), uint16(last), nil
}

// protocol is a protocol's number, 0 for one that is not known.
func protocol(name string) uint8 {
	switch name {
	case "tcp":
		return unix.IPPROTO_TCP
	case "udp":
		return unix.IPPROTO_UDP
	case "sctp":
		return unix.IPPROTO_SCTP
	}
	return 0
}

// String is "0.0.0.0:8080->80/tcp".
func (b Binding) String() string {
	return fmt.Sprintf("%s->%d/%s", netip.AddrPortFrom(b.HostIP, b.Host), b.Container, b.Proto)
}

// target is the address that a binding leads to: of its family, or for IPv6 of the host and an
// IPv4 container the other, which a proxy reaches.
func (e *Endpoint) target(b Binding) (a netip.Addr, proxied bool) {
	switch {
	case b.HostIP.Is4():
		return e.IPv4.Addr(), false
	case e.IPv6.IsValid():
		return e.IPv6.Addr(), false
	}
	return e.IPv4.Addr(), true
}

// ofBindings are the elements of published ports.
func (f *firewall) ofBindings(s *state, e *Endpoint, bindings []Binding) (list []entry) {
	for _, b := range bindings {
		to, proxied := e.target(b)
		if proxied || b.Judged || !to.IsValid() {
			continue
		}
		i, proto := index(to), protocol(b.Proto)
		if s.mode(to) == modeRouted {
			list = append(list, entry{f.direct[i], nft.Elem{Key: nft.Join(to, proto, b.Container)}})
			continue
		}
		data := nft.Join(to, b.Container)
		switch {
		case b.HostIP.IsUnspecified():
			list = append(list, entry{f.any[i], nft.Elem{Key: nft.Join(proto, b.Host), Data: data}})
		case b.HostIP != loopback6:
			list = append(list, entry{f.at[i], nft.Elem{Key: nft.Join(b.HostIP, proto, b.Host), Data: data}})
		}
	}
	return list
}

// ofOwn are the elements that let a container use its own published ports.
func (f *firewall) ofOwn(e *Endpoint) (list []entry) {
	for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
		if a := p.Addr(); a.IsValid() {
			list = append(list, entry{f.own[index(a)], nft.Elem{Key: nft.Join(a, a)}})
		}
	}
	return list
}

func (s *state) mode(a netip.Addr) gatewayMode {
	if a.Is4() {
		return s.set.mode4
	}
	return s.set.mode6
}
