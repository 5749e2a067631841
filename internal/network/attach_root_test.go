package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// BenchmarkRootAttach prints what it takes to connect a container with 1 and with 500 others there,
// without and with a published port, and with 1,000 ports published.
func BenchmarkRootAttach(b *testing.B) {
	if !alone(b) {
		return
	}
	for _, present := range []int{1, 500} {
		h := host(b, func(c *Config) { c.Instance = fmt.Sprint("i", present); c.Prepared = 4 })
		for i := range present {
			h.container(fmt.Sprint("old", i), EndpointRequest{Network: "bridge"})
		}
		h.measure(fmt.Sprintf("%d present", present), 0)
		h.measure(fmt.Sprintf("%d present, 1 port", present), 1)
		var ports []Port
		for i := range 1000 {
			ports = append(ports, Port{Proto: "tcp", Container: 80, Host: uint16(10000 + i + 2000*(present/500))})
		}
		h.container("server")
		t0 := time.Now()
		e := h.attach("server", EndpointRequest{Network: "bridge", Ports: ports})
		fmt.Printf("%d present: 1,000 ports published in %v\n", present, time.Since(t0))
		h.measure(fmt.Sprintf("%d present, 1,000 ports there, 1 port", present), 1)
		h.listen("server", ":80")
		connects(fmt.Sprintf("%d present: ", present), netip.AddrPortFrom(e.IPv4.Addr(), 80), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), ports[999].Host))
	}
}

// measure starts and releases containers one after the other, with pauses as between commands.
func (b *bench) measure(what string, ports int) {
	const n = 40
	laps := make([][]time.Duration, 4)
	for i := range n {
		time.Sleep(60 * time.Millisecond)
		name := fmt.Sprint("new", ports, i)
		r := EndpointRequest{Network: "bridge", Container: id(name), Name: name}
		for range ports {
			r.Ports = append(r.Ports, Port{Proto: "tcp", Container: 80})
		}
		t0 := time.Now()
		f, err := b.h.NewNetNS(ctx(b.t), id(name), true)
		if err != nil {
			b.t.Fatal(err)
		}
		t1 := time.Now()
		if _, err := b.h.Attach(ctx(b.t), r); err != nil {
			b.t.Fatal(err)
		}
		t2 := time.Now()
		f.Close()
		if err := b.h.Release(ctx(b.t), id(name)); err != nil {
			b.t.Fatal(err)
		}
		t3 := time.Now()
		for k, d := range []time.Duration{t1.Sub(t0), t2.Sub(t1), t3.Sub(t2), t2.Sub(t0)} {
			laps[k] = append(laps[k], d)
		}
	}
	for _, l := range laps {
		slices.Sort(l)
	}
	fmt.Printf("%s: netns %v, attach %v, release %v (medians); start p90 %v, worst %v\n", what, laps[0][n/2], laps[1][n/2], laps[2][n/2], laps[3][n*9/10], laps[3][n-1])
}

// connects prints the time of a connection with one answer, directly and by a published port.
func connects(what string, direct, published netip.AddrPort) {
	for _, to := range []netip.AddrPort{direct, published} {
		var laps []time.Duration
		for range 300 {
			t0 := time.Now()
			c, err := net.Dial("tcp", to.String())
			if err != nil {
				fmt.Println(err)
				return
			}
			_, _ = c.Read(make([]byte, 100))
			c.Close()
			laps = append(laps, time.Since(t0))
		}
		slices.Sort(laps)
		fmt.Printf("%sconnect and read from %s: %v\n", what, to, laps[150])
	}
}
