package network

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

// Pool is a range that networks without a subnet of their own take one of Size bits from.
type Pool struct {
	Base netip.Prefix
	Size int
}

// DefaultPools are what Docker's take theirs from, in pieces of 1,022 addresses: about as many as a
// bridge has ports. That gives 1,000 networks where Docker has 31.
func DefaultPools() []Pool {
	var pools []Pool
	for b := byte(17); b < 32; b++ {
		pools = append(pools, Pool{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, b}), 16), 22})
	}
	return append(pools, Pool{netip.MustParsePrefix("192.168.0.0/16"), 22})
}

// claim is a range that is in use, by whom it says.
type claim struct {
	prefix netip.Prefix
	by     string
	route  bool // of the host, not a network of ours
}

// routeClaims are the host's routes, default routes aside, as ranges in use. own are devices of ours, by index.
func routeClaims(routes []rtnl.Route, names map[int]string, own func(dev string) bool) (claims []claim) {
	for _, r := range routes {
		dev := names[r.Index]
		if r.Dst.Bits() == 0 || r.Dst.Addr().IsLinkLocalUnicast() || r.Dst.Addr().IsMulticast() || own(dev) {
			continue
		}
		by := "the host's route " + r.String()
		if dev != "" {
			by += " dev " + dev
		}
		claims = append(claims, claim{r.Dst.Masked(), by, true})
	}
	return claims
}

func overlapping(p netip.Prefix, claims []claim) *claim {
	for i := range claims {
		if claims[i].prefix.Overlaps(p) {
			return &claims[i]
		}
	}
	return nil
}

// fromPools takes the first piece of the pools that overlaps no claim. The time is bounded by the
// number of claims: a piece that overlaps one is left together with all that the same claim covers.
func fromPools(pools []Pool, claims []claim) (netip.Prefix, error) {
	var last *claim
	for _, pool := range pools {
		base := pool.Base.Masked()
		if pool.Size < base.Bits() || pool.Size > base.Addr().BitLen() {
			return netip.Prefix{}, fmt.Errorf("address pool %s: pieces of /%d do not fit: %w", base, pool.Size, errdefs.ErrInvalidArgument)
		}
		for p := netip.PrefixFrom(base.Addr(), pool.Size); base.Contains(p.Addr()); {
			c := overlapping(p, claims)
			if c == nil {
				return p, nil
			}
			last = c
			skip := p
			if c.prefix.Bits() < p.Bits() {
				skip = c.prefix
			}
			next, ok := after(skip)
			if !ok {
				break
			}
			p = netip.PrefixFrom(next, pool.Size)
		}
	}
	if last != nil {
		return netip.Prefix{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("all predefined address pools have been fully subnetted; the last piece is taken by %s", last.by))
	}
	return netip.Prefix{}, errdefs.ErrResourceExhausted.WithMessage("there is no address pool to take a subnet from")
}

// after is the first address behind a prefix.
func after(p netip.Prefix) (netip.Addr, bool) {
	next := lastAddr(p).Next()
	return next, next.IsValid()
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := range b {
		host := min(max(8*(i+1)-p.Bits(), 0), 8)
		b[i] |= byte(1<<host - 1)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// leases are the addresses of one subnet that are in use. It is guarded by Host.mu.
type leases struct {
	subnet Subnet
	from   netip.Addr // bounds of what is given out
	to     netip.Addr
	taken  map[netip.Addr]string // who has it
	hint   netip.Addr            // below it, from `from` on, all are taken
}

func newLeases(s Subnet) *leases {
	l := &leases{subnet: s, taken: make(map[netip.Addr]string)}
	r := s.Prefix
	if s.Range.IsValid() {
		r = s.Range
	}
	l.from, l.to = r.Masked().Addr(), lastAddr(r)
	// The first and the last address of the subnet name the network and all of it.
	if first := s.Prefix.Masked().Addr(); s.Prefix.Bits() < s.Prefix.Addr().BitLen()-1 {
		l.taken[first] = "the network's own address"
		if s.Prefix.Addr().Is4() {
			l.taken[lastAddr(s.Prefix)] = "the broadcast address"
		}
	}
	if s.Gateway.IsValid() {
		l.taken[s.Gateway] = "the gateway"
	}
	for name, a := range s.Aux {
		l.taken[a] = "the auxiliary address " + name
	}
	l.hint = l.from
	return l
}

// take gives the lowest free address, as Docker does.
func (l *leases) take(who string) (netip.Addr, error) {
	for a := l.hint; a.IsValid() && a.Compare(l.to) <= 0; a = a.Next() {
		if _, ok := l.taken[a]; !ok {
			l.taken[a], l.hint = who, a.Next()
			return a, nil
		}
	}
	return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage(fmt.Sprintf("no available IPv%d addresses on this network's address pools: all of %s-%s is in use", version(l.from), l.from, l.to))
}

// claim gives a certain address.
func (l *leases) claim(a netip.Addr, who string) error {
	if !l.subnet.Prefix.Contains(a) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid address %s: it does not belong to subnet %s of this network", a, l.subnet.Prefix))
	}
	if by, ok := l.taken[a]; ok && by != who {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf("Address already in use: %s is %s", a, owner(by)))
	}
	l.taken[a] = who
	return nil
}

// again gives an address once more to who had it, if it is free and of those that are given out.
func (l *leases) again(a netip.Addr, who string) bool {
	if !a.IsValid() || a.Compare(l.from) < 0 || a.Compare(l.to) > 0 || l.taken[a] != "" {
		return false
	}
	l.taken[a] = who
	return true
}

// use counts the addresses.
func (l *leases) use() (u Use) {
	u.Taken = uint64(len(l.taken))
	inside := uint64(0)
	for a := range l.taken {
		if a.Compare(l.from) >= 0 && a.Compare(l.to) <= 0 {
			inside++
		}
	}
	r := l.subnet.Prefix
	if l.subnet.Range.IsValid() {
		r = l.subnet.Range
	}
	all := ^uint64(0)
	if n := r.Addr().BitLen() - r.Bits(); n < 64 {
		all = 1 << n
	}
	u.Free = all - inside
	return u
}

func owner(by string) string {
	if len(by) == 64 {
		return "endpoint " + by[:12] + "'s"
	}
	return by
}

func (l *leases) free(a netip.Addr, who string) {
	if l.taken[a] != who {
		return
	}
	delete(l.taken, a)
	if a.Compare(l.hint) < 0 && a.Compare(l.from) >= 0 {
		l.hint = a
	}
}

func version(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// uniqueLocal makes a /64 of IPv6 unique local addresses (RFC 4193) out of a network's ID. The
// same ID gives the same prefix; different ones differ in 56 bits.
func uniqueLocal(id [32]byte) netip.Prefix {
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:8], id[:7])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// macOf makes the MAC address of an endpoint from its address, as Docker did: 02:42 and the IPv4
// address. A name reused with its address then has its MAC too, and no neighbour's cache is stale.
func macOf(a4, a6 netip.Addr, salt uint32) []byte {
	if a4.IsValid() {
		b := a4.As4()
		return append([]byte{0x02, 0x42}, b[:]...)
	}
	if a6.IsValid() {
		b := a6.As16()
		lo := binary.BigEndian.Uint32(b[12:]) ^ bits.RotateLeft32(binary.BigEndian.Uint32(b[4:]), 7)
		return binary.BigEndian.AppendUint32([]byte{0x02, 0x62}, lo)
	}
	return binary.BigEndian.AppendUint32([]byte{0x02, 0x52}, salt)
}
