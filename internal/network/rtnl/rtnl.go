// Package rtnl makes and finds network devices, addresses and routes over rtnetlink(7).
//
// It is written for the start of containers: what belongs together goes to the kernel in one
// datagram, and a pair of devices is made, named, joined to its bridge, moved into its network
// namespace and set up by one message.
//
//	host, err := rtnl.Open()                  // in the network namespace of the calling thread
//	var p rtnl.Plan
//	p.Veth(rtnl.Veth{Name: "hv1", Bridge: br.Index, Peer: "eth0", NetNS: fd, MAC: mac})
//	err = host.Apply(&p)
//
// A [Plan] is printable: one line a request, in the words of ip(8). Errors name the request.
// A [Conn] is for one goroutine at a time.
package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// Conn is a socket to the routing tables of one network namespace.
type Conn struct{ s *nl.Socket }

// Open opens a socket in the network namespace of the calling thread.
func Open() (*Conn, error) {
	s, err := nl.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &Conn{s}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return c.s.Close() }

// Plan is a list of requests that are sent together.
type Plan struct {
	b    nl.Batch
	text []string
}

// String is one request a line.
func (p *Plan) String() string { return strings.Join(p.text, "\n") }

// Empty says whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.text) == 0 }

// Apply sends the requests of a plan. Those after a failed one are tried too; the first error is
// returned.
func (c *Conn) Apply(p *Plan) error {
	err := c.s.Do(&p.b)
	var e *nl.Error
	if errors.As(err, &e) && e.Index < len(p.text) {
		return fmt.Errorf("%s: %w", p.text[e.Index], err)
	}
	return err
}

func (p *Plan) begin(kind, flags uint16, header []byte, format string, args ...any) {
	p.b.Begin(kind, flags|unix.NLM_F_ACK, header...)
	p.text = append(p.text, fmt.Sprintf(format, args...))
}

// ifinfo is a struct ifinfomsg: the flags in mask are set to flags.
func ifinfo(index int, flags, mask uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint32(b[4:], uint32(index))
	native.PutUint32(b[8:], flags)
	native.PutUint32(b[12:], mask)
	return b
}

// Numbers of uapi/linux/veth.h and if_link.h that package unix lacks or spells otherwise.
const (
	vethInfoPeer = 1 // VETH_INFO_PEER

	bridgePortHairpin  = 4  // IFLA_BRPORT_MODE
	bridgePortIsolated = 33 // IFLA_BRPORT_ISOLATED

	inet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone      = 1 // IN6_ADDR_GEN_MODE_NONE

	macvlanMode        = 1 // IFLA_MACVLAN_MODE
	ipvlanMode         = 1 // IFLA_IPVLAN_MODE
	ipvlanFlags        = 2 // IFLA_IPVLAN_FLAGS
	vlanID             = 1 // IFLA_VLAN_ID
	kindLen            = 16
	create      uint16 = unix.NLM_F_CREATE | unix.NLM_F_EXCL
)

// Veth makes a pair of devices, both down: name in this namespace, peer in another, which a
// descriptor names. mac, for the peer, may be nil.
func (p *Plan) Veth(name, peer string, netns, mtu int, mac []byte) {
	p.begin(unix.RTM_NEWLINK, create, ifinfo(0, 0, 0), "link add %s mtu %d type veth peer %s address %x netns", name, mtu, peer, mac)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.mtu(mtu)
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_KIND, "veth")
	p.b.Nest(unix.IFLA_INFO_DATA)
	p.b.Nest(vethInfoPeer)
	p.b.Raw(ifinfo(0, 0, 0))
	p.b.Str(unix.IFLA_IFNAME, peer)
	p.mtu(mtu)
	if len(mac) > 0 {
		p.b.Attr(unix.IFLA_ADDRESS, mac)
	}
	p.b.U32(unix.IFLA_NET_NS_FD, uint32(netns))
	p.b.Up()
	p.b.Up()
	p.b.Up()
	p.b.End()
}

// Plug joins a device to a bridge and sets it up. With quiet it gets no IPv6 address of its own,
// which a bridge's port needs for nothing.
func (p *Plan) Plug(name string, bridge, mtu int, quiet bool) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(0, unix.IFF_UP, unix.IFF_UP), "link set %s mtu %d master %d up", name, mtu, bridge)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.mtu(mtu)
	p.b.U32(unix.IFLA_MASTER, uint32(bridge))
	if quiet {
		p.b.Nest(unix.IFLA_AF_SPEC)
		p.b.Nest(unix.AF_INET6)
		p.b.U8(inet6AddrGenMode, addrGenNone)
		p.b.Up()
		p.b.Up()
	}
	p.b.End()
}

func (p *Plan) mtu(mtu int) {
	if mtu > 0 {
		p.b.U32(unix.IFLA_MTU, uint32(mtu))
	}
}

// Bridge makes a bridge and sets it up.
func (p *Plan) Bridge(name string, mac []byte, mtu int, alias string) {
	p.begin(unix.RTM_NEWLINK, create, ifinfo(0, unix.IFF_UP, unix.IFF_UP), "link add %s mtu %d address %x up type bridge", name, mtu, mac)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.mtu(mtu)
	p.b.Attr(unix.IFLA_ADDRESS, mac)
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_KIND, "bridge")
	p.b.Up()
	p.b.End()
	p.Alias(name, alias)
}

// Alias gives a device a remark. (A device that is being made does not take one.)
func (p *Plan) Alias(name, alias string) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(0, 0, 0), "link set %s alias %q", name, alias)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.b.Str(unix.IFLA_IFALIAS, alias)
	p.b.End()
}

// Macvlan makes a device of the kind macvlan or ipvlan on a parent, directly in NetNS.
func (p *Plan) Macvlan(kind, name string, parent int, mode uint32, mtu, netns int, mac []byte) {
	p.begin(unix.RTM_NEWLINK, create, ifinfo(0, unix.IFF_UP, unix.IFF_UP), "link add %s link %d mtu %d address %x netns up type %s mode %d", name, parent, mtu, mac, kind, mode)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.b.U32(unix.IFLA_LINK, uint32(parent))
	p.b.U32(unix.IFLA_NET_NS_FD, uint32(netns))
	p.mtu(mtu)
	if len(mac) > 0 {
		p.b.Attr(unix.IFLA_ADDRESS, mac)
	}
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_KIND, kind)
	p.b.Nest(unix.IFLA_INFO_DATA)
	if kind == "ipvlan" {
		p.b.U16(ipvlanMode, uint16(mode))
	} else {
		p.b.U32(macvlanMode, mode)
	}
	p.b.Up()
	p.b.Up()
	p.b.End()
}

// VLAN makes a device for one VLAN of a parent (eth0.10) and sets it up.
func (p *Plan) VLAN(name string, parent int, id uint16, alias string) {
	p.begin(unix.RTM_NEWLINK, create, ifinfo(0, unix.IFF_UP, unix.IFF_UP), "link add %s link %d up type vlan id %d", name, parent, id)
	p.b.Str(unix.IFLA_IFNAME, name)
	p.b.U32(unix.IFLA_LINK, uint32(parent))
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_KIND, "vlan")
	p.b.Nest(unix.IFLA_INFO_DATA)
	p.b.U16(vlanID, id)
	p.b.Up()
	p.b.Up()
	p.b.End()
	p.Alias(name, alias)
}

// Isolate keeps a bridge's port from speaking with its other isolated ports.
func (p *Plan) Isolate(index int, name string) { p.port(index, name, "isolated", bridgePortIsolated) }

// Hairpin lets a bridge's port get back what came in by it.
func (p *Plan) Hairpin(index int, name string) { p.port(index, name, "hairpin", bridgePortHairpin) }

func (p *Plan) port(index int, name, word string, attr uint16) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(index, 0, 0), "link set %s type bridge_slave %s on", name, word)
	p.b.Nest(unix.IFLA_LINKINFO)
	p.b.Str(unix.IFLA_INFO_SLAVE_KIND, "bridge")
	p.b.Nest(unix.IFLA_INFO_SLAVE_DATA)
	p.b.U8(attr, 1)
	p.b.Up()
	p.b.Up()
	p.b.End()
}

// Settle makes the kernel do at once what it does in the background when a device has come up: until
// then the device drops what is sent (rtnl_getlink, Linux 6.8).
func (p *Plan) Settle(index int, name string) {
	p.begin(unix.RTM_GETLINK, 0, ifinfo(index, 0, 0), "link show %s", name)
	p.b.End()
}

// MAC changes the MAC address of a device.
func (p *Plan) MAC(index int, name string, mac []byte) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(index, 0, 0), "link set %s address %x", name, mac)
	p.b.Attr(unix.IFLA_ADDRESS, mac)
	p.b.End()
}

// Rename gives a device that is down another name.
func (p *Plan) Rename(index int, from, to string) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(index, 0, 0), "link set %s name %s", from, to)
	p.b.Str(unix.IFLA_IFNAME, to)
	p.b.End()
}

// Up sets a device up.
func (p *Plan) Up(index int, name string) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(index, unix.IFF_UP, unix.IFF_UP), "link set %s up", name)
	p.b.End()
}

// MTU changes a device's MTU, in bytes.
func (p *Plan) MTU(index int, name string, mtu int) {
	p.begin(unix.RTM_NEWLINK, 0, ifinfo(index, 0, 0), "link set %s mtu %d", name, mtu)
	p.mtu(mtu)
	p.b.End()
}

// Delete removes a device. It waits for the kernel's grace time: 16 ms and more.
func (p *Plan) Delete(index int, name string) {
	p.begin(unix.RTM_DELLINK, 0, ifinfo(index, 0, 0), "link del %s", name)
	p.b.End()
}

// Address gives a device an address. IPv6 addresses are used at once, without looking for
// duplicates: who gives them out knows them all.
func (p *Plan) Address(index int, name string, a netip.Prefix) {
	h := make([]byte, unix.SizeofIfAddrmsg)
	h[0], h[1], h[3] = family(a.Addr()), byte(a.Bits()), unix.RT_SCOPE_UNIVERSE
	if a.Addr().Is4() && a.Addr().IsLinkLocalUnicast() {
		h[3] = unix.RT_SCOPE_LINK
	}
	native.PutUint32(h[4:], uint32(index))
	p.begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, h, "addr add %s dev %s", a, name)
	ip := a.Addr().AsSlice()
	p.b.Attr(unix.IFA_LOCAL, ip)
	p.b.Attr(unix.IFA_ADDRESS, ip)
	if a.Addr().Is4() {
		if a.Bits() < 31 {
			p.b.Attr(unix.IFA_BROADCAST, broadcast(a))
		}
	} else {
		p.b.U32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
	p.b.End()
}

// RemoveAddress takes an address from a device.
func (p *Plan) RemoveAddress(index int, name string, a netip.Prefix) {
	h := make([]byte, unix.SizeofIfAddrmsg)
	h[0], h[1] = family(a.Addr()), byte(a.Bits())
	native.PutUint32(h[4:], uint32(index))
	p.begin(unix.RTM_DELADDR, 0, h, "addr del %s dev %s", a, name)
	p.b.Attr(unix.IFA_LOCAL, a.Addr().AsSlice())
	p.b.Attr(unix.IFA_ADDRESS, a.Addr().AsSlice())
	p.b.End()
}

func broadcast(a netip.Prefix) []byte {
	ip := a.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(ip[:]) | (1<<(32-a.Bits()) - 1)
	return binary.BigEndian.AppendUint32(nil, n)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// Route is a route of the main table. The default route has a zero Dst of its gateway's family.
type Route struct {
	Dst     netip.Prefix
	Gateway netip.Addr // invalid for "on the link"
	Index   int        // of the device
	Metric  uint32
	OnLink  bool // the gateway is reachable though no route says so
}

func (r Route) String() string {
	s := r.Dst.String()
	if r.Dst.Bits() <= 0 {
		s = "default"
	}
	if r.Gateway.IsValid() {
		s += " via " + r.Gateway.String()
	}
	return s
}

func (r Route) message(p *Plan, kind, flags uint16, verb, dev string) {
	h := make([]byte, unix.SizeofRtMsg)
	a := r.Gateway
	if !a.IsValid() {
		a = r.Dst.Addr()
	}
	h[0], h[4], h[5], h[6], h[7] = family(a), unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST
	if !r.Gateway.IsValid() && a.Is4() {
		h[6] = unix.RT_SCOPE_LINK
	}
	if r.Dst.IsValid() {
		h[1] = byte(r.Dst.Bits())
	}
	if r.OnLink {
		native.PutUint32(h[8:], unix.RTNH_F_ONLINK)
	}
	p.begin(kind, flags, h, "route %s %s dev %s", verb, r, dev)
	if r.Dst.IsValid() && r.Dst.Bits() > 0 {
		p.b.Attr(unix.RTA_DST, r.Dst.Addr().AsSlice())
	}
	if r.Gateway.IsValid() {
		p.b.Attr(unix.RTA_GATEWAY, r.Gateway.AsSlice())
	}
	p.b.U32(unix.RTA_OIF, uint32(r.Index))
	if r.Metric > 0 {
		p.b.U32(unix.RTA_PRIORITY, r.Metric)
	}
	p.b.End()
}

// Route adds a route, or puts it in the place of the one with its destination and metric.
func (p *Plan) Route(r Route, dev string) {
	r.message(p, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, "add", dev)
}

// RemoveRoute removes a route.
func (p *Plan) RemoveRoute(r Route, dev string) { r.message(p, unix.RTM_DELROUTE, 0, "del", dev) }
