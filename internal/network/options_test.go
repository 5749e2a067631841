package network

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestDraft(t *testing.T) {
	no := false
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Name: ""}, "invalid network name"},
		{Options{Name: "a/b"}, "invalid network name"},
		{Options{Name: "-a"}, "invalid network name"},
		{Options{Name: "a", Driver: "overlay"}, "could not find plugin overlay"},
		{Options{Name: "a", Driver: "host"}, `only one instance of "host" network is allowed`},
		{Options{Name: "a", IPAMDriver: "x"}, "could not find IPAM plugin x"},
		{Options{Name: "a", IPv4: &no}, "IPv4 or IPv6 must be enabled"},
		{Options{Name: "a", DriverOpts: map[string]string{optICC: "perhaps"}}, "neither true nor false"},
		{Options{Name: "a", DriverOpts: map[string]string{optMTU: "10"}}, "not an MTU"},
		{Options{Name: "a", DriverOpts: map[string]string{optMTU: "99999"}}, "not an MTU"},
		{Options{Name: "a", DriverOpts: map[string]string{optBridgeName: "a/../b"}}, "no name for a network device"},
		{Options{Name: "a", DriverOpts: map[string]string{optBridgeName: "sixteen-and-more"}}, "no name for a network device"},
		{Options{Name: "a", DriverOpts: map[string]string{optPrefix: "sixteen-and-m"}}, "no beginning of a device's name"},
		{Options{Name: "a", DriverOpts: map[string]string{optHostBinding: "x"}}, "not an IP address"},
		{Options{Name: "a", DriverOpts: map[string]string{optMode4: "isolated"}}, "can only be used for an internal network"},
		{Options{Name: "a", DriverOpts: map[string]string{optMode6: "x"}}, "unknown gateway mode"},
		{Options{Name: "a", DriverOpts: map[string]string{optEnableIPv6: "x"}}, "not a valid bool"},
		{Options{Name: "a", DriverOpts: map[string]string{"k": strings.Repeat("x", maxOptions)}}, "65536 bytes"},
		{Options{Name: "a", Driver: "macvlan", DriverOpts: map[string]string{"macvlan_mode": "x"}}, `requested macvlan mode "x" is not valid`},
		{Options{Name: "a", Driver: "ipvlan", DriverOpts: map[string]string{"parent": "a b"}}, "no name for a network device"},
		{Options{Name: "a", Subnets: []Subnet{{Prefix: prefix("10.0.0.0/24")}, {Prefix: prefix("10.1.0.0/24")}}}, "multiple subnets"},
		{Options{Name: "a", Subnets: []Subnet{{}}}, "invalid subnet"},
		{Options{Name: "a", IPv4: &no, IPv6: true, Subnets: []Subnet{{Prefix: prefix("10.0.0.0/24")}}}, "network without IPv4"},
	} {
		if _, _, err := draft(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60v: %v, want %q", c.o, err, c.want)
		}
	}
	n, s, err := draft(Options{Name: "a", IPv6: true, DriverOpts: map[string]string{optICC: "0", optMTU: "1400", optPrefix: "net", optMode6: "routed"}})
	if err != nil || n.Driver != "bridge" || len(n.ID) != 64 || len(n.Subnets) != 2 || s.icc || s.mtu != 1400 || s.prefix != "net" || s.mode6 != modeRouted || s.mode4 != modeNAT {
		t.Errorf("%+v %+v %v", n, s, err)
	}
}

func TestSettle(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		in   Subnet
		want string
	}{
		{Subnet{Prefix: prefix("10.0.0.5/24")}, "it should be 10.0.0.0/24"},
		{Subnet{Prefix: prefix("127.0.0.0/8")}, "invalid subnet"},
		{Subnet{Prefix: prefix("224.0.0.0/8")}, "invalid subnet"},
		{Subnet{Prefix: prefix("10.0.0.1/32")}, "invalid subnet"},
		{Subnet{Prefix: prefix("10.0.0.0/24"), Gateway: addr("10.0.1.1")}, "invalid gateway"},
		{Subnet{Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.1.0/25")}, "invalid ip-range"},
		{Subnet{Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.0.0/16")}, "invalid ip-range"},
		{Subnet{Prefix: prefix("10.0.0.0/24"), Aux: map[string]netip.Addr{"a": addr("10.0.1.1")}}, "invalid auxiliary address"},
		{Subnet{Prefix: prefix("10.0.0.0/31"), Aux: map[string]netip.Addr{"a": addr("10.0.0.0"), "b": addr("10.0.0.1")}}, "no address left for the gateway"},
	} {
		if _, err := settle(c.in, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.in, err, c.want)
		}
	}
	for in, want := range map[string]string{"10.0.0.0/24": "10.0.0.1", "fd00::/64": "fd00::1", "10.0.0.0/31": "10.0.0.0"} {
		if s, err := settle(Subnet{Prefix: prefix(in)}, true); err != nil || s.Gateway.String() != want {
			t.Errorf("%s: gateway %s %v", in, s.Gateway, err)
		}
	}
	s, err := settle(Subnet{Prefix: prefix("10.0.0.0/24"), Range: prefix("10.0.0.128/25"), Aux: map[string]netip.Addr{"a": addr("10.0.0.128")}}, true)
	if err != nil || s.Gateway.String() != "10.0.0.129" {
		t.Errorf("gateway in a range: %s %v", s.Gateway, err)
	}
}

func TestParsePort(t *testing.T) {
	for spec, want := range map[string]string{
		"80":                    "80/tcp",
		"80/UDP":                "80/udp",
		"8080:80":               "8080->80/tcp",
		"8080-8090:80":          "8080-8090->80/tcp",
		"8080-8081:80-81/sctp":  "8080->80/sctp 8081->81/sctp",
		"127.0.0.1:8080:80":     "127.0.0.1 8080->80/tcp",
		"127.0.0.1::80":         "127.0.0.1 80/tcp",
		"[::1]:8080:80":         "::1 8080->80/tcp",
		"[::1]::80":             "::1 80/tcp",
		"0:80":                  "80/tcp",
		"80-82":                 "80/tcp 81/tcp 82/tcp",
		"":                      "!",
		"0":                     "!",
		"80-":                   "!",
		"90-80":                 "!",
		"65536":                 "!",
		"80/icmp":               "!",
		"::1:80:80":             "!",
		"[::1:80:80":            "!",
		"[::1%eth0]:80:80":      "!",
		"1.2.3:80:80":           "!",
		"1.2.3.4:5:6:7":         "!",
		"80-90:80-85":           "!",
		"1-65535:1-65535":       "!",
		"+80":                   "!",
		"80/tcp/udp":            "!",
		"8080-8081:80-81:90-91": "!",
	} {
		ports, err := ParsePort(spec)
		if err != nil {
			if want != "!" {
				t.Errorf("%q: %v", spec, err)
			}
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v has another class", spec, err)
			}
			continue
		}
		var words []string
		for _, p := range ports {
			words = append(words, shown(p))
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%q: %s, want %s", spec, got, want)
		}
	}
}
