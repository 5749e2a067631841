package network

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkRootAttach(b *testing.B) {
	if !alone(b) {
		return
	}
	for _, present := range []int{1, 500} {
		h := host(b, func(c *Config) { c.Instance = fmt.Sprint("i", present); c.Prepared = 8 })
		for i := range present {
			h.container(fmt.Sprint("old", i), EndpointRequest{Network: "bridge"})
		}
		time.Sleep(500 * time.Millisecond)
		for _, ports := range []int{0, 1} {
			var ns, attach, release time.Duration
			const n = 40
			var worst time.Duration
			for i := range n {
				time.Sleep(60 * time.Millisecond)
				name := fmt.Sprint("new", ports, i)
				t0 := time.Now()
				f, err := h.h.NewNetNS(ctx(b), id(name), true)
				if err != nil {
					b.Fatal(err)
				}
				t1 := time.Now()
				r := EndpointRequest{Network: "bridge", Container: id(name), Name: name}
				if ports > 0 {
					r.Ports = []Port{{Proto: "tcp", Container: 80}}
				}
				if _, err := h.h.Attach(ctx(b), r); err != nil {
					b.Fatal(err)
				}
				t2 := time.Now()
				f.Close()
				if err := h.h.Release(ctx(b), id(name)); err != nil {
					b.Fatal(err)
				}
				t3 := time.Now()
				ns, attach, release = ns+t1.Sub(t0), attach+t2.Sub(t1), release+t3.Sub(t2)
				worst = max(worst, t2.Sub(t0))
			}
			fmt.Printf("%d present, %d ports: netns %v, attach %v, release %v; worst start %v\n", present, ports, ns/n, attach/n, release/n, worst)
		}
	}
}
