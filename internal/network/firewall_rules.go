package network

import (
	"github.com/hull-dev/hull/internal/network/nft"
	"golang.org/x/sys/unix"
)

// tables are the sets and maps of our two tables. What the rules do never changes; what there is to
// do it to are elements.
//
//	table inet hull            packets: isolation, translation, published ports
//	table bridge hull          frames between a container and its bridge: no spoofing
type tables struct {
	inet, bridge nft.Table

	// Of inet: names of bridges.
	bridges  *nft.Set // all of ours
	uplinks  *nft.Set // not ours: those that the host did not forward between until we made it forward
	internal *nft.Set // without a way out
	self     *nft.Set // (X, X) for each
	icc      *nft.Set // (X, X) for those whose containers may speak with each other
	masq     [2]*nft.Set
	open     [2]*nft.Set // whose containers can be reached by address from everywhere
	own      [2]*nft.Set // (X, X): addresses of containers with published ports
	// Ports. Index 0 is IPv4, 1 is IPv6.
	any    [2]*nft.Set // (protocol, port) on every address of the host
	at     [2]*nft.Set // (address, protocol, port)
	direct [2]*nft.Set // (container's address, protocol, port) that may be reached without translation
	api    *nft.Set    // TCP ports of hulld

	// Of bridge: what a device may send as.
	mac   *nft.Set // (device, MAC address)
	src   [2]*nft.Set
	loose *nft.Set // devices that may send as anybody
}

func newTables(name string) *tables {
	t := &tables{inet: nft.Table{Family: nft.INet, Name: name}, bridge: nft.Table{Family: nft.Bridge, Name: name}}
	set := func(table nft.Table, name string, key ...nft.Type) *nft.Set {
		return &nft.Set{Table: table, Name: name, Key: key}
	}
	t.bridges = set(t.inet, "bridges", nft.IfName)
	t.uplinks = set(t.inet, "uplinks", nft.IfName)
	t.internal = set(t.inet, "internal", nft.IfName)
	t.self = set(t.inet, "self", nft.IfName, nft.IfName)
	t.icc = set(t.inet, "icc", nft.IfName, nft.IfName)
	t.api = set(t.inet, "api", nft.InetService)
	t.mac = set(t.bridge, "mac", nft.IfName, nft.EtherAddr)
	t.loose = set(t.bridge, "loose", nft.IfName)
	for i, f := range []struct {
		suffix string
		addr   nft.Type
	}{{"4", nft.IPv4Addr}, {"6", nft.IPv6Addr}} {
		t.masq[i] = set(t.inet, "masq"+f.suffix, nft.IfName)
		t.open[i] = set(t.inet, "open"+f.suffix, nft.IfName)
		t.direct[i] = set(t.inet, "direct"+f.suffix, f.addr, nft.InetProto, nft.InetService)
		t.own[i] = set(t.inet, "own"+f.suffix, f.addr, f.addr)
		t.any[i] = set(t.inet, "any"+f.suffix, nft.InetProto, nft.InetService)
		t.at[i] = set(t.inet, "at"+f.suffix, f.addr, nft.InetProto, nft.InetService)
		t.any[i].Data = []nft.Type{f.addr, nft.InetService}
		t.at[i].Data = t.any[i].Data
		t.src[i] = set(t.bridge, "src"+f.suffix, nft.IfName, f.addr)
	}
	return t
}

func (t *tables) sets() []*nft.Set {
	return []*nft.Set{t.bridges, t.uplinks, t.internal, t.self, t.icc, t.masq[0], t.masq[1], t.open[0], t.open[1], t.own[0], t.own[1],
		t.any[0], t.any[1], t.at[0], t.at[1], t.direct[0], t.direct[1], t.api,
		t.mac, t.src[0], t.src[1], t.loose}
}

// Priorities of hooks (uapi/linux/netfilter_ipv4.h, netfilter_bridge.h).
const (
	prioRaw     = -300
	prioMangle  = -150
	prioDstNAT  = -100
	prioFilter  = 0
	prioSrcNAT  = 100
	prioBridge  = -300 // NF_BR_PRI_NAT_DST_BRIDGED
	protoICMPv6 = unix.IPPROTO_ICMPV6
)

// rules writes everything but the elements. tag begins the names of our devices.
func (t *tables) rules(tx *nft.Tx, tag string) {
	for _, s := range t.sets() {
		tx.AddSet(s)
	}
	t.packets(tx)
	t.translation(tx)
	t.frames(tx, tag)
}

func (t *tables) packets(tx *nft.Tx) {
	rule := func(chain string, parts ...nft.Part) { tx.AddRule(t.inet, chain, parts...) }
	hook := func(name, kind string, num uint32, prio int32) {
		tx.AddChain(nft.Chain{Table: t.inet, Name: name, Hook: &nft.Hook{Type: kind, Num: num, Priority: prio}})
	}
	tx.AddChain(nft.Chain{Table: t.inet, Name: "from"})
	tx.AddChain(nft.Chain{Table: t.inet, Name: "to"})

	// Our bridges let 127.0.0.1 pass (route_localnet), for published ports that the host itself uses.
	// Containers must not: before connection tracking, so that answers, which it turns into
	// 127.0.0.1 later, are not meant.
	hook("raw", "filter", nft.PreRouting, prioRaw)
	rule("raw", nft.In(t.bridges, nft.IIfName), nft.IPv4, nft.Is(nft.IP4DstNet, uint8(127), "127"), nft.Drop)

	// Answers to connections that hulld carries to published ports in their clients' name.
	hook("divert", "filter", nft.PreRouting, prioMangle)
	rule("divert", nft.In(t.bridges, nft.IIfName), nft.ToTransparent, nft.SetMark(divertMark))

	hook("input", "filter", nft.LocalIn, prioFilter)
	rule("input", nft.In(t.bridges, nft.IIfName), nft.Is(nft.L4Proto, uint8(unix.IPPROTO_TCP), "tcp"), nft.In(t.api, nft.DPort), nft.Drop)
	// Internal networks reach the host by their own gateway's address alone.
	rule("input", nft.In(t.internal, nft.IIfName), nft.ToLocal, nft.NotToThisDevice, nft.Drop)

	hook("forward", "filter", nft.Forward, prioFilter)
	rule("forward", nft.In(t.bridges, nft.IIfName), nft.Jump("from"))
	rule("forward", nft.In(t.bridges, nft.OIfName), nft.Goto("to"))
	rule("forward", nft.In(t.uplinks, nft.IIfName), nft.In(t.uplinks, nft.OIfName), nft.Drop)

	rule("from", nft.In(t.icc, nft.IIfName, nft.OIfName), nft.Accept)
	rule("from", nft.In(t.internal, nft.IIfName), nft.Drop)
	rule("from", nft.In(t.internal, nft.OIfName), nft.Drop)
	rule("from", nft.Invalid, nft.Drop) // else it leaves untranslated
	rule("from", nft.Established, nft.Accept)
	rule("from", nft.Published, nft.Accept)
	rule("from", nft.In(t.bridges, nft.OIfName), nft.Drop)
	rule("from", nft.Accept)

	rule("to", nft.In(t.internal, nft.OIfName), nft.Drop)
	rule("to", nft.Established, nft.Accept)
	rule("to", nft.Published, nft.Accept)
	rule("to", nft.IPv4, nft.In(t.open[0], nft.OIfName), nft.Accept)
	rule("to", nft.IPv6, nft.In(t.open[1], nft.OIfName), nft.Accept)
	rule("to", nft.IPv4, nft.In(t.direct[0], nft.IP4Dst, nft.L4Proto, nft.DPort), nft.Accept)
	rule("to", nft.IPv6, nft.In(t.direct[1], nft.IP6Dst, nft.L4Proto, nft.DPort), nft.Accept)
	rule("to", nft.Drop)
}

func (t *tables) translation(tx *nft.Tx) {
	rule := func(chain string, parts ...nft.Part) { tx.AddRule(t.inet, chain, parts...) }
	for _, c := range []struct {
		name string
		num  uint32
	}{{"prerouting", nft.PreRouting}, {"output", nft.LocalOut}} {
		tx.AddChain(nft.Chain{Table: t.inet, Name: c.name, Hook: &nft.Hook{Type: "nat", Num: c.num, Priority: prioDstNAT}})
		if c.name == "prerouting" {
			// From outside nobody speaks to 127.0.0.1, whatever was published there.
			rule(c.name, nft.IPv4, nft.Is(nft.IP4DstNet, uint8(127), "127"), nft.Return)
		}
		rule(c.name, nft.IPv4, nft.DNAT(unix.NFPROTO_IPV4, t.at[0], nft.IP4Dst, nft.L4Proto, nft.DPort))
		rule(c.name, nft.IPv4, nft.ToLocal, nft.DNAT(unix.NFPROTO_IPV4, t.any[0], nft.L4Proto, nft.DPort))
		// Nothing can be sent on from ::1: there a proxy listens.
		rule(c.name, nft.IPv6, nft.Is(nft.IP6Dst, loopback6, "::1"), nft.Return)
		rule(c.name, nft.IPv6, nft.DNAT(unix.NFPROTO_IPV6, t.at[1], nft.IP6Dst, nft.L4Proto, nft.DPort))
		rule(c.name, nft.IPv6, nft.ToLocal, nft.DNAT(unix.NFPROTO_IPV6, t.any[1], nft.L4Proto, nft.DPort))
	}
	tx.AddChain(nft.Chain{Table: t.inet, Name: "postrouting", Hook: &nft.Hook{Type: "nat", Num: nft.PostRouting, Priority: prioSrcNAT}})
	// A container that uses a published port of its own must not be spoken to by itself; with one of its
	// network's the answers must come back through us. Where bridges pass packets through these hooks
	// (br_netfilter) the device that they came by is not known here, but answers come back anyway.
	rule("postrouting", nft.IPv4, nft.In(t.own[0], nft.IP4Src, nft.IP4Dst), nft.Published, nft.Masquerade)
	rule("postrouting", nft.IPv6, nft.In(t.own[1], nft.IP6Src, nft.IP6Dst), nft.Published, nft.Masquerade)
	rule("postrouting", nft.In(t.self, nft.IIfName, nft.OIfName), nft.Published, nft.Masquerade)
	rule("postrouting", nft.IPv4, nft.Is(nft.IP4SrcNet, uint8(127), "127"), nft.In(t.bridges, nft.OIfName), nft.Masquerade)
	rule("postrouting", nft.IPv4, nft.In(t.masq[0], nft.IIfName), nft.NotIn(t.bridges, nft.OIfName), nft.Masquerade)
	rule("postrouting", nft.IPv6, nft.In(t.masq[1], nft.IIfName), nft.NotIn(t.bridges, nft.OIfName), nft.Masquerade)
}

// frames lets a device of ours send only what its endpoint may: with its MAC and IP addresses, and
// answers about itself. A device without elements is mute.
func (t *tables) frames(tx *nft.Tx, tag string) {
	rule := func(chain string, parts ...nft.Part) { tx.AddRule(t.bridge, chain, parts...) }
	for _, name := range []string{"arp", "ip4", "ip6"} {
		tx.AddChain(nft.Chain{Table: t.bridge, Name: name})
	}
	tx.AddChain(nft.Chain{Table: t.bridge, Name: "frames", Hook: &nft.Hook{Type: "filter", Num: nft.PreRouting, Priority: prioBridge}})
	rule("frames", nft.NameBeginsNot(nft.IIfName, tag), nft.Accept)
	rule("frames", nft.In(t.loose, nft.IIfName), nft.Accept)
	rule("frames", nft.NotIn(t.mac, nft.IIfName, nft.EtherSrc), nft.Drop)
	rule("frames", nft.Is(nft.EtherType, uint16(unix.ETH_P_IP), "ip"), nft.Goto("ip4"))
	rule("frames", nft.Is(nft.EtherType, uint16(unix.ETH_P_IPV6), "ip6"), nft.Goto("ip6"))
	rule("frames", nft.Is(nft.EtherType, uint16(unix.ETH_P_ARP), "arp"), nft.Goto("arp"))
	rule("frames", nft.Drop)

	rule("ip4", nft.In(t.src[0], nft.IIfName, nft.IP4Src), nft.Accept)
	rule("ip4", nft.Drop)

	rule("arp", nft.NotIn(t.mac, nft.IIfName, nft.ARPSrcMAC), nft.Drop)
	rule("arp", nft.In(t.src[0], nft.IIfName, nft.ARPSrcIP), nft.Accept)
	// A question whether an address is free names nobody (RFC 5227).
	rule("arp", nft.Is(nft.ARPOp, uint16(1), "request"), nft.Is(nft.ARPSrcIP, zero4, "0.0.0.0"), nft.Accept)
	rule("arp", nft.Drop)

	icmp := nft.Is(nft.L4Proto, uint8(protoICMPv6), "ipv6-icmp")
	rule("ip6", icmp, nft.Is(nft.ICMP6Type, uint8(134), "nd-router-advert"), nft.Drop)
	rule("ip6", icmp, nft.Is(nft.ICMP6Type, uint8(137), "nd-redirect"), nft.Drop)
	rule("ip6", icmp, nft.Is(nft.ICMP6Type, uint8(136), "nd-neighbor-advert"), nft.NotIn(t.src[1], nft.IIfName, nft.ND6Target), nft.Drop)
	rule("ip6", nft.In(t.src[1], nft.IIfName, nft.IP6Src), nft.Accept)
	// Before it has an address a node asks for duplicates and joins groups from the unspecified one.
	rule("ip6", nft.Is(nft.IP6Src, zero6, "::"), icmp, nft.Is(nft.ICMP6Type, uint8(135), "nd-neighbor-solicit"), nft.Accept)
	rule("ip6", nft.Is(nft.IP6Src, zero6, "::"), icmp, nft.Is(nft.ICMP6Type, uint8(143), "mld2-listener-report"), nft.Accept)
	rule("ip6", nft.Drop)
}
