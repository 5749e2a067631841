package keel

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/hull-dev/hull/internal/ociruntime"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// updateResources is the resources file, or the flags; with a file the flags are ignored, as in runc.
func updateResources(f flags) (*specs.LinuxResources, error) {
	if name := f.get("resources"); name != "" {
		in := os.Stdin
		if name != "-" {
			file, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			in = file
		}
		b, err := io.ReadAll(io.LimitReader(in, 1<<20))
		if err != nil {
			return nil, err
		}
		return ociruntime.DecodeResources(b)
	}
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{}, Memory: &specs.LinuxMemory{}}
	var bad error
	signed := func(name string) *int64 {
		v := f.get(name)
		if v == "" {
			return nil
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			bad = fmt.Errorf("--%s: %q is not a number", name, v)
		}
		return &n
	}
	unsigned := func(name string) *uint64 {
		n := signed(name)
		if n == nil {
			return nil
		}
		if *n < 0 {
			bad = fmt.Errorf("--%s: %d is negative", name, *n)
		}
		u := uint64(*n)
		return &u
	}
	r.CPU.Period, r.CPU.Quota, r.CPU.Burst = unsigned("cpu-period"), signed("cpu-quota"), unsigned("cpu-burst")
	r.CPU.RealtimePeriod, r.CPU.RealtimeRuntime = unsigned("cpu-rt-period"), signed("cpu-rt-runtime")
	r.CPU.Shares, r.CPU.Idle = unsigned("cpu-share"), signed("cpu-idle")
	r.CPU.Cpus, r.CPU.Mems = f.get("cpuset-cpus"), f.get("cpuset-mems")
	r.Memory.Limit, r.Memory.Reservation, r.Memory.Swap = signed("memory"), signed("memory-reservation"), signed("memory-swap")
	if n := signed("pids-limit"); n != nil {
		r.Pids = &specs.LinuxPids{Limit: n}
	}
	if n := unsigned("blkio-weight"); n != nil {
		w := uint16(min(*n, 1<<16-1))
		r.BlockIO = &specs.LinuxBlockIO{Weight: &w}
	}
	return r, bad
}
