package network

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/network/rtnl"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestPools(t *testing.T) {
	var claims []claim
	seen := make(map[netip.Prefix]bool)
	n := 0
	pools := []Pool{{prefix("172.17.0.0/16"), 20}, {prefix("192.168.0.0/16"), 20}}
	for ; ; n++ {
		p, err := fromPools(pools, claims)
		if err != nil {
			if !strings.Contains(err.Error(), "all predefined address pools have been fully subnetted") || !strings.Contains(err.Error(), "network") {
				t.Error(err)
			}
			break
		}
		if seen[p] || overlapping(p, claims) != nil {
			t.Fatalf("%s was given twice", p)
		}
		seen[p] = true
		claims = append(claims, claim{p, "network", false})
	}
	if n != 16+16 {
		t.Errorf("the pools have %d networks", n)
	}
	total := 0
	for _, p := range DefaultPools() {
		total += 1 << (p.Size - p.Base.Bits())
	}
	if total < 1000 {
		t.Errorf("the default pools have %d networks", total)
	}
	// A wide claim is stepped over at once.
	p, err := fromPools([]Pool{{prefix("10.0.0.0/8"), 30}}, []claim{{prefix("10.0.0.0/9"), "a VPN", true}, {prefix("10.128.0.0/30"), "x", true}})
	if err != nil || p != prefix("10.128.0.4/30") {
		t.Errorf("%s %v", p, err)
	}
	if _, err := fromPools([]Pool{{prefix("255.255.255.0/24"), 25}}, []claim{{prefix("255.255.255.0/24"), "all of it", true}}); err == nil || !strings.Contains(err.Error(), "all of it") {
		t.Errorf("at the end of the addresses: %v", err)
	}
	if _, err := fromPools([]Pool{{prefix("10.0.0.0/24"), 16}}, nil); err == nil {
		t.Error("a piece that is larger than its pool was taken")
	}
}

func TestRouteClaims(t *testing.T) {
	routes := []rtnl.Route{
		{Dst: prefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.254"), Index: 2},
		{Dst: prefix("172.17.0.0/16"), Index: 3},
		{Dst: prefix("10.8.0.0/16"), Gateway: netip.MustParseAddr("10.0.0.1"), Index: 4},
		{Dst: prefix("fe80::/64"), Index: 2},
		{Dst: prefix("172.20.0.0/22"), Index: 5},
	}
	names := map[int]string{2: "eth0", 3: "docker0", 4: "tun0", 5: "br-ours"}
	claims := routeClaims(routes, names, func(dev string) bool { return dev == "br-ours" })
	if len(claims) != 2 || claims[0].by != "the host's route 172.17.0.0/16 dev docker0" || claims[1].by != "the host's route 10.8.0.0/16 via 10.0.0.1 dev tun0" {
		t.Errorf("%v", claims)
	}
}

func TestLeases(t *testing.T) {
	l := newLeases(Subnet{Prefix: prefix("10.0.0.0/29"), Gateway: netip.MustParseAddr("10.0.0.1"), Aux: map[string]netip.Addr{"router": netip.MustParseAddr("10.0.0.3")}})
	var got []string
	for range 4 {
		a, err := l.take("e")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.String())
	}
	if s := strings.Join(got, " "); s != "10.0.0.2 10.0.0.4 10.0.0.5 10.0.0.6" {
		t.Error(s)
	}
	if _, err := l.take("e"); err == nil || !strings.Contains(err.Error(), "no available IPv4 addresses") {
		t.Errorf("a full subnet: %v", err)
	}
	l.free(netip.MustParseAddr("10.0.0.4"), "another")
	if _, err := l.take("e"); err == nil {
		t.Error("an address was freed by one who does not have it")
	}
	l.free(netip.MustParseAddr("10.0.0.5"), "e")
	l.free(netip.MustParseAddr("10.0.0.2"), "e")
	if a, err := l.take("e"); err != nil || a.String() != "10.0.0.2" {
		t.Errorf("lowest free address: %s %v", a, err)
	}
	for addr, want := range map[string]string{
		"10.0.0.1": "the gateway", "10.0.0.3": "auxiliary address router", "10.0.0.7": "broadcast", "10.0.0.0": "network's own", "10.0.1.1": "does not belong to subnet",
	} {
		if err := l.claim(netip.MustParseAddr(addr), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("claiming %s: %v, want %q", addr, err, want)
		}
	}
	if err := l.claim(netip.MustParseAddr("10.0.0.5"), "x"); err != nil {
		t.Error(err)
	}
	// A range of the subnet; single addresses outside it may be asked for.
	l = newLeases(Subnet{Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.0.128/25"), Gateway: netip.MustParseAddr("10.0.0.1")})
	if a, err := l.take("e"); err != nil || a.String() != "10.0.0.128" {
		t.Errorf("from a range: %s %v", a, err)
	}
	if err := l.claim(netip.MustParseAddr("10.0.0.9"), "e"); err != nil {
		t.Error(err)
	}
	// Two addresses only (RFC 3021).
	l = newLeases(Subnet{Prefix: prefix("10.0.0.0/31"), Gateway: netip.MustParseAddr("10.0.0.0")})
	if a, err := l.take("e"); err != nil || a.String() != "10.0.0.1" {
		t.Errorf("from a /31: %s %v", a, err)
	}
	l = newLeases(Subnet{Prefix: prefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1")})
	if a, err := l.take("e"); err != nil || a.String() != "fd00::2" {
		t.Errorf("IPv6: %s %v", a, err)
	}
}

func TestUniqueLocal(t *testing.T) {
	p := uniqueLocal([32]byte{1, 2, 3, 4, 5, 6, 7, 8})
	if p.String() != "fd01:203:405:607::/64" || !p.Addr().IsPrivate() {
		t.Error(p)
	}
}

func TestAddresses(t *testing.T) {
	if a := lastAddr(prefix("10.1.2.0/23")); a.String() != "10.1.3.255" {
		t.Error(a)
	}
	if a := lastAddr(prefix("fd00::/63")); a.String() != "fd00::1:ffff:ffff:ffff:ffff" {
		t.Error(a)
	}
	if a := linkLocal([]byte{0x02, 0x42, 0xac, 0x11, 0, 2}); a.String() != "fe80::42:acff:fe11:2" {
		t.Error(a)
	}
}
