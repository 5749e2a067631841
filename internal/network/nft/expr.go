package nft

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hull-dev/hull/internal/network/nl"
	"golang.org/x/sys/unix"
)

// Part is a piece of a rule: a condition, or what to do.
type Part struct {
	text string
	put  func(b *nl.Batch)
}

// reg0 is the first register. Each holds four bytes; longer values take several.
const reg0 = unix.NFT_REG32_00

func expr(b *nl.Batch, name string, put func()) {
	b.Nest(unix.NFTA_LIST_ELEM)
	b.Str(unix.NFTA_EXPR_NAME, name)
	b.Nest(unix.NFTA_EXPR_DATA)
	put()
	b.Up()
	b.Up()
}

// Field is a property of a packet that can be loaded into registers.
type Field struct {
	text string
	size int
	load func(b *nl.Batch, reg uint32)
}

func meta(text string, key uint32, size int) Field {
	return Field{text, size, func(b *nl.Batch, reg uint32) {
		expr(b, "meta", func() {
			b.BE32(unix.NFTA_META_DREG, reg)
			b.BE32(unix.NFTA_META_KEY, key)
		})
	}}
}

func payload(text string, base, offset uint32, size int) Field {
	return Field{text, size, func(b *nl.Batch, reg uint32) {
		expr(b, "payload", func() {
			b.BE32(unix.NFTA_PAYLOAD_DREG, reg)
			b.BE32(unix.NFTA_PAYLOAD_BASE, base)
			b.BE32(unix.NFTA_PAYLOAD_OFFSET, offset)
			b.BE32(unix.NFTA_PAYLOAD_LEN, uint32(size))
		})
	}}
}

// Fields of packets. Those of a protocol must stand behind a condition on it.
var (
	IIfName   = meta("iifname", unix.NFT_META_IIFNAME, 16)
	OIfName   = meta("oifname", unix.NFT_META_OIFNAME, 16)
	L4Proto   = meta("meta l4proto", unix.NFT_META_L4PROTO, 1)
	NFProto   = meta("meta nfproto", unix.NFT_META_NFPROTO, 1)
	EtherType = meta("meta protocol", unix.NFT_META_PROTOCOL, 2)

	EtherSrc   = payload("ether saddr", unix.NFT_PAYLOAD_LL_HEADER, 6, 6)
	IP4Src     = payload("ip saddr", unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4)
	IP4Dst     = payload("ip daddr", unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
	IP4SrcNet  = payload("@nh,96,8", unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 1)
	IP4DstNet  = payload("@nh,128,8", unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 1)
	IP6Src     = payload("ip6 saddr", unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16)
	IP6Dst     = payload("ip6 daddr", unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16)
	ARPOp      = payload("arp operation", unix.NFT_PAYLOAD_NETWORK_HEADER, 6, 2)
	ARPSrcMAC  = payload("arp saddr ether", unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 6)
	ARPSrcIP   = payload("arp saddr ip", unix.NFT_PAYLOAD_NETWORK_HEADER, 14, 4)
	ICMP6Type  = payload("icmpv6 type", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1)
	ND6Target  = payload("icmpv6 taddr", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16)
	DPort      = payload("th dport", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
	SPort      = payload("th sport", unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2)
	fibLocal   = Field{"fib daddr type", 4, loadFib}
	rtnLocal32 = binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)
)

func loadFib(b *nl.Batch, reg uint32) {
	expr(b, "fib", func() {
		b.BE32(unix.NFTA_FIB_DREG, reg)
		b.BE32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
		b.BE32(unix.NFTA_FIB_FLAGS, unix.NFTA_FIB_F_DADDR)
	})
}

func compare(text string, f Field, op uint32, value []byte) Part {
	return Part{text, func(b *nl.Batch) {
		f.load(b, reg0)
		expr(b, "cmp", func() {
			b.BE32(unix.NFTA_CMP_SREG, reg0)
			b.BE32(unix.NFTA_CMP_OP, op)
			b.Nest(unix.NFTA_CMP_DATA)
			b.Attr(unix.NFTA_DATA_VALUE, value)
			b.Up()
		})
	}}
}

// Is holds when a field has a value, given as in [Join]; shown is how nft prints the value.
func Is(f Field, value any, shown string) Part {
	return compare(f.text+" "+shown, f, unix.NFT_CMP_EQ, []byte(Join(value)))
}

// IsNot holds when a field has another value.
func IsNot(f Field, value any, shown string) Part {
	return compare(f.text+" != "+shown, f, unix.NFT_CMP_NEQ, []byte(Join(value)))
}

// NameBegins holds when an interface's name begins with a prefix.
func NameBegins(f Field, prefix string) Part {
	return compare(fmt.Sprintf("%s %q", f.text, prefix+"*"), f, unix.NFT_CMP_EQ, []byte(prefix))
}

// NameBeginsNot holds when an interface's name begins otherwise.
func NameBeginsNot(f Field, prefix string) Part {
	return compare(fmt.Sprintf("%s != %q", f.text, prefix+"*"), f, unix.NFT_CMP_NEQ, []byte(prefix))
}

// Conditions without arguments.
var (
	IPv4       = Is(NFProto, uint8(unix.NFPROTO_IPV4), "ipv4")
	IPv6       = Is(NFProto, uint8(unix.NFPROTO_IPV6), "ipv6")
	ToLocal    = compare("fib daddr type local", fibLocal, unix.NFT_CMP_EQ, rtnLocal32)
	NotToLocal = compare("fib daddr type != local", fibLocal, unix.NFT_CMP_NEQ, rtnLocal32)
	// Established holds for packets of connections that are known, and of errors about them.
	Established = ctBits("ct state established,related", unix.NFT_CT_STATE, 2|4, unix.NFT_CMP_NEQ)
	Invalid     = ctBits("ct state invalid", unix.NFT_CT_STATE, 1, unix.NFT_CMP_NEQ)
	// Published holds for packets of connections whose destination was translated.
	Published = ctBits("ct status dnat", unix.NFT_CT_STATUS, 0x20, unix.NFT_CMP_NEQ)
)

func ctBits(text string, key, mask, op uint32) Part {
	zero := make([]byte, 4)
	bits := binary.NativeEndian.AppendUint32(nil, mask)
	return Part{text, func(b *nl.Batch) {
		expr(b, "ct", func() {
			b.BE32(unix.NFTA_CT_DREG, reg0)
			b.BE32(unix.NFTA_CT_KEY, key)
		})
		expr(b, "bitwise", func() {
			b.BE32(unix.NFTA_BITWISE_SREG, reg0)
			b.BE32(unix.NFTA_BITWISE_DREG, reg0)
			b.BE32(unix.NFTA_BITWISE_LEN, 4)
			b.Nest(unix.NFTA_BITWISE_MASK)
			b.Attr(unix.NFTA_DATA_VALUE, bits)
			b.Up()
			b.Nest(unix.NFTA_BITWISE_XOR)
			b.Attr(unix.NFTA_DATA_VALUE, zero)
			b.Up()
		})
		expr(b, "cmp", func() {
			b.BE32(unix.NFTA_CMP_SREG, reg0)
			b.BE32(unix.NFTA_CMP_OP, op)
			b.Nest(unix.NFTA_CMP_DATA)
			b.Attr(unix.NFTA_DATA_VALUE, zero)
			b.Up()
		})
	}}
}

// loadAll loads a concatenation and returns its text and the next free register.
func loadAll(b *nl.Batch, fields []Field) (next uint32) {
	next = reg0
	for _, f := range fields {
		f.load(b, next)
		next += uint32(padded(f.size) / 4)
	}
	return next
}

func texts(fields []Field) string {
	words := make([]string, 0, len(fields))
	for _, f := range fields {
		words = append(words, f.text)
	}
	return strings.Join(words, " . ")
}

// In holds when the fields, put together, are an element of a set.
func In(s *Set, fields ...Field) Part { return lookup(s, "", 0, fields) }

// NotIn holds when they are not.
func NotIn(s *Set, fields ...Field) Part { return lookup(s, "!= ", unix.NFT_LOOKUP_F_INV, fields) }

func lookup(s *Set, not string, flags uint32, fields []Field) Part {
	return Part{texts(fields) + " " + not + "@" + s.Name, func(b *nl.Batch) {
		loadAll(b, fields)
		expr(b, "lookup", func() {
			b.Str(unix.NFTA_LOOKUP_SET, s.Name)
			b.BE32(unix.NFTA_LOOKUP_SREG, reg0)
			if flags != 0 {
				b.BE32(unix.NFTA_LOOKUP_FLAGS, flags)
			}
		})
	}}
}

// DNAT sends packets whose fields are a key of a map to the address and port that it has for them.
func DNAT(family Family4or6, m *Set, fields ...Field) Part {
	return Part{"dnat " + family.String() + " to " + texts(fields) + " map @" + m.Name, func(b *nl.Batch) {
		loadAll(b, fields)
		expr(b, "lookup", func() {
			b.Str(unix.NFTA_LOOKUP_SET, m.Name)
			b.BE32(unix.NFTA_LOOKUP_SREG, reg0)
			b.BE32(unix.NFTA_LOOKUP_DREG, reg0)
		})
		expr(b, "nat", func() {
			b.BE32(unix.NFTA_NAT_TYPE, unix.NFT_NAT_DNAT)
			b.BE32(unix.NFTA_NAT_FAMILY, uint32(family))
			b.BE32(unix.NFTA_NAT_REG_ADDR_MIN, reg0)
			b.BE32(unix.NFTA_NAT_REG_PROTO_MIN, reg0+uint32(types[m.Data[0]].size/4))
		})
	}}
}

// Family4or6 is the protocol family of an address: NFPROTO_IPV4 or NFPROTO_IPV6.
type Family4or6 uint32

func (f Family4or6) String() string {
	if f == unix.NFPROTO_IPV4 {
		return "ip"
	}
	return "ip6"
}

// Masquerade gives a connection the address of the device that it leaves by.
var Masquerade = Part{"masquerade", func(b *nl.Batch) { expr(b, "masq", func() {}) }}

// SetPort writes a port into the transport header (its field is DPort or SPort) and corrects the
// checksum, which in UDP is at offset 6, in TCP at 16.
func SetPort(f Field, offset uint32, proto uint8, port uint16) Part {
	sum := uint32(16)
	var flags uint32
	if proto == unix.IPPROTO_UDP {
		sum = 6
	}
	return Part{fmt.Sprintf("%s set %d", f.text, port), func(b *nl.Batch) {
		expr(b, "immediate", func() {
			b.BE32(unix.NFTA_IMMEDIATE_DREG, reg0)
			b.Nest(unix.NFTA_IMMEDIATE_DATA)
			b.Attr(unix.NFTA_DATA_VALUE, binary.BigEndian.AppendUint16(nil, port))
			b.Up()
		})
		expr(b, "payload", func() {
			b.BE32(unix.NFTA_PAYLOAD_SREG, reg0)
			b.BE32(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER)
			b.BE32(unix.NFTA_PAYLOAD_OFFSET, offset)
			b.BE32(unix.NFTA_PAYLOAD_LEN, 2)
			b.BE32(unix.NFTA_PAYLOAD_CSUM_TYPE, unix.NFT_PAYLOAD_CSUM_INET)
			b.BE32(unix.NFTA_PAYLOAD_CSUM_OFFSET, sum)
			b.BE32(unix.NFTA_PAYLOAD_CSUM_FLAGS, flags)
		})
	}}
}

func verdict(text string, code int32, chain string) Part {
	return Part{text, func(b *nl.Batch) {
		expr(b, "immediate", func() {
			b.BE32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
			b.Nest(unix.NFTA_IMMEDIATE_DATA)
			b.Nest(unix.NFTA_DATA_VERDICT)
			b.BE32(unix.NFTA_VERDICT_CODE, uint32(code))
			if chain != "" {
				b.Str(unix.NFTA_VERDICT_CHAIN, chain)
			}
			b.Up()
			b.Up()
		})
	}}
}

// Verdicts.
var (
	Drop   = verdict("drop", 0, "")
	Accept = verdict("accept", 1, "")
	Return = verdict("return", unix.NFT_RETURN, "")
)

// Jump goes to a chain and comes back.
func Jump(chain string) Part { return verdict("jump "+chain, unix.NFT_JUMP, chain) }

// Goto goes to a chain and does not come back.
func Goto(chain string) Part { return verdict("goto "+chain, unix.NFT_GOTO, chain) }

// NotToThisDevice holds when the destination is no address of the device that the packet came in by.
var NotToThisDevice = compare("fib daddr . iif type != local", Field{"fib daddr . iif type", 4, func(b *nl.Batch, reg uint32) {
	expr(b, "fib", func() {
		b.BE32(unix.NFTA_FIB_DREG, reg)
		b.BE32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
		b.BE32(unix.NFTA_FIB_FLAGS, unix.NFTA_FIB_F_DADDR|unix.NFTA_FIB_F_IIF)
	})
}}, unix.NFT_CMP_NEQ, rtnLocal32)

// ToTransparent holds for packets of a socket of this host that has an address of another machine
// (IP_TRANSPARENT).
var ToTransparent = Part{"socket transparent 1", func(b *nl.Batch) {
	expr(b, "socket", func() {
		b.BE32(socketKey, socketTransparent)
		b.BE32(socketDReg, reg0)
	})
	expr(b, "cmp", func() {
		b.BE32(unix.NFTA_CMP_SREG, reg0)
		b.BE32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		b.Nest(unix.NFTA_CMP_DATA)
		b.Attr(unix.NFTA_DATA_VALUE, []byte{1})
		b.Up()
	})
}}

// Attributes of the expression socket (uapi/linux/netfilter/nf_tables.h).
const (
	socketKey         = 1 // NFTA_SOCKET_KEY
	socketDReg        = 2 // NFTA_SOCKET_DREG
	socketTransparent = 0 // NFT_SOCKET_TRANSPARENT
)

// SetMark marks a packet, for the choice of its route.
func SetMark(mark uint32) Part {
	return Part{fmt.Sprintf("meta mark set %#x", mark), func(b *nl.Batch) {
		expr(b, "immediate", func() {
			b.BE32(unix.NFTA_IMMEDIATE_DREG, reg0)
			b.Nest(unix.NFTA_IMMEDIATE_DATA)
			b.Attr(unix.NFTA_DATA_VALUE, binary.NativeEndian.AppendUint32(nil, mark))
			b.Up()
		})
		expr(b, "meta", func() {
			b.BE32(unix.NFTA_META_KEY, unix.NFT_META_MARK)
			b.BE32(unix.NFTA_META_SREG, reg0)
		})
	}}
}
