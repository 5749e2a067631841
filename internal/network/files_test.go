package network

import (
	"net/netip"
	"strings"
	"testing"
)

// TestResolvConfFile: what Docker 28 writes, but for the engine's name in the first lines, and but
// for servers of the host that a container cannot reach.
func TestResolvConfFile(t *testing.T) {
	var out strings.Builder
	hosts := map[string]string{
		"plain":    "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\noptions edns0 ndots:2\nsortlist 10.0.0.0\n",
		"stub":     "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n",
		"none":     "nameserver nonsense\n",
		"badndots": "nameserver 192.0.2.53\noptions ndots:x\n",
	}
	server := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for _, c := range []struct {
		name, host string
		r          Resolving
	}{
		{"default network", "plain", Resolving{}},
		{"default network with IPv6", "plain", Resolving{IPv6: true}},
		{"default network, stub", "stub", Resolving{}},
		{"default network, --dns", "stub", Resolving{Servers: server}},
		{"default network, --dns-search", "plain", Resolving{Search: []string{"."}, Options: []string{"timeout:3"}}},
		{"user's network", "plain", Resolving{Embedded: true}},
		{"user's network, stub", "stub", Resolving{Embedded: true}},
		{"user's network, --dns --dns-option", "plain", Resolving{Embedded: true, Servers: server, Options: []string{"ndots:3"}}},
		{"user's network, nothing", "none", Resolving{Embedded: true}},
		{"user's network, bad ndots", "badndots", Resolving{Embedded: true}},
		{"host's network", "stub", Resolving{Host: true}},
	} {
		h := ParseResolvConf([]byte(hosts[c.host]))
		h.Path = "/etc/resolv.conf"
		text, embedded := c.r.File(h)
		out.WriteString("=== " + c.name + ", " + c.host)
		if embedded {
			out.WriteString(", asks hulld")
		}
		out.WriteString("\n" + strings.SplitN(string(text), "\n\n", 2)[1])
	}
	golden(t, "resolvconf.txt", out.String())
}

func TestHostsFile(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("fd00::2"), {}}
	extra := []ExtraHost{{"db", netip.MustParseAddr("10.0.0.5")}, {"db6", netip.MustParseAddr("fd00::5")}}
	out := string(HostsFile("web", "example.org", extra, own, true)) + "=== without IPv6\n" + string(HostsFile("web", "", extra, own, false))
	golden(t, "hosts.txt", out)
	if got := string(HostnameFile("web")); got != "web\n" {
		t.Errorf("%q", got)
	}
}
