package network

import (
	"testing"

	"github.com/hull-dev/hull/internal/network/nft"
)

// TestRootRespect: under the policy "respect" the host's firewall decides who reaches a published
// port, and who gets through keeps its address.
func TestRootRespect(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	open := b.container("open", EndpointRequest{Network: "bridge", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8000}}})[0]
	if open.Bindings[0].Judged {
		t.Error("a port is judged by a firewall that is not there")
	}
	b.listen("open", ":80")
	sh(t, `nft -f - <<X
table inet guard {
	set allowed { type inet_service; }
	chain input {
		type filter hook input priority 0; policy drop;
		iifname "lo" accept
		ct state established,related accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		tcp dport @allowed accept
		udp dport @allowed accept
	}
}
X
`)
	if f, err := b.h.Firewall(); err != nil || f != "chain inet guard input" {
		t.Errorf("firewall %q %v", f, err)
	}
	create(b, Options{Name: "six", IPv6: true})
	e := b.container("a", EndpointRequest{Network: "six", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8080}, {Proto: "udp", Container: 80, Host: 8080}}})[0]
	b.listen("a", ":80")
	echo(b, "a", 80)
	if !e.Bindings[0].Judged {
		t.Errorf("bindings %v", e.Bindings)
	}
	b.cannotReach("peer", "192.0.2.1:8080")
	b.cannotReach("peer", "[2001:db8::1]:8080")
	b.reaches("", "127.0.0.1:8080", "")
	sh(t, "nft add element inet guard allowed '{ 8080 }'")
	b.reaches("peer", "192.0.2.1:8080", "192.0.2.2")
	b.reaches("peer", "[2001:db8::1]:8080", "2001:db8::2")
	b.reaches("open", "192.0.2.1:8080", "172.17.0.2")
	b.reaches("a", "192.0.2.1:8080", e.Gateway4.String())
	b.reaches("", "192.0.2.1:8080", "")
	if got, err := b.datagram("peer", "192.0.2.1:8080"); err != nil || got != "hello" {
		t.Errorf("UDP: %q %v", got, err)
	}
	b.reaches("peer", "192.0.2.1:8000", "192.0.2.2") // published before: open
	list := b.h.Published()
	if len(list) != 6 || list[0].Host != 8000 || list[2].Name != "a" || !list[2].Judged {
		t.Errorf("published: %v", list)
	}
	_ = open
}

func TestActiveFirewall(t *testing.T) {
	in := func(family nft.Family, table string, drops bool, hook uint32) nft.BaseChain {
		return nft.BaseChain{Table: nft.Table{Family: family, Name: table}, Name: "c", Type: "filter", Hook: hook, Drops: drops}
	}
	for want, chains := range map[string][]nft.BaseChain{
		"":                       {in(nft.INet, "hull", true, nft.LocalIn), in(nft.IP, "filter", false, nft.LocalIn), in(nft.IP, "filter", true, nft.Forward), in(nft.Bridge, "x", true, nft.LocalIn)},
		"chain ip filter c":      {in(nft.IP, "filter", true, nft.LocalIn)},
		"chain inet firewalld c": {in(nft.INet, "firewalld", false, nft.LocalIn)},
	} {
		if got := activeFirewall(chains, "hull", nft.LocalIn); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
