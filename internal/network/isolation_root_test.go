package network

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func create(b *bench, o Options) *Network {
	b.t.Helper()
	n, err := b.h.Create(ctx(b.t), o)
	if err != nil {
		b.t.Fatalf("creating network %s: %v", o.Name, err)
	}
	return n
}

// TestRootIsolation: networks do not reach each other, internal ones nobody, containers of a network
// without icc not each other, and nobody hulld's API.
func TestRootIsolation(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, func(c *Config) { c.APIPorts = []uint16{2376} })
	bridgedHooks(t, "0")
	b.outside("peer")
	b.listen("peer", "0.0.0.0:7000")
	b.listen("peer", "[::]:7001")
	b.listen("", "0.0.0.0:2376")
	b.listen("", "0.0.0.0:2377")
	create(b, Options{Name: "one", IPv6: true})
	create(b, Options{Name: "two", IPv6: true})
	create(b, Options{Name: "in", Internal: true})
	create(b, Options{Name: "apart", DriverOpts: map[string]string{optICC: "false"}})
	a := b.container("a", EndpointRequest{Network: "one", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8080}}})[0]
	b.container("b", EndpointRequest{Network: "two"})
	i := b.container("i", EndpointRequest{Network: "in"})[0]
	j := b.container("j", EndpointRequest{Network: "in"})[0]
	x := b.container("x", EndpointRequest{Network: "apart", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8090}}})[0]
	y := b.container("y", EndpointRequest{Network: "apart"})[0]
	for _, c := range []string{"a", "i", "x"} {
		b.listen(c, ":80")
	}
	ip4 := func(e *Endpoint) string { return netip.AddrPortFrom(e.IPv4.Addr(), 80).String() }
	ip6 := func(e *Endpoint) string { return netip.AddrPortFrom(e.IPv6.Addr(), 80).String() }

	b.cannotReach("b", ip4(a))
	b.cannotReach("b", ip6(a))
	b.reaches("b", "192.0.2.1:8080", "") // what is published is published
	b.reaches("b", "192.0.2.2:7000", "192.0.2.1")
	b.reaches("a", "[2001:db8::2]:7001", "2001:db8::1")

	b.reaches("j", ip4(i), j.IPv4.Addr().String())
	b.cannotReach("b", ip4(i))
	if out := b.must("i", "ip route"); strings.Contains(out, "default") {
		t.Errorf("a container of an internal network has a way out:\n%s", out)
	}
	b.must("i", "ip route add default via "+i.IPv4.Masked().Addr().Next().String())
	b.cannotReach("i", "192.0.2.2:7000")
	b.cannotReach("i", "192.0.2.1:2377")
	b.cannotReach("i", "192.0.2.1:8080")
	b.must("peer", "ip route add "+i.IPv4.Masked().String()+" via 192.0.2.1")
	b.cannotReach("peer", ip4(i))

	b.cannotReach("y", ip4(x))
	b.reaches("y", "192.0.2.1:8090", "")
	b.reaches("y", "192.0.2.2:7000", "192.0.2.1")
	_ = y

	b.reaches("a", "192.0.2.1:2377", "")
	for _, host := range []string{"192.0.2.1", a.Gateway4.String(), x.Gateway4.String()} {
		b.cannotReach("a", host+":2376")
	}
	// The bridge lets 127.0.0.1 pass, containers do not use that: a route to it needs the sysctl there too.
	b.must("a", "ip addr del 127.0.0.1/8 dev lo; ip route flush table local 127.0.0.0/8 2>/dev/null || true; ip route add 127.0.0.1/32 via "+a.Gateway4.String()+"; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
	b.listen("", "127.0.0.1:9999")
	if got, err := dialFrom(b, "a", a.IPv4.Addr(), "127.0.0.1:9999"); err == nil {
		t.Errorf("a container reached 127.0.0.1 of the host, seen as %s", got)
	}
}

// dialFrom is dial with a source address.
func dialFrom(b *bench, from string, src netip.Addr, to string) (string, error) {
	var c net.Conn
	err := b.inside(from, func() (err error) {
		d := net.Dialer{Timeout: 700 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: src.AsSlice()}}
		c, err = d.DialContext(ctx(b.t), "tcp4", to)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.LocalAddr().String(), nil
}

// TestRootSpoofing sends frames that a container must not send and looks for them at a neighbour.
func TestRootSpoofing(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	bridgedHooks(t, "0") // they would look at the packets too, which are no good ones
	create(b, Options{Name: "n", IPv6: true})
	a := b.container("a", EndpointRequest{Network: "n"})[0]
	v := b.container("v", EndpointRequest{Network: "n"})[0]
	loose := b.container("l", EndpointRequest{Network: "n", DriverOpts: map[string]string{optSpoof: "false"}})[0]
	mac := func(s string) []byte { m, _ := net.ParseMAC(s); return m }
	own, other := mac(a.MAC), mac("02:00:00:00:00:99")
	gw := a.Gateway4
	all := mac("ff:ff:ff:ff:ff:ff")
	ip4 := func(src netip.Addr) []byte {
		p := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0}
		p = append(append(p, src.AsSlice()...), v.IPv4.Addr().AsSlice()...)
		return append(p, 0, 9, 0, 9, 0, 8, 0, 0)
	}
	arp := func(op byte, hw []byte, ip netip.Addr) []byte {
		p := []byte{0, 1, 8, 0, 6, 4, 0, op}
		p = append(append(p, hw...), ip.AsSlice()...)
		return append(append(p, 0, 0, 0, 0, 0, 0), v.IPv4.Addr().AsSlice()...)
	}
	icmp6 := func(src netip.Addr, kind byte, body ...byte) []byte {
		p := []byte{0x60, 0, 0, 0, 0, byte(4 + len(body)), 58, 255}
		p = append(append(p, src.AsSlice()...), netip.MustParseAddr("ff02::1").AsSlice()...)
		return append(append(p, kind, 0, 0, 0), body...)
	}
	na := func(target netip.Addr) []byte { return append(make([]byte, 4), target.AsSlice()...) }
	ll := linkLocal(own)
	const ip, ipv6, arpType, vlan = 0x0800, 0x86dd, 0x0806, 0x8100
	frames := []struct {
		what string
		pass bool
		src  []byte
		kind uint16
		body []byte
	}{
		{"own IPv4", true, own, ip, ip4(a.IPv4.Addr())},
		{"another's IPv4", false, own, ip, ip4(gw)},
		{"another's MAC", false, other, ip, ip4(a.IPv4.Addr())},
		{"own ARP", true, own, arpType, arp(1, own, a.IPv4.Addr())},
		{"ARP probe", true, own, arpType, arp(1, own, zero4)},
		{"ARP answer for nobody", false, own, arpType, arp(2, own, zero4)},
		{"ARP for the gateway", false, own, arpType, arp(2, own, gw)},
		{"ARP with another's MAC", false, own, arpType, arp(2, other, a.IPv4.Addr())},
		{"own IPv6", true, own, ipv6, icmp6(a.IPv6.Addr(), 128)},
		{"own link-local", true, own, ipv6, icmp6(ll, 128)},
		{"another's IPv6", false, own, ipv6, icmp6(a.Gateway6, 128)},
		{"another's link-local", false, own, ipv6, icmp6(netip.MustParseAddr("fe80::1"), 128)},
		{"router advertisement", false, own, ipv6, icmp6(ll, 134, make([]byte, 12)...)},
		{"redirect", false, own, ipv6, icmp6(ll, 137, make([]byte, 36)...)},
		{"own neighbour advertisement", true, own, ipv6, icmp6(ll, 136, na(a.IPv6.Addr())...)},
		{"neighbour advertisement for the gateway", false, own, ipv6, icmp6(ll, 136, na(a.Gateway6)...)},
		{"duplicate detection", true, own, ipv6, icmp6(zero6, 135, na(a.IPv6.Addr())...)},
		{"echo from nobody", false, own, ipv6, icmp6(zero6, 128)},
		{"a VLAN tag", false, own, vlan, append([]byte{0, 5, 8, 0}, ip4(gw)...)},
		{"another protocol", false, own, 0x88cc, make([]byte, 46)},
	}
	rx := packetSocket(b, "v")
	send := packetSocket(b, "a")
	for _, f := range frames {
		frame := append(append(append([]byte{}, all...), f.src...), byte(f.kind>>8), byte(f.kind))
		frame = append(frame, f.body...)
		if got := sendAndSee(t, send, rx, frame); got != f.pass {
			t.Errorf("%s: passed is %v, want %v", f.what, got, f.pass)
		}
	}
	free := packetSocket(b, "l")
	frame := append(append(append([]byte{}, all...), mac(loose.MAC)...), 8, 0)
	if !sendAndSee(t, free, rx, append(frame, ip4(netip.MustParseAddr("10.9.9.9"))...)) {
		t.Error("an endpoint that may send as anybody cannot")
	}
}
