package network

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// TestRootPorts: reservation, ranges, UDP, live changes, both families.
func TestRootPorts(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	create(b, Options{Name: "six", IPv6: true})
	a := b.container("a", EndpointRequest{Network: "six", Ports: []Port{
		{Proto: "tcp", Container: 80}, {Proto: "tcp", Container: 80, Host: 8000, HostEnd: 8002}, {Proto: "udp", Container: 80, Host: 8000}, {Proto: "sctp", Container: 80, Host: 8000},
	}})[0]
	b.listen("a", ":80")
	if len(a.Bindings) != 8 || a.Bindings[0].Host != a.Bindings[1].Host || a.Bindings[0].Host < 32768 || a.Bindings[2].Host != 8000 {
		t.Fatalf("bindings %v", a.Bindings)
	}
	port := strconv.Itoa(int(a.Bindings[0].Host))
	b.reaches("peer", "192.0.2.1:"+port, "192.0.2.2")
	b.reaches("peer", "[2001:db8::1]:"+port, "2001:db8::2") // IPv6 keeps the client's address too
	b.reaches("", "[::1]:"+port, "")
	// What passes to another host's port is not ours (CVE-2025-67499).
	b.must("peer", "ip addr add 198.51.100.1/32 dev lo")
	b.listen("peer", "198.51.100.1:8000")
	sh(t, "ip route add 198.51.100.1 via 192.0.2.2")
	b.container("other", EndpointRequest{Network: "bridge"})
	b.reaches("other", "198.51.100.1:8000", "192.0.2.1")
	b.reaches("", "198.51.100.1:8000", "192.0.2.1")

	// UDP, and datagrams to ::1 through the proxy.
	echo(b, "a", 80)
	for from, to := range map[string]string{"peer": "192.0.2.1:8000", "": "127.0.0.1:8000", "other": "192.0.2.1:8000"} {
		if got, err := b.datagram(from, to); err != nil || got != "hello" {
			t.Errorf("UDP from %q: %q %v", from, got, err)
		}
	}
	if got, err := b.datagram("", "[::1]:8000"); err != nil || got != "hello" {
		t.Errorf("UDP to ::1: %q %v", got, err)
	}

	// The range is used up in order; then it is an error, and nothing is left of the attempt.
	for i, want := range []uint16{8001, 8002} {
		e := b.container("r"+strconv.Itoa(i), EndpointRequest{Network: "bridge", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8000, HostEnd: 8002}}})[0]
		if e.Bindings[0].Host != want {
			t.Errorf("bindings %v, want port %d", e.Bindings, want)
		}
	}
	before := sh(t, "nft list table inet hull; nft list table bridge hull")
	ns, err := b.h.NewNetNS(ctx(t), id("full"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	for _, p := range [][]Port{{{Proto: "tcp", Container: 81, Host: 7999}, {Proto: "tcp", Container: 80, Host: 8000, HostEnd: 8002}}, {{Proto: "tcp", Container: 80, HostIP: netip.MustParseAddr("203.0.113.5"), Host: 1}}} {
		_, err = b.h.Attach(ctx(t), EndpointRequest{Container: id("full"), Name: "full", Network: "bridge", Ports: p})
		if err == nil {
			t.Fatal("a port was published twice")
		}
		t.Log(err)
	}
	if after := sh(t, "nft list table inet hull; nft list table bridge hull"); after != before {
		t.Errorf("a failed attempt left something:\n%s", after)
	}
	l, err := net.Listen("tcp", "0.0.0.0:7999")
	if err != nil {
		t.Errorf("a failed attempt kept its port: %v", err)
	} else {
		// And a port of the host's programs is not taken from them.
		_, err = b.h.Attach(ctx(t), EndpointRequest{Container: id("full"), Name: "full", Network: "bridge", Ports: []Port{{Proto: "tcp", Container: 80, Host: 7999}}})
		if err == nil || !strings.Contains(err.Error(), "failed to bind host port 0.0.0.0:7999/tcp: address already in use") {
			t.Errorf("a port that a program of the host has: %v", err)
		}
		l.Close()
	}
	if _, err := net.Listen("tcp", "0.0.0.0:8001"); err == nil {
		t.Error("a program of the host took a published port")
	}

	// Live changes.
	got, err := b.h.Publish(ctx(t), id("a"), "six", []Port{{Proto: "tcp", Container: 80, Host: 9000}})
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	b.reaches("peer", "192.0.2.1:9000", "192.0.2.2")
	b.reaches("peer", "[2001:db8::1]:9000", "2001:db8::2")
	if err := b.h.Unpublish(ctx(t), id("a"), "six", got); err != nil {
		t.Fatal(err)
	}
	b.cannotReach("peer", "192.0.2.1:9000")
	b.cannotReach("peer", "[2001:db8::1]:9000")
	if err := b.h.Unpublish(ctx(t), id("a"), "six", got); !errdefs.IsNotFound(err) {
		t.Errorf("unpublishing twice: %v", err)
	}
	if err := b.h.Release(ctx(t), id("a")); err != nil {
		t.Fatal(err)
	}
	b.cannotReach("peer", "192.0.2.1:"+port)
	if out := sh(t, "nft list table inet hull"); strings.Contains(out, a.IPv4.Addr().String()) || strings.Contains(out, a.IPv6.Addr().String()) {
		t.Errorf("after the release:\n%s", out)
	}
}

// TestRootUDPFlows: a client that goes on sending from one port reaches who has the published port
// now.
func TestRootUDPFlows(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	var c net.Conn
	if err := b.inside("peer", func() (err error) { c, err = net.Dial("udp", "192.0.2.1:5353"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answered := func(who string, want bool) {
		t.Helper()
		got := false
		for range 10 {
			_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = c.Write([]byte("hello"))
			if n, err := c.Read(make([]byte, 100)); err == nil && n == 5 {
				got = true
			}
			if got == want {
				break
			}
		}
		if got != want {
			t.Errorf("%s: answered is %v", who, got)
		}
	}
	answered("nobody", false) // the flow to the host is known now
	for i, name := range []string{"a", "b", "c"} {
		// The first container's address stays in use, so that each has another.
		b.container("keep"+name, EndpointRequest{Network: "bridge"})
		b.container(name, EndpointRequest{Network: "bridge", Ports: []Port{{Proto: "udp", Container: 53, Host: 5353}}})
		echo(b, name, 53)
		answered(name, true)
		if i < 2 {
			if err := b.h.Release(ctx(t), id(name)); err != nil {
				t.Fatal(err)
			}
			b.container("in-place-of"+name, EndpointRequest{Network: "bridge"})
		}
	}
}

// echo answers datagrams on a port of a namespace.
func echo(b *bench, name string, port int) {
	b.t.Helper()
	var pc *net.UDPConn
	err := b.inside(name, func() (err error) { pc, err = net.ListenUDP("udp", &net.UDPAddr{Port: port}); return err })
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(buf[:n], from)
		}
	}()
}

func (b *bench) datagram(from, to string) (string, error) {
	var c net.Conn
	if err := b.inside(from, func() (err error) { c, err = net.Dial("udp", to); return err }); err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}
