package network

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// endpoints are what an engine would hand to Restore.
func (b *bench) endpoints(names map[string][]*Endpoint) (list []Running) {
	for name, eps := range names {
		r := Running{NetNS: b.boxs[name]}
		for _, e := range eps {
			r.Endpoints = append(r.Endpoints, *e)
		}
		list = append(list, r)
	}
	return list
}

// TestRootFlush: an owned table cannot be flushed; one that is not owned (kernels before 6.9) is
// back within a second, with everything in it.
func TestRootFlush(t *testing.T) {
	if !alone(t) {
		return
	}
	for _, unowned := range []bool{false, true} {
		b := host(t, func(c *Config) {
			c.Unowned = unowned
			if unowned {
				c.Instance = "second"
			}
		})
		peer := "peer"
		if !unowned {
			b.outside(peer)
		} else {
			sh(t, "ip link del wan")
			b.outside(peer)
		}
		b.listen(peer, "0.0.0.0:7000")
		a := b.container("a", EndpointRequest{Network: "bridge", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8080}}})
		b.listen("a", ":80")
		table := b.cfg.name()
		before := sh(t, "nft list table inet "+table+"; nft list table bridge "+table)
		for i := range 5 {
			sh(t, "nft flush ruleset")
			t0 := time.Now()
			for {
				out, err := exec.Command("sh", "-c", "nft list table inet "+table+"; nft list table bridge "+table).Output()
				if err == nil && string(out) == before {
					break
				}
				if time.Since(t0) > time.Second {
					t.Fatalf("unowned %v: not back after a second:\n%s", unowned, out)
				}
				time.Sleep(5 * time.Millisecond)
			}
			if i == 0 {
				t.Logf("unowned %v: back after %v", unowned, time.Since(t0))
			}
		}
		if unowned {
			sh(t, "nft delete rule inet "+table+" to handle $(nft -a list chain inet "+table+" to | sed -n 's/.*drop # handle //p' | tail -1)")
			time.Sleep(300 * time.Millisecond)
			if after := sh(t, "nft list table inet "+table+"; nft list table bridge "+table); after != before {
				t.Errorf("a deleted rule is not back:\n%s", after)
			}
		}
		b.reaches(peer, "192.0.2.1:8080", "192.0.2.2")
		b.reaches("a", "192.0.2.2:7000", "192.0.2.1")
		if err := b.h.Release(ctx(t), id("a")); err != nil {
			t.Error(err)
		}
		_ = a
	}
}

// TestRootRestore: hulld goes away without a word and comes back: containers' connections and
// published ports work all the time, names again, what nobody owns is removed.
func TestRootRestore(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	b.outside("peer")
	b.listen("peer", "0.0.0.0:7000")
	create(b, Options{Name: "n", IPv6: true})
	a := b.container("a", EndpointRequest{Network: "n", Ports: []Port{{Proto: "tcp", Container: 80, Host: 8080}, {Proto: "udp", Container: 80}}})
	c := b.container("c", EndpointRequest{Network: "n"}, EndpointRequest{Network: "bridge"})
	b.container("lost", EndpointRequest{Network: "n", Ports: []Port{{Proto: "tcp", Container: 81, Host: 8081}}, Bandwidth: Bandwidth{Out: 1e9}})
	b.listen("a", ":80")
	rules := func() string { return sh(t, "nft list table inet hull; nft list table bridge hull") }
	links := func() string { return sh(t, "ip -o link | sed 's/@.*//; s/^[0-9]*: //' | sort") }
	// kill -9: sockets are closed by the kernel, nothing is said.
	b.h.Close()
	sh(t, "ip link add hv00orphan type veth peer name zz; ip link add br-orphan type bridge; ip link set br-orphan alias 'hull network gone'")
	b.reaches("peer", "192.0.2.1:8080", "192.0.2.2")
	b.reaches("c", netip.AddrPortFrom(a[0].IPv4.Addr(), 80).String(), "")
	if out, err := b.in("c", "timeout 2 getent hosts a"); err == nil {
		t.Errorf("names are answered without hulld: %s", out)
	}
	t0 := time.Now()
	b.start(b.endpoints(map[string][]*Endpoint{"a": a, "c": c}))
	t.Logf("restored in %v", time.Since(t0))
	b.reaches("peer", "192.0.2.1:8080", "192.0.2.2")
	b.cannotReach("peer", "192.0.2.1:8081")
	b.resolves("c", "a", a[0].IPv4.Addr(), a[0].IPv6.Addr())
	if out := links(); strings.Contains(out, "orphan") || strings.Contains(out, "hi00") || strings.Count(out, "hv00") != 3 {
		t.Errorf("after the restore there are\n%s", out)
	}
	// The lease of the container that is gone is free again, those of the others are not.
	d := b.container("d", EndpointRequest{Network: "n"})
	if d[0].IPv4.Addr() == a[0].IPv4.Addr() || d[0].IPv4.Addr() == c[0].IPv4.Addr() {
		t.Errorf("address %s was given out twice", d[0].IPv4)
	}
	// A second time nothing changes.
	before := rules()
	b.h.Close()
	b.start(b.endpoints(map[string][]*Endpoint{"a": a, "c": c, "d": d}))
	if after := rules(); after != before {
		t.Errorf("rules after a second restore:\n%s\nbefore:\n%s", after, before)
	}
	if _, err := b.h.Remove(ctx(t), "n"); err == nil {
		t.Error("a network with endpoints was removed")
	}
	for _, name := range []string{"a", "c", "d"} {
		if err := b.h.Release(ctx(t), id(name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.h.Remove(ctx(t), "n"); err != nil {
		t.Error(err)
	}
	if out := rules(); strings.Count(out, "hv00") > 1 || strings.Contains(out, "br-") || strings.Contains(out, "172.17.") {
		t.Errorf("elements are left:\n%s", out)
	}
	if out := links(); strings.Contains(out, "br-") {
		t.Errorf("devices are left:\n%s", out)
	}
}

// resolves checks the addresses of a name, as the C library of a container finds them.
func (b *bench) resolves(from, name string, want ...netip.Addr) {
	b.t.Helper()
	got, err := b.lookup(from, name)
	if err != nil {
		b.t.Errorf("%s in %s: %v", name, from, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(got, w.String()) {
			b.t.Errorf("%s in %s: %s, want %s in it", name, from, got, w)
		}
	}
}

// TestRootTwo: a second hulld of the same name in one network namespace is told so and changes
// nothing; one with a name of its own works beside the first.
func TestRootTwo(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, nil)
	a := b.container("a", EndpointRequest{Network: "bridge"})[0]
	b.listen("a", ":80")
	before := sh(t, "nft list table inet hull; nft list table bridge hull; ip -o link | wc -l")
	second, err := Open(Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Restore(ctx(t), nil); err == nil || !strings.Contains(err.Error(), `another hulld owns the nftables table "hull"`) {
		t.Errorf("a second hulld: %v", err)
	}
	if after := sh(t, "nft list table inet hull; nft list table bridge hull; ip -o link | wc -l"); after != before {
		t.Errorf("the second one changed something:\n%s", after)
	}
	other := host(t, func(c *Config) { c.Instance = "other" })
	o := other.container("o", EndpointRequest{Network: "bridge"})[0]
	other.listen("o", ":80")
	for _, e := range []*Endpoint{a, o} {
		b.reaches("", netip.AddrPortFrom(e.IPv4.Addr(), 80).String(), "")
	}
	other.cannotReach("o", netip.AddrPortFrom(a.IPv4.Addr(), 80).String())
}
