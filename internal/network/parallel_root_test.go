package network

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRootParallel starts and ends many containers at a time: no address and no port is given twice,
// all are reached while they are there, and nothing is left, descriptors included.
func TestRootParallel(t *testing.T) {
	if !alone(t) {
		return
	}
	b := host(t, func(c *Config) { c.Prepared = 3 })
	create(b, Options{Name: "n", IPv6: true})
	b.container("warm", EndpointRequest{Network: "n"})
	fds := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	time.Sleep(100 * time.Millisecond)
	before, rules := fds(), sh(t, "nft list table inet hull; nft list table bridge hull")
	var mu sync.Mutex
	seen := make(map[netip.Addr]bool)
	used := make(map[uint16]bool)
	var wg sync.WaitGroup
	t0 := time.Now()
	const workers, rounds = 8, 12
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				c := id(fmt.Sprint("p", w, "-", i))
				ns, err := b.h.NewNetNS(ctx(t), c, true)
				if err != nil {
					t.Error(err)
					return
				}
				var eps []*Endpoint
				for _, n := range []string{"n", "bridge"} {
					e, err := b.h.Attach(ctx(t), EndpointRequest{Container: c, Name: strings.TrimSpace(c), Network: n, Ports: []Port{{Proto: "tcp", Container: 80}}})
					if err != nil {
						t.Error(err)
						return
					}
					eps = append(eps, e)
				}
				mu.Lock()
				for _, e := range eps {
					if seen[e.IPv4.Addr()] || used[e.Bindings[0].Host] {
						t.Errorf("%s or port %d was given twice", e.IPv4, e.Bindings[0].Host)
					}
					seen[e.IPv4.Addr()], used[e.Bindings[0].Host] = true, true
				}
				mu.Unlock()
				if got, err := b.lookup("warm", strings.TrimSpace(c)); err != nil || !strings.Contains(got, eps[0].IPv4.Addr().String()) {
					t.Errorf("%s: %s %v", strings.TrimSpace(c), got, err)
				}
				mu.Lock()
				for _, e := range eps {
					delete(seen, e.IPv4.Addr())
					delete(used, e.Bindings[0].Host)
				}
				mu.Unlock()
				if i%3 == 0 {
					if _, err := b.h.Detach(ctx(t), c, "bridge"); err != nil {
						t.Error(err)
					}
				}
				ns.Close()
				if err := b.h.Release(ctx(t), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d containers, two networks each, at %d at a time: %v", workers*rounds, workers, time.Since(t0))
	time.Sleep(300 * time.Millisecond)
	if after := sh(t, "nft list table inet hull; nft list table bridge hull"); after != rules {
		t.Errorf("rules afterwards:\n%s", after)
	}
	if n := fds(); n > before+8 { // sockets to the routing tables are kept for the next ones
		t.Errorf("%d descriptors, %d before", n, before)
	}
	if n := len(b.h.ports.held); n > 0 {
		t.Errorf("%d ports are still reserved", n)
	}
	for _, s := range []string{"n", "bridge"} {
		st, err := b.h.find(s)
		if err != nil {
			t.Fatal(err)
		}
		for a, who := range st.v4.taken {
			if len(who) == 64 && st.endpoints[who] == nil {
				t.Errorf("lease %s of %s is left", a, who)
			}
		}
	}
}
