package network

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hull-dev/hull/internal/network/nft"
	"github.com/hull-dev/hull/internal/network/rtnl"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, got)
	}
}

// sample is a network with an endpoint that uses most of what there is.
func sample(t *testing.T) (*firewall, *state, *Endpoint) {
	t.Helper()
	s, err := newState(&Network{ID: strings.Repeat("ab", 32), Name: "n", Driver: "bridge", IPv4: true, IPv6: true, Bridge: "br-abababababab", Subnets: []Subnet{
		{Prefix: netip.MustParsePrefix("172.18.0.0/22"), Gateway: netip.MustParseAddr("172.18.0.1")},
		{Prefix: netip.MustParsePrefix("fd00:1::/64"), Gateway: netip.MustParseAddr("fd00:1::1")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(s, EndpointRequest{Container: strings.Repeat("c", 64), Name: "web", Aliases: []string{"www"}, LinkLocal: []netip.Addr{netip.MustParseAddr("169.254.3.4")}})
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.HostInterface, e.MAC, e.Interface = strings.Repeat("e", 64), "hv00eeeeeeeeeee", "02:42:ac:12:00:02", "eth0"
	if err := s.lease(e, [2]netip.Addr{}, [2]netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	e.Bindings = []Binding{
		{Proto: "tcp", Container: 80, HostIP: zero4, Host: 8080},
		{Proto: "tcp", Container: 80, HostIP: zero6, Host: 8080},
		{Proto: "udp", Container: 53, HostIP: netip.MustParseAddr("127.0.0.1"), Host: 53},
		{Proto: "sctp", Container: 9, HostIP: netip.MustParseAddr("192.0.2.1"), Host: 9},
		{Proto: "tcp", Container: 81, HostIP: loopback6, Host: 81},
	}
	return newFirewall(nil, Config{APIPorts: []uint16{2376}}, "hv00"), s, e
}

// TestPlanRules: the whole ruleset as text. TestRootRules compares the same with what the kernel
// makes of it.
func TestPlanRules(t *testing.T) {
	f, s, e := sample(t)
	if err := f.apply(append(f.ofNetwork(s), f.ofEndpoint(s, e)...), nil); err != nil {
		t.Fatal(err)
	}
	tx, err := f.plan(nft.Owner|nft.Persist, func(nft.Table) (bool, error) { return false, nil })
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "rules.txt", tx.String()+"\n")
	// Taken away again, nothing but what is always there is wanted.
	if err := f.apply(nil, append(f.ofNetwork(s), append(f.ofEndpoint(s, e), f.ofOwn(e)...)...)); err != nil {
		t.Fatal(err)
	}
	for set, w := range f.want {
		if len(w) > 0 && set != f.tables.api {
			t.Errorf("set %s still has %d elements", set.Name, len(w))
		}
	}
}

func TestPlanModes(t *testing.T) {
	var out strings.Builder
	for _, opts := range []map[string]string{
		{optMode4: "routed"}, {optMode4: "nat-unprotected"}, {optICC: "false"}, {optMasquerade: "false"},
	} {
		f, s, e := sample(t)
		var err error
		if s.set, err = understand("bridge", false, opts); err != nil {
			t.Fatal(err)
		}
		for k, v := range opts {
			out.WriteString(k + "=" + v + "\n")
		}
		for _, x := range append(f.ofNetwork(s), f.ofBindings(s, e, e.Bindings[:1])...) {
			var tx nft.Tx
			tx.AddElems(x.set, x.elem)
			out.WriteString("  " + tx.String() + "\n")
		}
	}
	golden(t, "modes.txt", out.String())
}

func TestPlanDevices(t *testing.T) {
	_, s, e := sample(t)
	var p rtnl.Plan
	p.Bridge(s.Bridge, []byte{2, 0x52, 1, 2, 3, 4}, 1500, "hull network "+s.ID)
	for _, a := range s.bridgeAddresses() {
		p.Address(5, s.Bridge, a)
	}
	p.Veth(e.HostInterface, e.Interface, 7, 1500, []byte{2, 0x42, 172, 18, 0, 2})
	p.Plug(e.HostInterface, 5, 1500, true)
	for _, a := range e.addresses() {
		p.Address(6, e.Interface, a)
	}
	b := &sandbox{endpoints: []*Endpoint{e}}
	b.defaultRoutes(&p, e, 6)
	p.Rate(9, e.HostInterface, 125000, burst(125000), queue(125000))
	golden(t, "devices.txt", p.String()+"\n")
}

func TestPlanNames(t *testing.T) {
	var tx nft.Tx
	redirect(&tx, 40000, 40001)
	golden(t, "names.txt", tx.String()+"\n")
}

// TestGateway: the highest priority wins, then the name; internal networks have no say.
func TestGateway(t *testing.T) {
	gw := netip.MustParseAddr("172.18.0.1")
	b := &sandbox{endpoints: []*Endpoint{
		{NetworkName: "b", Gateway4: gw}, {NetworkName: "a", Gateway4: gw}, {NetworkName: "0"}, {NetworkName: "z", Gateway4: gw, GatewayPriority: 1},
	}}
	if got := b.gatewayEndpoint(false); got.NetworkName != "z" {
		t.Errorf("gateway is %s", got.NetworkName)
	}
	b.endpoints = b.endpoints[:3]
	if got := b.gatewayEndpoint(false); got.NetworkName != "a" {
		t.Errorf("gateway is %s", got.NetworkName)
	}
	if got := b.gatewayEndpoint(true); got != nil {
		t.Errorf("IPv6 gateway is %s", got.NetworkName)
	}
}
