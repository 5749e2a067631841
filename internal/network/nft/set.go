package nft

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Type is the type of a part of a key.
type Type byte

// Types of keys and data.
const (
	IfName Type = iota
	IPv4Addr
	IPv6Addr
	EtherAddr
	InetProto
	InetService
)

// types has the numbers that nft(8) knows the types by (they tell it how to print), and sizes.
var types = [...]struct {
	name string
	id   uint32
	size int
}{
	IfName:      {"ifname", 41, 16},
	IPv4Addr:    {"ipv4_addr", 7, 4},
	IPv6Addr:    {"ipv6_addr", 8, 16},
	EtherAddr:   {"ether_addr", 9, 6},
	InetProto:   {"inet_proto", 12, 1},
	InetService: {"inet_service", 13, 2},
}

func typeNames(ts []Type) string {
	names := make([]string, 0, len(ts))
	for _, t := range ts {
		names = append(names, types[t].name)
	}
	return strings.Join(names, " . ")
}

// typeID of a concatenation has six bits for each part.
func typeID(ts []Type) (id uint32) {
	for _, t := range ts {
		id = id<<6 | types[t].id
	}
	return id
}

// typeLen is the length in bytes: parts of a concatenation are padded to registers.
func typeLen(ts []Type) (n int) {
	if len(ts) == 1 {
		return types[ts[0]].size
	}
	for _, t := range ts {
		n += padded(types[t].size)
	}
	return n
}

func padded(n int) int { return (n + 3) &^ 3 }

// Set is a set, or a map when it has Data.
type Set struct {
	Table Table
	Name  string
	Key   []Type
	Data  []Type
}

// Elem is an element of a set: key, and data in maps, in the kernel's form (see [Join]).
type Elem struct{ Key, Data string }

// Join makes a key or data of values: interface names (string), netip.Addr, net.HardwareAddr,
// protocols (uint8), ports (uint16).
func Join(values ...any) string {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case string:
			var name [16]byte
			copy(name[:15], v)
			b = append(b, name[:]...)
		case netip.Addr:
			b = append(b, v.AsSlice()...)
		case net.HardwareAddr:
			b = append(b, v...)
		case uint8:
			b = append(b, v)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
		default:
			panic(fmt.Sprintf("nft.Join: no type for %T", v))
		}
		if len(values) > 1 {
			for len(b)%4 != 0 {
				b = append(b, 0)
			}
		}
	}
	return string(b)
}

func (s *Set) format(e Elem) string {
	out := formatAs(s.Key, e.Key)
	if s.Data != nil && e.Data != "" {
		out += " : " + formatAs(s.Data, e.Data)
	}
	return out
}

func formatAs(ts []Type, b string) string {
	words := make([]string, 0, len(ts))
	for _, t := range ts {
		n := types[t].size
		if len(b) < n {
			return fmt.Sprintf("%x", b)
		}
		v := []byte(b[:n])
		switch t {
		case IfName:
			words = append(words, unix.ByteSliceToString(v))
		case IPv4Addr, IPv6Addr:
			a, _ := netip.AddrFromSlice(v)
			words = append(words, a.String())
		case EtherAddr:
			words = append(words, net.HardwareAddr(v).String())
		case InetProto:
			words = append(words, protoName(v[0]))
		case InetService:
			words = append(words, fmt.Sprint(binary.BigEndian.Uint16(v)))
		}
		b = b[min(padded(n), len(b)):]
	}
	return strings.Join(words, " . ")
}

func protoName(p byte) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprint(p)
}
