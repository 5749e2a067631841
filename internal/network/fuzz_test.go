package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// shown is a port in words.
func shown(p Port) string {
	var b strings.Builder
	if p.HostIP.IsValid() {
		b.WriteString(p.HostIP.String() + " ")
	}
	if p.Host != 0 {
		fmt.Fprint(&b, p.Host)
		if p.HostEnd != p.Host {
			fmt.Fprintf(&b, "-%d", p.HostEnd)
		}
		b.WriteString("->")
	}
	fmt.Fprintf(&b, "%d/%s", p.Container, p.Proto)
	return b.String()
}

func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"80", "8080:80/udp", "[::1]:1-2:3-4/sctp", "127.0.0.1::80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := ParsePort(s)
		if (err == nil) != (len(ports) > 0) || len(ports) > maxPorts {
			t.Fatalf("%q: %d ports, %v", s, len(ports), err)
		}
		for _, p := range ports {
			if p.Container == 0 || protocol(p.Proto) == 0 || p.HostEnd < p.Host || p.HostIP.Zone() != "" {
				t.Fatalf("%q: %s", s, shown(p))
			}
		}
	})
}

func FuzzNetworkOptions(f *testing.F) {
	f.Add("n", "bridge", `{"com.docker.network.driver.mtu":"1400"}`, "10.0.0.0/24", "10.0.0.1", true, false)
	f.Add("n", "macvlan", `{"parent":"eth0","macvlan_mode":"vepa"}`, "fd00::/64", "", false, true)
	f.Fuzz(func(t *testing.T, name, driver, opts, subnet, gateway string, v6, internal bool) {
		o := Options{Name: name, Driver: driver, IPv6: v6, Internal: internal}
		_ = json.Unmarshal([]byte(opts), &o.DriverOpts)
		if p, err := netip.ParsePrefix(subnet); err == nil {
			s := Subnet{Prefix: p}
			s.Gateway, _ = netip.ParseAddr(gateway)
			o.Subnets = []Subnet{s}
		}
		n, set, err := draft(o)
		if err != nil {
			return
		}
		h := &Host{cfg: Config{Pools: DefaultPools()}, networks: make(map[string]*state)}
		s, err := h.settleAndRegister(n, set, nil)
		if err != nil {
			return
		}
		for _, sub := range s.Subnets {
			if !sub.Prefix.IsValid() || sub.Gateway.IsValid() && !sub.Prefix.Contains(sub.Gateway) {
				t.Fatalf("subnet %v", sub)
			}
		}
		if s.Bridge != "" && !validDevice(s.Bridge) {
			t.Fatalf("bridge %q", s.Bridge)
		}
		e := &Endpoint{ID: strings.Repeat("e", 64)}
		if s.lease(e, [2]netip.Addr{}, [2]netip.Addr{}) == nil {
			for _, a := range []netip.Prefix{e.IPv4, e.IPv6} {
				if a.IsValid() && (a.Addr() == e.Gateway4 || a.Addr() == e.Gateway6) {
					t.Fatalf("the gateway's address %s was given out", a)
				}
			}
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nsearch a b\noptions ndots:2 edns0\n# x\nsortlist 1.2.3.4\n"), true, true)
	f.Fuzz(func(t *testing.T, data []byte, embedded, v6 bool) {
		c := ParseResolvConf(data)
		text, in := Resolving{Embedded: embedded, IPv6: v6}.File(c)
		again := ParseResolvConf(text)
		if in && (len(again.Servers) != 1 || again.Servers[0] != resolverIP) {
			t.Fatalf("embedded: %v", again.Servers)
		}
		for _, a := range again.Servers {
			if !in && a.IsLoopback() {
				t.Fatalf("a container cannot reach %s", a)
			}
		}
	})
}
