package network

import (
	"errors"
	"net/netip"
	"os"
	"testing"
)

// TestRootReach: who reaches what, with and without bridges that pass packets through the hooks of
// routers (as a host with another engine, or Kubernetes, has them).
func TestRootReach(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	b.listen("peer", "0.0.0.0:7000")
	for i, hooks := range []string{"0", "1"} {
		if !bridgedHooks(t, hooks) {
			break
		}
		name := func(s string) string { return s + hooks }
		pub, local := uint16(8080+100*i), uint16(8081+100*i)
		a := b.container(name("a"), EndpointRequest{Network: "bridge", Ports: []Port{{Proto: "tcp", Container: 80, Host: pub}, {Proto: "tcp", Container: 80, HostIP: netip.MustParseAddr("127.0.0.1"), Host: local}}})[0]
		c := b.container(name("c"), EndpointRequest{Network: "bridge"})[0]
		b.listen(name("a"), ":80")
		at := func(host string, port uint16) string {
			return netip.AddrPortFrom(netip.MustParseAddr(host), port).String()
		}
		ip := a.IPv4.Addr().String()
		b.reaches(name("c"), at(ip, 80), c.IPv4.Addr().String())
		b.reaches("", at(ip, 80), a.Gateway4.String())
		b.reaches("", at("127.0.0.1", pub), a.Gateway4.String())
		b.reaches("", at("127.0.0.1", local), a.Gateway4.String())
		b.reaches("", at("::1", pub), "")
		b.reaches("", at("192.0.2.1", pub), "192.0.2.1")
		b.reaches("peer", at("192.0.2.1", pub), "192.0.2.2")
		b.reaches("peer", at("2001:db8::1", pub), "")
		b.cannotReach("peer", at("192.0.2.1", local))
		b.cannotReach("peer", at(ip, 80))
		b.reaches(name("a"), "192.0.2.2:7000", "192.0.2.1")
		seen := a.Gateway4.String()
		if hooks == "1" {
			seen = c.IPv4.Addr().String()
		}
		b.reaches(name("c"), at("192.0.2.1", pub), seen)
		b.reaches(name("a"), at("192.0.2.1", pub), a.Gateway4.String())
	}
}

// bridgedHooks switches br_netfilter on or off in this namespace. It is false for a kernel without it.
func bridgedHooks(t *testing.T, on string) bool {
	err := errors.Join(os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte(on), 0),
		os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-ip6tables", []byte(on), 0))
	if err != nil {
		t.Log("no br_netfilter here")
	}
	return err == nil || on == "0"
}
