package engine

import (
	"net/netip"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// A container's own lines of /etc/hosts stay when its networks change.
func TestChangeLines(t *testing.T) {
	before, after := "127.0.0.1\tlocalhost\n10.0.0.2\tme\n", "127.0.0.1\tlocalhost\n10.0.1.2\tme\n"
	for _, c := range []struct{ file, want string }{
		{before, after},
		{"127.0.0.1\tlocalhost\n1.2.3.4\town\n10.0.0.2\tme\n", "127.0.0.1\tlocalhost\n1.2.3.4\town\n10.0.1.2\tme\n"},
		{"1.2.3.4\town", "1.2.3.4\town\n10.0.1.2\tme\n"},
	} {
		if got := string(changeLines([]byte(c.file), []byte(before), []byte(after))); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.file, got, c.want)
		}
	}
}

func TestChangePorts(t *testing.T) {
	web, dns := network.MustParsePort("80/tcp"), network.MustParsePort("53/udp")
	at := func(n string) network.PortBinding { return network.PortBinding{HostPort: n} }
	v := &View{Name: "c", Config: &container.Config{ExposedPorts: network.PortSet{web: {}, dns: {}}}, Ports: network.PortMap{web: {at("32768")}, dns: {at("32769")}}}
	for _, c := range []struct {
		name        string
		host        container.HostConfig
		add, remove network.PortMap
		want        network.PortMap
		fails       bool
	}{
		{"added", container.HostConfig{PortBindings: network.PortMap{web: {at("80")}}}, network.PortMap{web: {at("81")}}, nil, network.PortMap{web: {at("80"), at("81")}}, false},
		{"added twice", container.HostConfig{PortBindings: network.PortMap{web: {at("80")}}}, network.PortMap{web: {at("80")}}, nil, network.PortMap{web: {at("80")}}, false},
		{"one removed", container.HostConfig{PortBindings: network.PortMap{web: {at("80"), at("81")}}}, nil, network.PortMap{web: {at("80")}}, network.PortMap{web: {at("81")}}, false},
		{"all removed", container.HostConfig{PortBindings: network.PortMap{web: {at("80"), at("81")}}}, nil, network.PortMap{web: nil}, network.PortMap{}, false},
		{"a chosen one removed", container.HostConfig{PortBindings: network.PortMap{web: {at("")}}}, nil, network.PortMap{web: {at("32768")}}, network.PortMap{}, false},
		{"not there", container.HostConfig{}, nil, network.PortMap{web: nil}, nil, true},
		{"not that one", container.HostConfig{PortBindings: network.PortMap{web: {at("80")}}}, nil, network.PortMap{web: {at("9")}}, nil, true},
		{"-P but for one", container.HostConfig{PublishAllPorts: true}, nil, network.PortMap{web: nil}, network.PortMap{dns: {at("32769")}}, false},
	} {
		h := c.host
		err := changePorts(&h, v, c.add, c.remove)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.fails {
			continue
		}
		if h.PublishAllPorts || len(h.PortBindings) != len(c.want) {
			t.Errorf("%s: %v", c.name, h.PortBindings)
		}
		for p, list := range c.want {
			got := h.PortBindings[p]
			if len(got) != len(list) || got[0] != list[0] {
				t.Errorf("%s: %s is %v, want %v", c.name, p, got, list)
			}
		}
	}
}

// What a container had is kept apart from what it asked for.
func TestUnplug(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.2")
	mac := network.HardwareAddr{2, 66, 10, 0, 0, 2}
	v := &View{GivenMAC: map[string]bool{"given": true}, Endpoints: map[string]*network.EndpointSettings{
		"given": {IPAddress: a, MacAddress: mac, EndpointID: "x", NetworkID: "n"}, "free": {IPAddress: a, MacAddress: mac, Aliases: []string{"www"}},
	}}
	v.unplug()
	g, f := v.Endpoints["given"], v.Endpoints["free"]
	if g.IPAddress.IsValid() || g.EndpointID != "" || g.NetworkID != "n" || len(g.MacAddress) == 0 {
		t.Errorf("given: %+v", g)
	}
	if len(f.MacAddress) != 0 || f.Aliases[0] != "www" || v.Had["free"].IPv4 != a {
		t.Errorf("free: %+v, had %+v", f, v.Had)
	}
	if v.unplug(); v.Had["free"].IPv4 != a {
		t.Error("a start that failed loses the addresses of the run before")
	}
}
