package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func dev(maj, mnr int64, rate uint64) specs.LinuxThrottleDevice {
	return specs.LinuxThrottleDevice{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: maj, Minor: mnr}, Rate: rate}
}

// TestApplyFiles sets one field and looks which files were written: "file=content", sorted.
// The directory holds the files named in have.
func TestApplyFiles(t *testing.T) {
	mem := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	bio := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	i := ptr[int64]
	u := ptr[uint64]
	w := ptr[uint16]
	for _, c := range []struct {
		name string
		r    specs.LinuxResources
		have string
		v1   string // what a v1 host gets; "!text" is an error that contains text
		v2   string
	}{
		{"nothing", specs.LinuxResources{}, "", "", ""},
		{"limit", mem(specs.LinuxMemory{Limit: i(1 << 20)}), "memory.limit_in_bytes memory.max",
			"memory.limit_in_bytes=1048576", "memory.max=1048576"},
		{"limit and swap", mem(specs.LinuxMemory{Limit: i(100), Swap: i(250)}), "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.max memory.swap.max",
			"memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=250", "memory.max=100 memory.swap.max=150"},
		{"no swap", mem(specs.LinuxMemory{Limit: i(100), Swap: i(100)}), "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.max memory.swap.max",
			"memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=100", "memory.max=100 memory.swap.max=0"},
		{"no swap, no accounting", mem(specs.LinuxMemory{Limit: i(100), Swap: i(100)}), "memory.limit_in_bytes memory.max",
			"!memory.memsw.limit_in_bytes", "memory.max=100"},
		{"some swap, no accounting", mem(specs.LinuxMemory{Limit: i(100), Swap: i(101)}), "memory.max", "!", "!linux.resources.memory.swap"},
		{"unlimited", mem(specs.LinuxMemory{Limit: i(-1)}), "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.max memory.swap.max",
			"memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1", "memory.max=max memory.swap.max=max"},
		{"unlimited, no accounting", mem(specs.LinuxMemory{Limit: i(-1)}), "memory.limit_in_bytes memory.max",
			"memory.limit_in_bytes=-1", "memory.max=max"},
		{"unlimited swap", mem(specs.LinuxMemory{Limit: i(100), Swap: i(-1)}), "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.max memory.swap.max",
			"memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=-1", "memory.max=100 memory.swap.max=max"},
		{"swap alone", mem(specs.LinuxMemory{Swap: i(100)}), "memory.memsw.limit_in_bytes memory.swap.max",
			"memory.memsw.limit_in_bytes=100", "!needs a memory limit"},
		{"reservation", mem(specs.LinuxMemory{Reservation: i(77)}), "memory.soft_limit_in_bytes memory.low",
			"memory.soft_limit_in_bytes=77", "memory.low=77"},
		{"no reservation", mem(specs.LinuxMemory{Reservation: i(-1)}), "memory.soft_limit_in_bytes memory.low",
			"memory.soft_limit_in_bytes=-1", "memory.low=max"},
		{"swappiness", mem(specs.LinuxMemory{Swappiness: u(60)}), "memory.swappiness", "memory.swappiness=60", "!memory.swappiness"},
		{"swappiness default", mem(specs.LinuxMemory{Swappiness: u(1<<64 - 1)}), "memory.swappiness", "", ""},
		{"oom", mem(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), "memory.oom_control", "memory.oom_control=1", "!memory.disableOOMKiller"},
		{"oom again", mem(specs.LinuxMemory{DisableOOMKiller: ptr(false), Limit: i(9)}), "memory.oom_control memory.max memory.limit_in_bytes",
			"memory.limit_in_bytes=9 memory.oom_control=0", "memory.max=9"},
		{"hierarchy", mem(specs.LinuxMemory{UseHierarchy: ptr(true)}), "memory.use_hierarchy", "memory.use_hierarchy=1", ""},
		{"kernel", mem(specs.LinuxMemory{Kernel: i(5), KernelTCP: i(6)}), "memory.kmem.limit_in_bytes", "", ""},
		{"zero is unset", mem(specs.LinuxMemory{Limit: i(0), Swap: i(0), Reservation: i(0)}), "memory.max memory.limit_in_bytes", "", ""},
		{"no file", mem(specs.LinuxMemory{Limit: i(5)}), "", "!linux.resources.memory.limit to \"5\": open ROOT/memory/c/memory.limit_in_bytes: no such file", "!ROOT/c/memory.max"},

		{"shares", cpu(specs.LinuxCPU{Shares: u(1024)}), "cpu.shares cpu.weight", "cpu.shares=1024", "cpu.weight=100"},
		{"shares 1", cpu(specs.LinuxCPU{Shares: u(1)}), "cpu.shares cpu.weight", "!minimum allowed cpu-shares is 2", "cpu.weight=1"},
		{"shares too many", cpu(specs.LinuxCPU{Shares: u(262145)}), "cpu.shares cpu.weight", "!maximum allowed cpu-shares is 262144", "cpu.weight=10000"},
		{"quota", cpu(specs.LinuxCPU{Quota: i(5000)}), "cpu.cfs_quota_us cpu.max", "cpu.cfs_quota_us=5000", "cpu.max=5000"},
		{"quota and period", cpu(specs.LinuxCPU{Quota: i(5000), Period: u(20000)}), "cpu.cfs_quota_us cpu.cfs_period_us cpu.max",
			"cpu.cfs_period_us=20000 cpu.cfs_quota_us=5000", "cpu.max=5000 20000"},
		{"period alone keeps the quota", cpu(specs.LinuxCPU{Period: u(20000)}), "cpu.cfs_period_us cpu.max:7000_10000",
			"cpu.cfs_period_us=20000", "cpu.max=7000 20000"},
		{"no quota", cpu(specs.LinuxCPU{Quota: i(-1)}), "cpu.cfs_quota_us cpu.max", "cpu.cfs_quota_us=-1", "cpu.max=max"},
		{"burst", cpu(specs.LinuxCPU{Burst: u(9)}), "cpu.cfs_burst_us cpu.max.burst", "cpu.cfs_burst_us=9", "cpu.max.burst=9"},
		{"rt", cpu(specs.LinuxCPU{RealtimePeriod: u(1000), RealtimeRuntime: i(500)}), "cpu.rt_period_us cpu.rt_runtime_us",
			"cpu.rt_period_us=1000 cpu.rt_runtime_us=500", "!cpu.realtimePeriod"},
		{"idle", cpu(specs.LinuxCPU{Idle: i(1)}), "cpu.idle", "cpu.idle=1", "cpu.idle=1"},
		{"cpuset", cpu(specs.LinuxCPU{Cpus: "0-1", Mems: "0"}), "cpuset.cpus cpuset.mems", "cpuset.cpus=0-1 cpuset.mems=0", "cpuset.cpus=0-1 cpuset.mems=0"},

		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(7)}}, "pids.max", "pids.max=7", "pids.max=7"},
		{"pids 0", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(0)}}, "pids.max", "pids.max=max", "pids.max=max"},
		{"pids -1", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(-1)}}, "pids.max", "pids.max=max", "pids.max=max"},
		{"pids unset", specs.LinuxResources{Pids: &specs.LinuxPids{}}, "pids.max", "", ""},

		{"weight cfq", bio(specs.LinuxBlockIO{Weight: w(500)}), "blkio.weight blkio.bfq.weight io.weight", "blkio.weight=500", "io.weight=4950"},
		{"weight bfq", bio(specs.LinuxBlockIO{Weight: w(500)}), "blkio.bfq.weight io.bfq.weight io.weight", "blkio.bfq.weight=500", "io.bfq.weight=500"},
		{"weight nowhere", bio(specs.LinuxBlockIO{Weight: w(500)}), "", "!blockIO.weight", "!blockIO.weight"},
		{"leaf weight", bio(specs.LinuxBlockIO{LeafWeight: w(10)}), "blkio.leaf_weight", "blkio.leaf_weight=10", "!blockIO.leafWeight"},
		{"weight of a device", bio(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{
			LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8, Minor: 1}, Weight: w(20)}}}),
			"blkio.weight_device io.bfq.weight", "blkio.weight_device=8:1 20", "io.bfq.weight=8:1 20"},
		{"throttle", bio(specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{dev(8, 0, 100)}}),
			"blkio.throttle.read_bps_device io.max", "blkio.throttle.read_bps_device=8:0 100", "io.max=8:0 rbps=100"},
		{"throttle off", bio(specs.LinuxBlockIO{ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{dev(8, 0, 0)}}),
			"blkio.throttle.write_iops_device io.max", "blkio.throttle.write_iops_device=8:0 0", "io.max=8:0 wiops=max"},

		{"huge pages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}}},
			"hugetlb.2MB.limit_in_bytes hugetlb.2MB.rsvd.limit_in_bytes hugetlb.2MB.max",
			"hugetlb.2MB.limit_in_bytes=4 hugetlb.2MB.rsvd.limit_in_bytes=4", "hugetlb.2MB.max=4"},
		{"huge page size of another machine", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "16GB", Limit: 4}}}, "",
			"!hugetlb.16GB.limit_in_bytes", "!hugetlb.16GB.max"},
		{"network", specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			"net_cls.classid net_prio.ifpriomap", "net_cls.classid=1048577 net_prio.ifpriomap=lo 3", ""},
		{"rdma", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(9))}}},
			"rdma.max", "rdma.max=mlx5_0 hca_handle=3 hca_object=9", "rdma.max=mlx5_0 hca_handle=3 hca_object=9"},
		{"unified", specs.LinuxResources{Unified: map[string]string{"memory.high": "5\n"}}, "memory.high", "!cgroup v2", "memory.high=5"},
		{"unified without controller", specs.LinuxResources{Unified: map[string]string{"misc.max": "5"}}, "cgroup.controllers:cpu_memory",
			"!", `!linux.resources.unified["misc.max"] to "5": controller "misc" is not available`},
	} {
		for _, v2 := range []bool{false, true} {
			want := c.v1
			if v2 {
				want = c.v2
			}
			root := t.TempDir()
			g := &Group{host: &Host{Hierarchies: []Hierarchy{{V2: true, Mount: root}}}}
			if v2 {
				g.dirs = []groupDir{{v2: true, mount: root, path: root + "/c"}}
			} else {
				for _, d := range []string{"memory", "cpu", "cpuset", "pids", "blkio", "hugetlb", "net_cls", "net_prio", "rdma"} {
					g.dirs = append(g.dirs, groupDir{controllers: []string{d}, mount: root + "/" + d, path: root + "/" + d + "/c"})
				}
			}
			var before []string
			for _, d := range g.dirs {
				mkdirs(t, d.path, "")
				for f := range strings.FieldsSeq(c.have) {
					name, text, _ := strings.Cut(f, ":")
					prefix, _, _ := strings.Cut(name, ".")
					if !v2 && !slices.Contains(d.controllers, prefix) {
						continue
					}
					text = strings.ReplaceAll(text, "_", " ")
					write(t, d.path+"/"+name, text)
					before = append(before, name+"="+text)
				}
			}
			err := g.Apply(&c.r)
			if text, ok := strings.CutPrefix(want, "!"); ok {
				var le *LimitError
				text = strings.ReplaceAll(text, "ROOT", root)
				if err == nil || !errors.As(err, &le) || !strings.Contains(err.Error(), text) {
					t.Errorf("%s (v2 %v): error %v, want one with %q", c.name, v2, err, text)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s (v2 %v): %v", c.name, v2, err)
				continue
			}
			var got []string
			for _, d := range g.dirs {
				files, _ := filepath.Glob(d.path + "/*")
				for _, f := range files {
					if e := filepath.Base(f) + "=" + content(t, f); !strings.HasSuffix(e, "=") && !slices.Contains(before, e) {
						got = append(got, e)
					}
				}
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s (v2 %v):\ngot  %s\nwant %s", c.name, v2, s, want)
			}
		}
	}
}

func TestMissingController(t *testing.T) {
	h, root := fakeHost(t, V1) // has no pids, blkio, …
	mkdirs(t, root, "cpu/c", "memory/c", "devices/c")
	g, _ := New(h, Config{Path: "/c"})
	for field, r := range map[string]*specs.LinuxResources{
		"pids.limit":         {Pids: &specs.LinuxPids{Limit: ptr(int64(5))}},
		"blockIO.weight":     {BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))}},
		"cpu.mems":           {CPU: &specs.LinuxCPU{Mems: "0"}},
		"hugepageLimits":     {HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}}},
		"network.classID":    {Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}},
		"network.priorities": {Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo"}}}},
		"rdma":               {Rdma: map[string]specs.LinuxRdma{"m": {}}},
		"unified":            {Unified: map[string]string{"a.b": ""}},
	} {
		var le *LimitError
		if err := g.Apply(r); !errors.As(err, &le) || le.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	// No limit asked for, none missed.
	if err := g.Apply(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}); err != nil {
		t.Error(err)
	}
}

func TestCheckBeforeUpdate(t *testing.T) {
	for _, v2 := range []bool{false, true} {
		dir := t.TempDir()
		usage, limit := "memory.usage_in_bytes", "memory.limit_in_bytes"
		if v2 {
			usage, limit = "memory.current", "memory.max"
		}
		write(t, dir+"/"+usage, "1000\n")
		write(t, dir+"/"+limit, "")
		m := &specs.LinuxMemory{Limit: ptr(int64(1000)), CheckBeforeUpdate: ptr(true)}
		apply := func() error {
			if v2 {
				return setMemoryV2(dir, m)
			}
			return setMemoryV1(dir, m, true)
		}
		if err := apply(); err == nil || content(t, dir+"/"+limit) != "" {
			t.Errorf("v2 %v: a limit below the usage was set (%v)", v2, err)
		}
		*m.Limit = 1001
		if err := apply(); err != nil {
			t.Error(err)
		}
	}
}

func TestValidate(t *testing.T) {
	i := ptr[int64]
	u := ptr[uint64]
	w := ptr[uint16]
	wide := specs.LinuxBlockIODevice{Major: 4096}
	for field, r := range map[string]*specs.LinuxResources{
		"memory.limit":                      {Memory: &specs.LinuxMemory{Limit: i(-2)}},
		"memory.reservation":                {Memory: &specs.LinuxMemory{Reservation: i(-1 << 63)}},
		"memory.swap":                       {Memory: &specs.LinuxMemory{Limit: i(10), Swap: i(9)}},
		"memory.kernel":                     {Memory: &specs.LinuxMemory{Kernel: i(-5)}},
		"memory.swappiness":                 {Memory: &specs.LinuxMemory{Swappiness: u(101)}},
		"cpu.quota":                         {CPU: &specs.LinuxCPU{Quota: i(999)}},
		"cpu.period":                        {CPU: &specs.LinuxCPU{Period: u(1000001)}},
		"cpu.burst":                         {CPU: &specs.LinuxCPU{Burst: u(1 << 60)}},
		"cpu.realtimePeriod":                {CPU: &specs.LinuxCPU{RealtimePeriod: u(1 << 40)}},
		"cpu.realtimeRuntime":               {CPU: &specs.LinuxCPU{RealtimeRuntime: i(-2)}},
		"cpu.idle":                          {CPU: &specs.LinuxCPU{Idle: i(2)}},
		"cpu.cpus":                          {CPU: &specs.LinuxCPU{Cpus: "0-4294967295"}},
		"cpu.mems":                          {CPU: &specs.LinuxCPU{Mems: "0,a"}},
		"blockIO.weight":                    {BlockIO: &specs.LinuxBlockIO{Weight: w(9)}},
		"blockIO.leafWeight":                {BlockIO: &specs.LinuxBlockIO{LeafWeight: w(1001)}},
		"blockIO.weightDevice[0]":           {BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: wide}}}},
		"blockIO.throttleReadIOPSDevice[0]": {BlockIO: &specs.LinuxBlockIO{ThrottleReadIOPSDevice: []specs.LinuxThrottleDevice{dev(-1, 0, 1)}}},
		"hugepageLimits[0].pageSize":        {HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB"}}},
		"network.priorities[0].name":        {Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo 5\neth0"}}}},
		"rdma":                              {Rdma: map[string]specs.LinuxRdma{"a b": {}}},
		`unified["a/b.c"]`:                  {Unified: map[string]string{"a/b.c": ""}},
		`unified[".."]`:                     {Unified: map[string]string{"..": ""}},
		`unified["memory"]`:                 {Unified: map[string]string{"memory": ""}},
		`unified["cgroup.procs"]`:           {Unified: map[string]string{"cgroup.procs": "1"}},
		`unified["cgroup.kill"]`:            {Unified: map[string]string{"cgroup.kill": "1"}},
		"devices[0].access":                 {Devices: []specs.LinuxDeviceCgroup{{Access: ""}}},
		"devices[0].type":                   {Devices: []specs.LinuxDeviceCgroup{{Type: "p", Access: "r"}}},
		"devices[0].major":                  {Devices: []specs.LinuxDeviceCgroup{{Type: "c", Access: "r", Major: i(-2)}}},
		"devices[0].minor":                  {Devices: []specs.LinuxDeviceCgroup{{Type: "c", Access: "r", Minor: i(1 << 32)}}},
		"devices":                           {Devices: make([]specs.LinuxDeviceCgroup, maxEntries+1)},
	} {
		err := Validate(r)
		var le *LimitError
		if !errors.As(err, &le) || le.Field != field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := Validate(dockerResources()); err != nil {
		t.Error(err)
	}
	if err := Validate(nil); err != nil {
		t.Error(err)
	}
}

func TestCheckList(t *testing.T) {
	for _, ok := range []string{"0", "0-3", "0,2,4-7", "0-31:2/4", "8191", "0-1\n"} {
		if err := checkList(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	start := time.Now()
	for _, bad := range []string{"", ",", "0-", "-1", "3-1", "8192", "0-4294967295", "99999999999999999999", "a", "0-3:2", "0:1/2", "0-3:5/4", "0--1", "+1",
		strings.Repeat("0,", 40000)} {
		if err := checkList(bad); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
	if d := time.Since(start); d > 10*time.Millisecond*10 {
		t.Errorf("took %v", d)
	}
}

func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{0: 0, 1: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("Weight(%d) = %d, want %d", shares, got, want)
		}
	}
	last := uint64(0)
	for s := uint64(2); s <= 262144; s++ {
		n := Weight(s)
		if n < last || n < 1 || n > 10000 {
			t.Fatalf("Weight(%d) = %d after %d", s, n, last)
		}
		last = n
	}
}

func TestIOWeight(t *testing.T) {
	for w, want := range map[uint16]uint64{1: 1, 10: 1, 500: 4950, 1000: 10000} {
		if got := ioWeight(w); got != want {
			t.Errorf("ioWeight(%d) = %d, want %d", w, got, want)
		}
	}
}

func TestFilesAreNeverCreatedNorFollowed(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(dir, "absent", "x"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("absent: %v", err)
	}
	write(t, dir+"/canary", "safe")
	if err := os.Symlink("canary", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(dir, "link", "x"); !errors.Is(err, unix.ELOOP) || content(t, dir+"/canary") != "safe" {
		t.Errorf("link: %v", err)
	}
	if _, err := readFile(dir, "link"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("read of a link: %v", err)
	}
}
