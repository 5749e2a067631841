package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// lookup asks 127.0.0.11 from a container.
func (b *bench) lookup(from, name string) (string, error) {
	return b.ask(from, "udp", func(r *net.Resolver, c context.Context) ([]string, error) { return r.LookupHost(c, name) })
}

func (b *bench) ask(from, network string, f func(r *net.Resolver, c context.Context) ([]string, error)) (string, error) {
	r := &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(c context.Context, _, _ string) (conn net.Conn, err error) {
		err = b.inside(from, func() error { conn, err = net.DialTimeout(network, "127.0.0.11:53", time.Second); return err })
		return conn, err
	}}
	c, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	list, err := f(r, c)
	slices.Sort(list)
	return strings.Join(list, " "), err
}

// upstream is a server for other names, at an address of a namespace. It counts what it is asked.
func upstream(b *bench, name, at string) *atomic.Int32 {
	b.t.Helper()
	var pc net.PacketConn
	err := b.inside(name, func() (err error) { pc, err = net.ListenPacket("udp", at); return err })
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { pc.Close() })
	asked := new(atomic.Int32)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			asked.Add(1)
			m.Response, m.Additionals = true, nil
			if m.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: [4]byte{198, 51, 100, 7}}}}
			}
			out, _ := m.Pack()
			_, _ = pc.WriteTo(out, from)
		}
	}()
	return asked
}

// TestRootNames: containers find each other by name in their networks, and the world through the
// host's servers.
func TestRootNames(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	hostAsked := upstream(b, "", "127.0.0.1:53")
	if err := os.WriteFile(b.cfg.ResolvConf, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	create(b, Options{Name: "n", IPv6: true})
	create(b, Options{Name: "other"})
	create(b, Options{Name: "in", Internal: true})
	w1 := b.container("w1", EndpointRequest{Network: "n", Aliases: []string{"Web"}, Hostname: "front"})[0]
	w2 := b.container("w2", EndpointRequest{Network: "n", Aliases: []string{"web"}})[0]
	o := b.container("o", EndpointRequest{Network: "other"})[0]
	b.container("c", EndpointRequest{Network: "n"})
	b.container("i", EndpointRequest{Network: "in"})

	b.resolves("c", "w1", w1.IPv4.Addr(), w1.IPv6.Addr())
	b.resolves("c", "web", w1.IPv4.Addr(), w2.IPv4.Addr(), w1.IPv6.Addr(), w2.IPv6.Addr())
	b.resolves("c", "WEB.", w1.IPv4.Addr())
	b.resolves("c", "front", w1.IPv4.Addr())
	b.resolves("c", "w1.n", w1.IPv4.Addr())
	b.resolves("c", strings.TrimSpace(id("w1")[:12]), w1.IPv4.Addr())
	if got, err := b.ask("c", "tcp", func(r *net.Resolver, c context.Context) ([]string, error) { return r.LookupHost(c, "w2") }); err != nil || !strings.Contains(got, w2.IPv4.Addr().String()) {
		t.Errorf("over TCP: %s %v", got, err)
	}
	for _, a := range []netip.Addr{w1.IPv4.Addr(), w1.IPv6.Addr()} {
		if got, err := b.ask("c", "udp", func(r *net.Resolver, c context.Context) ([]string, error) { return r.LookupAddr(c, a.String()) }); err != nil || got != "w1.n." {
			t.Errorf("name of %s: %s %v", a, got, err)
		}
	}
	b.resolves("c", "example.org", netip.MustParseAddr("198.51.100.7"))
	if got, _ := b.lookup("o", "w1"); strings.Contains(got, w1.IPv4.Addr().String()) {
		t.Error("a name of another network was answered")
	}

	// An internal network: nothing leaves (CVE-2024-29018).
	hostAsked.Store(0)
	if got, err := b.lookup("i", "secret.example.org"); err == nil {
		t.Errorf("an internal network resolved a name of the world: %s", got)
	}
	if n := hostAsked.Load(); n > 0 {
		t.Errorf("the host's server was asked %d times by an internal network", n)
	}
	b.resolves("i", "i")

	// The host's servers change.
	upstream(b, "", "127.0.0.9:53")
	if err := os.WriteFile(b.cfg.ResolvConf, []byte("nameserver 127.0.0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	hostAsked.Store(0)
	b.resolves("c", "second.example.org", netip.MustParseAddr("198.51.100.7"))
	if n := hostAsked.Load(); n > 0 {
		t.Error("the former server was asked")
	}

	// A server that the user names is asked from the container.
	ns := b.container("ns", EndpointRequest{Network: "n"})[0]
	nsAsked := upstream(b, "ns", "0.0.0.0:53") // and port 53 is free there
	b.container("u", EndpointRequest{Network: "n", DNS: DNSConfig{Servers: []netip.Addr{ns.IPv4.Addr()}}})
	b.resolves("u", "third.example.org", netip.MustParseAddr("198.51.100.7"))
	if nsAsked.Load() == 0 {
		t.Error("the user's server was not asked")
	}

	// Another name.
	if err := b.h.Rename(ctx(t), id("w2"), "w3"); err != nil {
		t.Fatal(err)
	}
	b.resolves("c", "w3", w2.IPv4.Addr())
	b.resolves("c", "web", w2.IPv4.Addr(), w1.IPv4.Addr())
	if got, _ := b.lookup("c", "w2"); strings.Contains(got, w2.IPv4.Addr().String()) {
		t.Error("the former name is known")
	}

	// Connect, disconnect.
	late := b.attach("o", EndpointRequest{Network: "n", Aliases: []string{"late"}})
	b.resolves("c", "late", late.IPv4.Addr())
	b.resolves("o", "w1", w1.IPv4.Addr())
	if _, err := b.h.Detach(ctx(t), id("o"), "n"); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.lookup("o", "w1"); strings.Contains(got, w1.IPv4.Addr().String()) {
		t.Error("a name is known after the container left the network")
	}
	if got, _ := b.lookup("c", "late"); strings.Contains(got, "172.") {
		t.Errorf("the alias of a container that left is known: %s", got)
	}
	b.resolves("o", "o", o.IPv4.Addr())
}
