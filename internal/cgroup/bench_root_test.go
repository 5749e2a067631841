package cgroup

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// dockerResources are what Docker writes for "run -m 256m --cpus 1 --pids-limit 100".
func dockerResources() *specs.LinuxResources {
	rule := func(allow bool, kind string, major, minor *int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: major, Minor: minor, Access: access}
	}
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{
			rule(false, "", nil, nil, "rwm"),
			rule(true, "c", ptr(int64(1)), ptr(int64(5)), "rwm"),
			rule(true, "c", ptr(int64(1)), ptr(int64(3)), "rwm"),
			rule(true, "c", ptr(int64(1)), ptr(int64(9)), "rwm"),
			rule(true, "c", ptr(int64(1)), ptr(int64(8)), "rwm"),
			rule(true, "c", ptr(int64(5)), ptr(int64(0)), "rwm"),
			rule(true, "c", ptr(int64(5)), ptr(int64(1)), "rwm"),
			rule(false, "c", ptr(int64(10)), ptr(int64(229)), "rwm"),
		},
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(256 << 20)), Swap: ptr(int64(512 << 20)), DisableOOMKiller: ptr(false)},
		CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(100000)), Period: ptr(uint64(100000))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(100))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
	}
}

// BenchmarkRootCreateApply measures one container's cgroup work on the real hierarchies.
func BenchmarkRootCreateApply(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	r := dockerResources()
	parent := fmt.Sprintf("/hullbench-%d", os.Getpid())
	h, err := Detect()
	if err != nil {
		b.Fatal(err)
	}
	pg, err := New(h, Config{Path: parent})
	if err != nil {
		b.Fatal(err)
	}
	if err := pg.Create(); err != nil {
		b.Fatal(err)
	}
	defer pg.Delete()
	// Each step has its own median, so that a pause of the machine does not spoil the figure.
	steps := []string{"detect+new", "create", "apply", "delete"}
	times := make([][]time.Duration, len(steps))
	for i := 0; b.Loop(); i++ {
		last := time.Now()
		lap := func(step int) {
			now := time.Now()
			times[step] = append(times[step], now.Sub(last))
			last = now
		}
		h, err := Detect()
		if err != nil {
			b.Fatal(err)
		}
		g, err := New(h, Config{Path: fmt.Sprintf("%s/c%d", parent, i), ID: "x", Resources: r})
		if err != nil {
			b.Fatal(err)
		}
		lap(0)
		if err := g.Create(); err != nil {
			b.Fatal(err)
		}
		lap(1)
		if err := g.Apply(r); err != nil {
			b.Fatal(err)
		}
		lap(2)
		if err := g.Delete(); err != nil {
			b.Fatal(err)
		}
		lap(3)
	}
	for i, step := range steps {
		slices.Sort(times[i])
		b.ReportMetric(float64(times[i][len(times[i])/2].Microseconds()), step+"-µs")
	}
}
