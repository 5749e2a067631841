package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestRootOptions: what a network and an endpoint are asked for is what the kernel has then.
func TestRootOptions(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	addr := netip.MustParseAddr
	n := create(b, Options{Name: "n", Subnets: []Subnet{{Prefix: prefix("10.77.0.0/24"), Gateway: addr("10.77.0.254"), Range: prefix("10.77.0.128/25"), Aux: map[string]netip.Addr{"x": addr("10.77.0.128")}}},
		DriverOpts: map[string]string{optBridgeName: "mybr0", optMTU: "1400", optPrefix: "net"}})
	if out := sh(t, "ip -o link show mybr0; ip -o addr show mybr0"); !strings.Contains(out, "mtu 1400") || !strings.Contains(out, "10.77.0.254/24") || strings.Contains(out, "inet6") {
		t.Errorf("bridge: %s", out)
	}
	mac, _ := net.ParseMAC("02:00:00:00:00:42")
	e := b.container("a", EndpointRequest{Network: "n", MAC: mac, LinkLocal: []netip.Addr{addr("169.254.7.7")}})[0]
	out := b.must("a", "ip -o addr show net0; ip -o link show net0; ip route; cat /proc/sys/net/ipv6/conf/net0/disable_ipv6")
	for _, want := range []string{"10.77.0.129/24", "169.254.7.7/16", "mtu 1400", "02:00:00:00:00:42", "default via 10.77.0.254 dev net0", "\n1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if e.Interface != "net0" || e.Gateway4 != addr("10.77.0.254") {
		t.Errorf("%+v", e)
	}
	f := b.container("b", EndpointRequest{Network: "n", IPv4: addr("10.77.0.9"), DriverOpts: map[string]string{optIfName: "lan", optSysctls: "net.ipv4.conf.IFNAME.log_martians=1"}})[0]
	if out := b.must("b", "cat /proc/sys/net/ipv4/conf/lan/log_martians"); out != "1\n" {
		t.Errorf("log_martians is %q", out)
	}
	if f.IPv4.String() != "10.77.0.9/24" || f.Interface != "lan" {
		t.Errorf("%+v", f)
	}
	for _, c := range []struct {
		r    EndpointRequest
		want string
	}{
		{EndpointRequest{Network: "n", IPv4: addr("10.77.0.9")}, "Address already in use"},
		{EndpointRequest{Network: "n", IPv4: addr("10.78.0.9")}, "does not belong to subnet"},
		{EndpointRequest{Network: "n", IPv6: addr("fd00::9")}, "no IPv6"},
		{EndpointRequest{Network: "bridge", IPv4: addr("172.17.0.9")}, "supported only when connecting to networks with user configured subnets"},
		{EndpointRequest{Network: "nowhere"}, "network nowhere not found"},
		{EndpointRequest{Network: "n", MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}}, "invalid MAC address"},
		{EndpointRequest{Network: "n", Interface: "a/b"}, "invalid interface name"},
		{EndpointRequest{Network: "n", DriverOpts: map[string]string{optSysctls: "net.ipv4.ip_forward=1"}}, "is not of the form"},
		{EndpointRequest{Network: "n", DriverOpts: map[string]string{optSysctls: "net.../.IFNAME.x=1"}}, "is not of the form"},
		{EndpointRequest{Network: "n", DriverOpts: map[string]string{optSysctls: "net.ipv4./.IFNAME.x=1"}}, "names no setting"},
		{EndpointRequest{Network: "n", LinkLocal: []netip.Addr{addr("10.0.0.1")}}, "invalid link-local IP address"},
	} {
		b.container("bad")
		c.r.Container, c.r.Name = id("bad"), "bad"
		if _, err := b.h.Attach(ctx(t), c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
		if err := b.h.Release(ctx(t), id("bad")); err != nil {
			t.Error(err)
		}
	}

	// Several networks, priorities, connect and disconnect.
	create(b, Options{Name: "six", IPv6: true})
	g := b.attach("a", EndpointRequest{Network: "six", GatewayPriority: 5})
	route := func() string { return b.must("a", "ip route show default; ip -6 route show default") }
	if out := route(); !strings.Contains(out, "default via "+g.Gateway4.String()+" dev eth0") || !strings.Contains(out, "default via "+g.Gateway6.String()) || strings.Count(out, "default") != 2 {
		t.Errorf("routes with two networks:\n%s", out)
	}
	if out := b.must("a", "cat /proc/sys/net/ipv6/conf/net0/disable_ipv6 /proc/sys/net/ipv6/conf/eth0/disable_ipv6"); out != "1\n0\n" {
		t.Errorf("IPv6 is off: %q, want on in the second network alone", out)
	}
	if _, err := b.h.Attach(ctx(t), EndpointRequest{Container: id("a"), Name: "a", Network: "six"}); err == nil || !strings.Contains(err.Error(), "already exists in network six") {
		t.Errorf("connecting twice: %v", err)
	}
	if _, err := b.h.Detach(ctx(t), id("a"), "six"); err != nil {
		t.Fatal(err)
	}
	if out := route(); !strings.Contains(out, "default via 10.77.0.254 dev net0") || strings.Count(out, "default") != 1 {
		t.Errorf("routes after leaving:\n%s", out)
	}
	if _, err := b.h.Detach(ctx(t), id("a"), "six"); err == nil || !strings.Contains(err.Error(), "is not connected to network six") {
		t.Errorf("leaving twice: %v", err)
	}

	// What clashes is named.
	sh(t, "ip route add 10.99.3.0/24 dev wan; ip route add 10.96.0.0/12 dev wan; ip route add 172.17.12.0/22 dev wan")
	_, err := b.h.Create(ctx(t), Options{Name: "clash", Subnets: []Subnet{{Prefix: prefix("10.99.0.0/16")}}})
	if err == nil || !strings.Contains(err.Error(), "Pool overlaps") || !strings.Contains(err.Error(), "the host's route 10.99.3.0/24 dev wan") {
		t.Errorf("a clash with a route: %v", err)
	}
	_, err = b.h.Create(ctx(t), Options{Name: "clash", Subnets: []Subnet{{Prefix: prefix("10.77.0.0/25")}}})
	if err == nil || !strings.Contains(err.Error(), "network n") {
		t.Errorf("a clash with a network: %v", err)
	}
	part := create(b, Options{Name: "part", Subnets: []Subnet{{Prefix: prefix("10.98.0.0/24")}}})
	if len(part.Warnings) != 1 || !strings.Contains(part.Warnings[0], "10.96.0.0/12") {
		t.Errorf("warnings %q", part.Warnings)
	}
	for i := range 3 {
		for _, s := range create(b, Options{Name: fmt.Sprint("auto", i)}).Subnets {
			if s.Prefix.Overlaps(prefix("172.17.12.0/22")) {
				t.Errorf("%s was taken from the pool though a route has it", s.Prefix)
			}
		}
	}
	if _, err := b.h.Create(ctx(t), Options{Name: "n"}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := b.h.Remove(ctx(t), "bridge"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("removing the default network: %v", err)
	}
	if _, err := b.h.Find(n.ID[:10]); err != nil {
		t.Error(err)
	}
	removed, err := b.h.Prune(ctx(t), func(n *Network) bool { return strings.HasPrefix(n.Name, "auto") || n.Name == "n" })
	if err != nil || len(removed) != 3 {
		t.Errorf("pruned %d networks: %v", len(removed), err)
	}

	// Drivers on a parent device.
	create(b, Options{Name: "mac", Driver: "macvlan", DriverOpts: map[string]string{"parent": "wan"}, Subnets: []Subnet{{Prefix: prefix("192.0.2.0/24"), Gateway: addr("192.0.2.2")}}})
	b.listen("peer", "0.0.0.0:7000")
	b.boxs["m"], err = b.h.NewNetNS(ctx(t), id("m"), false)
	if err != nil {
		t.Fatal(err)
	}
	m := b.attach("m", EndpointRequest{Network: "mac", IPv4: addr("192.0.2.77")})
	b.reaches("m", "192.0.2.2:7000", m.IPv4.Addr().String())
	create(b, Options{Name: "ipv", Driver: "ipvlan", DriverOpts: map[string]string{"parent": "mybr0"}})
	b.container("i")
	_, err = b.h.Attach(ctx(t), EndpointRequest{Container: id("i"), Name: "i", Network: "ipv"})
	if err != nil && (!errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "this kernel has no ipvlan devices")) {
		t.Errorf("ipvlan: %v", err)
	}
	if _, err := b.h.Create(ctx(t), Options{Name: "lost", Driver: "macvlan", DriverOpts: map[string]string{"parent": "nodev"}}); err == nil || !strings.Contains(err.Error(), "there is no device nodev") {
		t.Errorf("a parent that is not there: %v", err)
	}

	// A bridge that somebody removed comes back with the next container.
	sh(t, "ip link del hull0")
	d := b.container("d", EndpointRequest{Network: "bridge"})[0]
	b.listen("d", ":80")
	b.reaches("", netip.AddrPortFrom(d.IPv4.Addr(), 80).String(), "")
}

// TestRootBandwidth: limits hold, in both directions.
func TestRootBandwidth(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	a := b.container("a", EndpointRequest{Network: "bridge", Bandwidth: Bandwidth{In: 80e6, Out: 40e6}})[0]
	for _, c := range []struct {
		what         string
		from, to, ip string
		limit        float64 // Mbit/s
	}{{"in", "", "a", a.IPv4.Addr().String(), 80}, {"out", "a", "", a.Gateway4.String(), 40}} {
		var l net.Listener
		if err := b.inside(c.to, func() (err error) { l, err = net.Listen("tcp", c.ip+":5000"); return err }); err != nil {
			t.Fatal(err)
		}
		var conn net.Conn
		if err := b.inside(c.from, func() (err error) { conn, err = net.Dial("tcp", c.ip+":5000"); return err }); err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for buf := make([]byte, 64<<10); ; {
				if _, err := conn.Write(buf); err != nil {
					return
				}
			}
		}()
		total, start := 0, time.Now()
		for buf := make([]byte, 64<<10); time.Since(start) < 1500*time.Millisecond; {
			n, err := in.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		rate := float64(total) * 8 / 1e6 / time.Since(start).Seconds()
		t.Logf("%s: %.1f Mbit/s of %v", c.what, rate, c.limit)
		if rate > c.limit*1.2 || rate < c.limit*0.3 {
			t.Errorf("%s: %.1f Mbit/s, the limit is %v", c.what, rate, c.limit)
		}
		conn.Close()
		in.Close()
		l.Close()
	}
	stats, err := b.h.Stats(ctx(t), id("a"))
	if err != nil || stats["eth0"].RxBytes < 1e6 || stats["eth0"].TxPackets == 0 {
		t.Errorf("statistics %+v %v", stats, err)
	}
	if err := b.h.Release(ctx(t), id("a")); err != nil {
		t.Error(err)
	}
	if out := sh(t, "ip -o link"); strings.Contains(out, "hi00") {
		t.Errorf("after the release:\n%s", out)
	}
}
