package cgroup

import (
	"strconv"
	"unicode/utf8"
)

// jsonWriter appends JSON objects with the rules of runc's struct tags: most numbers, lists
// and strings are left out when they are zero ("omitempty").
type jsonWriter struct {
	b     []byte
	first bool // no member written yet in the open object
}

func (w *jsonWriter) open(key string) {
	w.key(key)
	w.b = append(w.b, '{')
	w.first = true
}

func (w *jsonWriter) close() {
	w.b = append(w.b, '}')
	w.first = false
}

func (w *jsonWriter) key(key string) {
	if !w.first {
		w.b = append(w.b, ',')
	}
	w.first = false
	if key != "" {
		w.b = appendString(w.b, key)
		w.b = append(w.b, ':')
	}
}

func (w *jsonWriter) num(key string, n uint64) {
	w.key(key)
	w.b = strconv.AppendUint(w.b, n, 10)
}

func (w *jsonWriter) some(key string, n uint64) {
	if n != 0 {
		w.num(key, n)
	}
}

func (w *jsonWriter) raw(key string, v []byte, absent string) {
	w.key(key)
	if v == nil {
		w.b = append(w.b, absent...)
		return
	}
	w.b = append(w.b, v...)
}

func list[T uint16 | uint64](w *jsonWriter, key string, l []T) {
	if len(l) == 0 {
		return
	}
	w.key(key)
	w.b = append(w.b, '[')
	for i, n := range l {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = strconv.AppendUint(w.b, uint64(n), 10)
	}
	w.b = append(w.b, ']')
}

// appendString quotes a string for JSON. Names of statistics are plain ASCII; anything else is
// escaped, so that a strange kernel cannot break the document.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // invalid bytes come as U+FFFD
		}
	}
	return append(b, '"')
}

// AppendJSON appends the value of "data" of one stats event, as runc 1.1 and later print it.
func (s *Stats) AppendJSON(b []byte) []byte {
	w := &jsonWriter{b: append(b, '{'), first: true}
	w.cpu(&s.CPU)
	w.cpuset(&s.CPUSet)
	w.memory(&s.Memory)
	w.open("pids")
	w.some("current", s.Pids.Current)
	w.some("limit", s.Pids.Limit)
	w.close()
	w.blkio(&s.Blkio)
	w.open("hugetlb")
	for _, h := range s.Hugetlb {
		w.open(h.Size)
		w.some("usage", h.Usage)
		w.some("max", h.Max)
		w.num("failcnt", h.Failcnt)
		w.close()
	}
	w.close()
	w.raw("intel_rdt", s.IntelRdt, "{}")
	w.raw("network_interfaces", s.NetworkInterfaces, "null")
	return append(w.b, '}')
}

func (w *jsonWriter) cpu(c *CPUStats) {
	w.open("cpu")
	w.open("usage")
	w.some("total", c.Usage.Total)
	list(w, "percpu", c.Usage.Percpu)
	list(w, "percpu_kernel", c.Usage.PercpuKernel)
	list(w, "percpu_user", c.Usage.PercpuUser)
	w.num("kernel", c.Usage.Kernel)
	w.num("user", c.Usage.User)
	w.close()
	w.open("throttling")
	w.some("periods", c.Throttling.Periods)
	w.some("throttledPeriods", c.Throttling.ThrottledPeriods)
	w.some("throttledTime", c.Throttling.ThrottledTime)
	w.close()
	w.psi(c.PSI)
	w.close()
}

func (w *jsonWriter) cpuset(c *CPUSetStats) {
	w.open("cpuset")
	list(w, "cpus", c.CPUs)
	w.num("cpu_exclusive", c.CPUExclusive)
	list(w, "mems", c.Mems)
	w.num("mem_hardwall", c.MemHardwall)
	w.num("mem_exclusive", c.MemExclusive)
	w.num("memory_migrate", c.MemoryMigrate)
	w.num("memory_spread_page", c.MemorySpreadPage)
	w.num("memory_spread_slab", c.MemorySpreadSlab)
	w.num("memory_pressure", c.MemoryPressure)
	w.num("sched_load_balance", c.SchedLoadBalance)
	w.key("sched_relax_domain_level")
	w.b = strconv.AppendInt(w.b, c.SchedRelaxDomainLevel, 10)
	w.close()
}

func (w *jsonWriter) memory(m *MemoryStats) {
	w.open("memory")
	w.some("cache", m.Cache)
	for _, e := range []struct {
		key string
		m   *MemoryEntry
	}{{"usage", &m.Usage}, {"swap", &m.Swap}, {"kernel", &m.Kernel}, {"kernelTCP", &m.KernelTCP}} {
		w.open(e.key)
		w.num("limit", e.m.Limit)
		w.some("usage", e.m.Usage)
		w.some("max", e.m.Max)
		w.num("failcnt", e.m.Failcnt)
		w.close()
	}
	if len(m.Raw) > 0 {
		w.open("raw")
		for _, r := range m.Raw {
			w.num(r.Name, r.Value)
		}
		w.close()
	}
	w.psi(m.PSI)
	w.close()
}

func (w *jsonWriter) blkio(s *BlkioStats) {
	w.open("blkio")
	for _, t := range []struct {
		key  string
		list []BlkioEntry
	}{
		{"ioServiceBytesRecursive", s.IoServiceBytesRecursive},
		{"ioServicedRecursive", s.IoServicedRecursive},
		{"ioQueueRecursive", s.IoQueuedRecursive},
		{"ioServiceTimeRecursive", s.IoServiceTimeRecursive},
		{"ioWaitTimeRecursive", s.IoWaitTimeRecursive},
		{"ioMergedRecursive", s.IoMergedRecursive},
		{"ioTimeRecursive", s.IoTimeRecursive},
		{"sectorsRecursive", s.SectorsRecursive},
	} {
		if len(t.list) == 0 {
			continue
		}
		w.key(t.key)
		w.b = append(w.b, '[')
		w.first = true
		for _, e := range t.list {
			w.open("")
			w.some("major", e.Major)
			w.some("minor", e.Minor)
			if e.Op != "" {
				w.key("op")
				w.b = appendString(w.b, e.Op)
			}
			w.some("value", e.Value)
			w.close()
		}
		w.b = append(w.b, ']')
		w.first = false
	}
	w.psi(s.PSI)
	w.close()
}

func (w *jsonWriter) psi(p *PSI) {
	if p == nil {
		return
	}
	w.open("psi")
	for _, d := range []struct {
		key string
		d   *PSIData
	}{{"some", &p.Some}, {"full", &p.Full}} {
		w.open(d.key)
		for _, f := range []struct {
			key string
			v   float64
		}{{"avg10", d.d.Avg10}, {"avg60", d.d.Avg60}, {"avg300", d.d.Avg300}} {
			w.key(f.key)
			w.b = strconv.AppendFloat(w.b, f.v, 'f', -1, 64)
		}
		w.num("total", d.d.Total)
		w.close()
	}
	w.close()
}
