package cgroup

import (
	"encoding/json"
	"strings"
	"testing"
)

// The types of runc's types/events.go, as far as cgroups are concerned: names, order, omitempty.
type (
	runcPSIData struct {
		Avg10  float64 `json:"avg10"`
		Avg60  float64 `json:"avg60"`
		Avg300 float64 `json:"avg300"`
		Total  uint64  `json:"total"`
	}
	runcPSI struct {
		Some runcPSIData `json:"some"`
		Full runcPSIData `json:"full"`
	}
	runcBlkioEntry struct {
		Major uint64 `json:"major,omitempty"`
		Minor uint64 `json:"minor,omitempty"`
		Op    string `json:"op,omitempty"`
		Value uint64 `json:"value,omitempty"`
	}
	runcMemoryEntry struct {
		Limit   uint64 `json:"limit"`
		Usage   uint64 `json:"usage,omitempty"`
		Max     uint64 `json:"max,omitempty"`
		Failcnt uint64 `json:"failcnt"`
	}
	runcHugetlb struct {
		Usage   uint64 `json:"usage,omitempty"`
		Max     uint64 `json:"max,omitempty"`
		Failcnt uint64 `json:"failcnt"`
	}
	runcStats struct {
		CPU struct {
			Usage struct {
				Total        uint64   `json:"total,omitempty"`
				Percpu       []uint64 `json:"percpu,omitempty"`
				PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
				PercpuUser   []uint64 `json:"percpu_user,omitempty"`
				Kernel       uint64   `json:"kernel"`
				User         uint64   `json:"user"`
			} `json:"usage"`
			Throttling struct {
				Periods          uint64 `json:"periods,omitempty"`
				ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
				ThrottledTime    uint64 `json:"throttledTime,omitempty"`
			} `json:"throttling"`
			PSI *runcPSI `json:"psi,omitempty"`
		} `json:"cpu"`
		CPUSet struct {
			CPUs                  []uint16 `json:"cpus,omitempty"`
			CPUExclusive          uint64   `json:"cpu_exclusive"`
			Mems                  []uint16 `json:"mems,omitempty"`
			MemHardwall           uint64   `json:"mem_hardwall"`
			MemExclusive          uint64   `json:"mem_exclusive"`
			MemoryMigrate         uint64   `json:"memory_migrate"`
			MemorySpreadPage      uint64   `json:"memory_spread_page"`
			MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
			MemoryPressure        uint64   `json:"memory_pressure"`
			SchedLoadBalance      uint64   `json:"sched_load_balance"`
			SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
		} `json:"cpuset"`
		Memory struct {
			Cache     uint64            `json:"cache,omitempty"`
			Usage     runcMemoryEntry   `json:"usage"`
			Swap      runcMemoryEntry   `json:"swap"`
			Kernel    runcMemoryEntry   `json:"kernel"`
			KernelTCP runcMemoryEntry   `json:"kernelTCP"`
			Raw       map[string]uint64 `json:"raw,omitempty"`
			PSI       *runcPSI          `json:"psi,omitempty"`
		} `json:"memory"`
		Pids struct {
			Current uint64 `json:"current,omitempty"`
			Limit   uint64 `json:"limit,omitempty"`
		} `json:"pids"`
		Blkio struct {
			IoServiceBytesRecursive []runcBlkioEntry `json:"ioServiceBytesRecursive,omitempty"`
			IoServicedRecursive     []runcBlkioEntry `json:"ioServicedRecursive,omitempty"`
			IoQueuedRecursive       []runcBlkioEntry `json:"ioQueueRecursive,omitempty"`
			IoServiceTimeRecursive  []runcBlkioEntry `json:"ioServiceTimeRecursive,omitempty"`
			IoWaitTimeRecursive     []runcBlkioEntry `json:"ioWaitTimeRecursive,omitempty"`
			IoMergedRecursive       []runcBlkioEntry `json:"ioMergedRecursive,omitempty"`
			IoTimeRecursive         []runcBlkioEntry `json:"ioTimeRecursive,omitempty"`
			SectorsRecursive        []runcBlkioEntry `json:"sectorsRecursive,omitempty"`
			PSI                     *runcPSI         `json:"psi,omitempty"`
		} `json:"blkio"`
		Hugetlb           map[string]runcHugetlb `json:"hugetlb"`
		IntelRdt          struct{}               `json:"intel_rdt"`
		NetworkInterfaces []struct{}             `json:"network_interfaces"`
	}
)

// roundTrip decodes into runc's types, strictly, and encodes again with encoding/json: the
// bytes must be the same.
func roundTrip(t *testing.T, s *Stats) runcStats {
	t.Helper()
	got := s.AppendJSON(nil)
	dec := json.NewDecoder(strings.NewReader(string(got)))
	dec.DisallowUnknownFields()
	r := runcStats{Hugetlb: map[string]runcHugetlb{}}
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	want, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	return r
}

func files(t *testing.T, dir string, list map[string]string) {
	t.Helper()
	mkdirs(t, dir, "")
	for f, text := range list {
		write(t, dir+"/"+f, text)
	}
}

func TestStatsV1(t *testing.T) {
	root := t.TempDir()
	g := &Group{host: &Host{}}
	for _, c := range []string{"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "rdma"} {
		g.dirs = append(g.dirs, groupDir{controllers: []string{c}, path: root + "/" + c})
	}
	files(t, root+"/cpu", map[string]string{"cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n"})
	files(t, root+"/cpuacct", map[string]string{
		"cpuacct.usage": "1000\n", "cpuacct.stat": "user 3\nsystem 4\n",
		"cpuacct.usage_percpu": "400 600 \n", "cpuacct.usage_all": "cpu user system\n0 11 12\n1 13 14\n",
	})
	files(t, root+"/cpuset", map[string]string{
		"cpuset.cpus": "0-2,5\n", "cpuset.mems": "0\n", "cpuset.sched_load_balance": "1\n", "cpuset.sched_relax_domain_level": "-1\n",
		"cpuset.cpu_exclusive": "1\n", "cpuset.memory_pressure": "9\n",
	})
	files(t, root+"/memory", map[string]string{
		"memory.stat":           "rss 5\ncache 42\nactive_anon 1\n",
		"memory.usage_in_bytes": "10\n", "memory.max_usage_in_bytes": "20\n", "memory.failcnt": "3\n", "memory.limit_in_bytes": "100\n",
		"memory.memsw.usage_in_bytes": "11\n", "memory.memsw.limit_in_bytes": "200\n",
		"memory.kmem.usage_in_bytes": "7\n", "memory.kmem.limit_in_bytes": "9223372036854771712\n",
	})
	files(t, root+"/pids", map[string]string{"pids.current": "4\n", "pids.max": "max\n"})
	files(t, root+"/blkio", map[string]string{
		"blkio.bfq.io_serviced_recursive":      "",
		"blkio.throttle.io_serviced_recursive": "8:0 Read 3\n8:0 Total 3\nTotal 3\n", "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\nTotal 4096\n",
	})
	files(t, root+"/hugetlb", map[string]string{
		"hugetlb.2MB.limit_in_bytes": "0\n", "hugetlb.2MB.usage_in_bytes": "1\n", "hugetlb.2MB.rsvd.usage_in_bytes": "8\n", "hugetlb.2MB.rsvd.limit_in_bytes": "0\n",
		"hugetlb.2MB.rsvd.failcnt": "2\n", "hugetlb.1GB.limit_in_bytes": "0\n", "hugetlb.1GB.usage_in_bytes": "6\n",
	})
	files(t, root+"/rdma", map[string]string{"rdma.current": "mlx4_0 hca_handle=2 hca_object=max\n", "rdma.max": ""})
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	r := roundTrip(t, s)
	const want = `{"cpu":{"usage":{"total":1000,"percpu":[400,600],"percpu_kernel":[12,14],"percpu_user":[11,13],"kernel":40000000,"user":30000000},` +
		`"throttling":{"periods":5,"throttledPeriods":2,"throttledTime":77}},` +
		`"cpuset":{"cpus":[0,1,2,5],"cpu_exclusive":1,"mems":[0],"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,` +
		`"memory_spread_slab":0,"memory_pressure":9,"sched_load_balance":1,"sched_relax_domain_level":-1},` +
		`"memory":{"cache":42,"usage":{"limit":100,"usage":10,"max":20,"failcnt":3},"swap":{"limit":200,"usage":11,"failcnt":0},` +
		`"kernel":{"limit":9223372036854771712,"usage":7,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"active_anon":1,"cache":42,"rss":5}},` +
		`"pids":{"current":4},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":4096}],` +
		`"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Total","value":3}]},` +
		`"hugetlb":{"1GB":{"usage":6,"failcnt":0},"2MB":{"usage":8,"failcnt":2}},"intel_rdt":{},"network_interfaces":null}`
	if got := string(s.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(s.Rdma.Current) != 1 || s.Rdma.Current[0] != (RdmaEntry{"mlx4_0", 2, 1<<32 - 1}) {
		t.Errorf("rdma %+v", s.Rdma)
	}
	_ = r
}

func TestStatsBlkioTables(t *testing.T) {
	for _, prefix := range []string{"blkio.bfq.", "blkio."} {
		dir := t.TempDir()
		for i, f := range []string{"sectors", "io_service_time", "io_wait_time", "io_merged", "io_queued", "time", "io_serviced", "io_service_bytes"} {
			write(t, dir+"/"+prefix+f+"_recursive", "8:16 "+string(rune('1'+i))+"\n")
		}
		var s Stats
		if err := statBlkioV1(dir, &s.Blkio); err != nil {
			t.Fatal(err)
		}
		b := roundTrip(t, &s).Blkio
		for i, l := range [][]runcBlkioEntry{b.SectorsRecursive, b.IoServiceTimeRecursive, b.IoWaitTimeRecursive, b.IoMergedRecursive,
			b.IoQueuedRecursive, b.IoTimeRecursive, b.IoServicedRecursive, b.IoServiceBytesRecursive} {
			if len(l) != 1 || l[0] != (runcBlkioEntry{8, 16, "", uint64(i + 1)}) {
				t.Errorf("%s table %d: %+v", prefix, i, l)
			}
		}
	}
}

func TestStatsV2(t *testing.T) {
	dir := t.TempDir()
	psi := "some avg10=1.50 avg60=0.01 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
	files(t, dir, map[string]string{
		"cpu.stat":    "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 1\nnr_throttled 1\nthrottled_usec 2\n",
		"memory.stat": "anon 1\nfile 50\n", "memory.current": "60\n", "memory.max": "100\n", "memory.peak": "70\n",
		"memory.swap.current": "5\n", "memory.swap.max": "max\n",
		"pids.current": "2\n", "pids.max": "9\n",
		"io.stat":             "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n(unknown) rbytes=1\n",
		"hugetlb.2MB.current": "1\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 4\n",
		"cpu.pressure": psi, "memory.pressure": psi, "io.pressure": psi,
	})
	g := &Group{host: &Host{}, dirs: []groupDir{{v2: true, path: dir}}}
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, s)
	const p = `"psi":{"some":{"avg10":1.5,"avg60":0.01,"avg300":0,"total":12},"full":{"avg10":0,"avg60":0,"avg300":0,"total":3}}`
	got := string(s.AppendJSON(nil))
	for _, want := range []string{
		`"usage":{"total":10000,"kernel":4000,"user":6000},"throttling":{"periods":1,"throttledPeriods":1,"throttledTime":2000},` + p,
		`"memory":{"cache":50,"usage":{"limit":100,"usage":60,"max":70,"failcnt":0},"swap":{"limit":18446744073709551615,"usage":65,"failcnt":0}`,
		`"raw":{"anon":1,"file":50},` + p,
		`"pids":{"current":2,"limit":9}`,
		`"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2}]`,
		`"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4}]`,
		`"hugetlb":{"2MB":{"usage":1,"failcnt":4}}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nis not in %s", want, got)
		}
	}
}

// TestStatsHybrid: what a v1 hierarchy counts is not taken from the v2 group beside it.
func TestStatsHybrid(t *testing.T) {
	root := t.TempDir()
	files(t, root+"/cpuacct", map[string]string{"cpuacct.usage": "1001\n"})
	files(t, root+"/v2", map[string]string{
		"cpu.stat": "usage_usec 999\n", "memory.stat": "file 50\n", "memory.current": "60\n", "memory.max": "100\n", "cpu.pressure": "some avg10=1 total=1\n",
	})
	g := &Group{host: &Host{}, dirs: []groupDir{{controllers: []string{"cpuacct"}, path: root + "/cpuacct"}, {v2: true, path: root + "/v2"}}}
	s, err := g.Stats()
	if err != nil || s.CPU.Usage.Total != 1001 || s.Memory.Usage.Usage != 60 || s.CPU.PSI != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStatsEmpty(t *testing.T) {
	s := &Stats{IntelRdt: []byte(`{"l3_cache_schema":"x"}`), NetworkInterfaces: []byte(`[]`)}
	got := string(s.AppendJSON([]byte("x")))
	if !strings.HasPrefix(got, `x{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},`) ||
		!strings.HasSuffix(got, `"intel_rdt":{"l3_cache_schema":"x"},"network_interfaces":[]}`) {
		t.Error(got)
	}
	s.Memory.Raw = []RawStat{{"a\"\\\x01é\xff", 1}}
	var m struct {
		Memory struct{ Raw map[string]uint64 }
	}
	if err := json.Unmarshal(s.AppendJSON(nil), &m); err != nil || m.Memory.Raw["a\"\\\x01é\uFFFD"] != 1 {
		t.Errorf("%v %v", m, err)
	}
}

func TestOOMKillCount(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
	write(t, dir+"/memory.events", "low 0\nhigh 0\nmax 8\noom 2\noom_kill 4\noom_group_kill 0\n")
	for want, d := range map[uint64]groupDir{3: {controllers: []string{"memory"}, path: dir}, 4: {v2: true, path: dir}, 0: {v2: true, path: dir + "/absent"}} {
		g := &Group{host: &Host{}, dirs: []groupDir{d}}
		if n, err := g.OOMKillCount(); n != want || err != nil {
			t.Errorf("got %d, %v, want %d", n, err, want)
		}
	}
}

func TestParseUint(t *testing.T) {
	for s, want := range map[string]uint64{"5\n": 5, "max\n": 1<<64 - 1, "-1": 0, "-99999999999999999999": 0, "18446744073709551615": 1<<64 - 1} {
		if got, err := parseUint(s); got != want || err != nil {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-", "x", "1 2", "18446744073709551616"} {
		if n, err := parseUint(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}
