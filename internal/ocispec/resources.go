package ocispec

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// AppendResources appends limits as linux.resources of config.json has them, in one line, but for devices. What is nil
// or empty is left out.
func AppendResources(b []byte, r *specs.LinuxResources) []byte {
	w := Writer{B: b}
	w.Open('{')
	if m := r.Memory; m != nil {
		w.Name("memory")
		w.Open('{')
		signed(&w, "limit", m.Limit)
		signed(&w, "reservation", m.Reservation)
		signed(&w, "swap", m.Swap)
		signed(&w, "kernel", m.Kernel)
		signed(&w, "kernelTCP", m.KernelTCP)
		unsigned(&w, "swappiness", m.Swappiness)
		w.boolean("disableOOMKiller", m.DisableOOMKiller)
		w.boolean("useHierarchy", m.UseHierarchy)
		w.boolean("checkBeforeUpdate", m.CheckBeforeUpdate)
		w.Close('}')
	}
	if c := r.CPU; c != nil {
		w.Name("cpu")
		w.Open('{')
		unsigned(&w, "shares", c.Shares)
		signed(&w, "quota", c.Quota)
		unsigned(&w, "burst", c.Burst)
		unsigned(&w, "period", c.Period)
		signed(&w, "realtimeRuntime", c.RealtimeRuntime)
		unsigned(&w, "realtimePeriod", c.RealtimePeriod)
		w.text("cpus", c.Cpus)
		w.text("mems", c.Mems)
		signed(&w, "idle", c.Idle)
		w.Close('}')
	}
	if r.Pids != nil {
		w.Name("pids")
		w.Open('{')
		signed(&w, "limit", r.Pids.Limit)
		w.Close('}')
	}
	if r.BlockIO != nil {
		w.blockIO(r.BlockIO)
	}
	if len(r.HugepageLimits) > 0 {
		w.Name("hugepageLimits")
		w.Open('[')
		for _, l := range r.HugepageLimits {
			w.Element()
			w.Open('{')
			w.text("pageSize", l.Pagesize)
			unsigned(&w, "limit", &l.Limit)
			w.Close('}')
		}
		w.Close(']')
	}
	if n := r.Network; n != nil {
		w.Name("network")
		w.Open('{')
		unsigned(&w, "classID", n.ClassID)
		if len(n.Priorities) > 0 {
			w.Name("priorities")
			w.Open('[')
			for _, p := range n.Priorities {
				w.Element()
				w.Open('{')
				w.text("name", p.Name)
				unsigned(&w, "priority", &p.Priority)
				w.Close('}')
			}
			w.Close(']')
		}
		w.Close('}')
	}
	if len(r.Rdma) > 0 {
		w.rdma(r.Rdma)
	}
	if len(r.Unified) > 0 {
		w.Name("unified")
		w.StringMap(r.Unified)
	}
	w.Close('}')
	return w.B
}

func (w *Writer) blockIO(io *specs.LinuxBlockIO) {
	w.Name("blockIO")
	w.Open('{')
	unsigned(w, "weight", io.Weight)
	unsigned(w, "leafWeight", io.LeafWeight)
	device := func(d specs.LinuxBlockIODevice) {
		w.Element()
		w.Open('{')
		signed(w, "major", &d.Major)
		signed(w, "minor", &d.Minor)
	}
	if len(io.WeightDevice) > 0 {
		w.Name("weightDevice")
		w.Open('[')
		for _, d := range io.WeightDevice {
			device(d.LinuxBlockIODevice)
			unsigned(w, "weight", d.Weight)
			unsigned(w, "leafWeight", d.LeafWeight)
			w.Close('}')
		}
		w.Close(']')
	}
	throttle := func(name string, list []specs.LinuxThrottleDevice) {
		if len(list) == 0 {
			return
		}
		w.Name(name)
		w.Open('[')
		for _, d := range list {
			device(d.LinuxBlockIODevice)
			unsigned(w, "rate", &d.Rate)
			w.Close('}')
		}
		w.Close(']')
	}
	throttle("throttleReadBpsDevice", io.ThrottleReadBpsDevice)
	throttle("throttleWriteBpsDevice", io.ThrottleWriteBpsDevice)
	throttle("throttleReadIOPSDevice", io.ThrottleReadIOPSDevice)
	throttle("throttleWriteIOPSDevice", io.ThrottleWriteIOPSDevice)
	w.Close('}')
}

func (w *Writer) rdma(m map[string]specs.LinuxRdma) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.Name("rdma")
	w.Open('{')
	for _, k := range keys {
		w.Name(k)
		w.Open('{')
		unsigned(w, "hcaHandles", m[k].HcaHandles)
		unsigned(w, "hcaObjects", m[k].HcaObjects)
		w.Close('}')
	}
	w.Close('}')
}

func signed(w *Writer, name string, v *int64) {
	if v != nil {
		w.Name(name)
		w.Int(*v)
	}
}

func unsigned[T ~uint16 | ~uint32 | ~uint64](w *Writer, name string, v *T) {
	if v != nil {
		w.Name(name)
		w.B = strconv.AppendUint(w.B, uint64(*v), 10)
	}
}

func (w *Writer) boolean(name string, v *bool) {
	if v != nil {
		w.Name(name)
		w.B = strconv.AppendBool(w.B, *v)
	}
}

func (w *Writer) text(name, v string) {
	if v != "" {
		w.Name(name)
		w.String(v)
	}
}
