package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestRootMemoryOOM(t *testing.T) {
	limit := int64(48 << 20)
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	g := newGroup(t, r)
	if s, err := g.Stats(); err != nil || s.Memory.Usage.Limit != uint64(limit) || s.Memory.Swap.Limit != uint64(limit) {
		t.Fatalf("limits are %+v, %v", s, err)
	}
	done := make(chan struct{})
	events, err := g.OOM(done)
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	c := start(t, g, []string{"HULL_CGROUP_PART=alloc"}, self)
	select {
	case _, ok := <-events:
		if !ok {
			t.Fatal("the channel was closed without an event")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no out-of-memory event")
	}
	if code := c.exit(t); code != -int(unix.SIGKILL) {
		t.Errorf("the process ended with %d", code)
	}
	if n, err := g.OOMKillCount(); n == 0 || err != nil {
		t.Errorf("OOMKillCount is %d, %v", n, err)
	}
	close(done)
	for range events { // must end
	}
}

func TestRootOOMChannelEndsWithGroup(t *testing.T) {
	g := newGroup(t, nil)
	events, err := g.OOM(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(); err != nil {
		t.Fatal(err)
	}
	select {
	case _, ok := <-events:
		if ok {
			t.Error("an event came for a group that was removed")
		}
	case <-time.After(5 * time.Second):
		t.Error("the channel is open although the group is gone")
	}
}

// TestRootMemoryGrowShrink: at each step the kernel wants limit ≤ memory+swap.
func TestRootMemoryGrowShrink(t *testing.T) {
	g := newGroup(t, nil)
	needV1(t, g, "memory")
	live := &Group{host: g.host, dirs: g.dirs} // as Load gives it
	for _, c := range []struct{ limit, swap, wantLimit, wantSwap int64 }{
		{64 << 20, 64 << 20, 64 << 20, 64 << 20},
		{256 << 20, 512 << 20, 256 << 20, 512 << 20}, // grows beyond the present sum
		{32 << 20, 48 << 20, 32 << 20, 48 << 20},     // and back
		{128 << 20, -1, 128 << 20, 0},
		{32 << 20, 32 << 20, 32 << 20, 32 << 20},
		{-1, 0, 0, 0}, // unlimited takes the sum along
	} {
		err := live.Apply(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &c.limit, Swap: &c.swap}})
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		s, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, got uint64, want int64) {
			if want == 0 && got < 1<<62 || want != 0 && got != uint64(want) {
				t.Errorf("%+v: %s is %d", c, name, got)
			}
		}
		check("limit", s.Memory.Usage.Limit, c.wantLimit)
		check("memory+swap", s.Memory.Swap.Limit, c.wantSwap)
	}
}

func TestRootPidsLimit(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(2))}})
	c := start(t, g, nil, "/bin/sh", "-c", "sleep 5 & sleep 5 & sleep 5 & wait")
	if code := c.exit(t); code == 0 {
		t.Error("four processes ran with a limit of two")
	}
	live, err := Load(g.host, g.Paths())
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Apply(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(50))}}); err != nil {
		t.Fatal(err)
	}
	if s, err := g.Stats(); err != nil || s.Pids.Limit != 50 {
		t.Errorf("after the update: %+v, %v", s, err)
	}
	c = start(t, g, nil, "/bin/sh", "-c", "sleep 0.01 & sleep 0.01 & sleep 0.01 & wait; exit 7")
	if code := c.exit(t); code != 7 {
		t.Errorf("with the limit lifted it ended with %d", code)
	}
}

func TestRootCPUQuota(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{
		Quota: ptr(int64(2000)), Period: ptr(uint64(20000)), Burst: ptr(uint64(1000)), Shares: ptr(uint64(500)),
	}})
	if d := g.one("cpu"); d != nil {
		for file, want := range map[string]string{"cpu.shares": "500\n", "cpu.cfs_quota_us": "2000\n", "cpu.cfs_period_us": "20000\n", "cpu.cfs_burst_us": "1000\n"} {
			if got := content(t, d.path+"/"+file); got != want {
				t.Errorf("%s is %q", file, got)
			}
		}
	}
	start(t, g, nil, "/bin/sh", "-c", "while :; do :; done")
	eventually(t, "throttling", func() bool {
		s, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		return s.CPU.Throttling.ThrottledPeriods > 2 && s.CPU.Throttling.ThrottledTime > 0 && s.CPU.Usage.Total > 0
	})
	// A period that does not fit the old quota is set after the new one.
	live, _ := Load(g.host, g.Paths())
	if err := live.Apply(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1)), Period: ptr(uint64(100000))}}); err != nil {
		t.Error(err)
	}
}

// TestRootCPUPeriodBelowParent: the parent allows half a CPU, the child goes from 10/20 ms to
// 2/4 ms. Written first, the new period alone would be more than the parent has.
func TestRootCPUPeriodBelowParent(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(10000)), Period: ptr(uint64(20000))}})
	dir := needV1(t, g, "cpu") + "/sub"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, q := range []int64{10000, 2000} {
		c := &specs.LinuxCPU{Quota: &q, Period: ptr(uint64(2 * q))}
		if err := setCPUV1(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, dir+"/cpu.cfs_period_us"); got != "4000\n" {
		t.Errorf("the period is %q", got)
	}
}

func TestRootCpuset(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "1", Mems: "0"}})
	c := start(t, g, nil, "/bin/sleep", "60")
	status := content(t, "/proc/"+strconv.Itoa(c.Process.Pid)+"/status")
	if !strings.Contains(status, "Cpus_allowed_list:\t1\n") {
		t.Errorf("the process may use other CPUs: %s", status[strings.Index(status, "Cpus_allowed"):])
	}
	live, _ := Load(g.host, g.Paths())
	if err := live.Apply(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-1"}}); err != nil {
		t.Error(err)
	}
	err := live.Apply(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "8000"}})
	var le *LimitError
	if !errors.As(err, &le) || le.Field != "cpu.cpus" || !strings.Contains(err.Error(), "the parent has") {
		t.Errorf("CPU 8000: %v", err)
	}
}

// TestRootDevices opens a node that the rules do not list, and some that they do.
func TestRootDevices(t *testing.T) {
	g := newGroup(t, &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{rule("-a"), rule("+c 1:11 r")}})
	testDevices(t, g.JoinFiles())
	if d := g.one("devices"); d != nil {
		want := "b *:* m\nc *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 1:11 r\nc 5:0 rwm\nc 5:2 rwm\nc 10:200 rwm\nc 136:* rwm\n"
		if got := content(t, d.path+"/devices.list"); got != want {
			t.Errorf("devices.list:\n%s", got)
		}
	}
}

func testDevices(t *testing.T, join []string) {
	t.Helper()
	dir := t.TempDir()
	node := func(name string, maj, mnr uint32) string {
		p := filepath.Join(dir, name)
		if err := unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(maj, mnr))); err != nil {
			t.Skip("cannot make device nodes here: ", err)
		}
		f, err := os.OpenFile(p, os.O_RDWR, 0) // the file system must not be nodev
		if err != nil {
			t.Skip("cannot use device nodes here: ", err)
		}
		f.Close()
		return p
	}
	null, kmsg, fuse := node("null", 1, 3), node("kmsg", 1, 11), node("fuse", 10, 229)
	for _, c := range []struct {
		script string
		ok     bool
	}{
		{": <" + null, true}, {": >" + null, true},
		{": <" + kmsg, true}, {": >" + kmsg, false}, {": <>" + kmsg, false},
		{": <" + fuse, false},
		{"mknod " + dir + "/new c 10 229", true},
	} {
		p := startIn(t, join, nil, "/bin/sh", "-c", "exec 2>/dev/null; "+c.script)
		if code := p.exit(t); (code == 0) != c.ok {
			t.Errorf("%q ended with %d", c.script, code)
		}
	}
}

func TestRootDevicesV2(t *testing.T) {
	g := newGroup(t, nil)
	two := g.two()
	if two == nil {
		t.Skip("this host has no cgroup v2 mount")
	}
	rules := func(list ...specs.LinuxDeviceCgroup) policy {
		return mustPolicy(t, append(list, DefaultDevices()...)...)
	}
	if err := setDevicesV2(two.path, rules(rule("-a"))); err != nil {
		t.Fatal(err)
	}
	// Again: the second replaces the first, otherwise both would have to agree.
	if err := setDevicesV2(two.path, rules(rule("-a"), rule("+c 1:11 r"))); err != nil {
		t.Fatal(err)
	}
	fd, err := open(two.path, unix.O_DIRECTORY|unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if ids, err := attached(fd); len(ids) != 1 || err != nil {
		t.Errorf("attached programs: %v, %v", ids, err)
	}
	testDevices(t, []string{two.path + "/cgroup.procs"})
	// Several programs, as another manager may have left, become one.
	extra, err := loadProgram(compile(rules(rule("-a"))))
	if err != nil {
		t.Fatal(err)
	}
	attr := bpfAttachAttr{targetFD: uint32(fd), progFD: uint32(extra), attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	unix.Close(extra)
	if err != nil {
		t.Fatal(err)
	}
	if err := setDevicesV2(two.path, rules(rule("-a"), rule("+c 1:11 r"))); err != nil {
		t.Fatal(err)
	}
	if ids, err := attached(fd); len(ids) != 1 || err != nil {
		t.Errorf("attached programs: %v, %v", ids, err)
	}
	// A long list must pass the verifier.
	var many []specs.LinuxDeviceCgroup
	for i := range int64(4000) {
		many = append(many, specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: ptr(i), Minor: ptr(i), Access: "rw"})
	}
	if err := setDevicesV2(two.path, rules(many...)); err != nil {
		t.Error(err)
	}
	if err := setDevicesV2(two.path, rules(rule("+a"), rule("-c 1:11 w"))); err != nil {
		t.Error(err)
	}
}

// TestRootHugetlb uses the controller where it is: on this kind of host on the v2 mount of a
// hybrid layout, where it has to be enabled down the path first.
func TestRootHugetlb(t *testing.T) {
	g := newGroup(t, nil)
	has, _ := g.host.V2Controllers()
	if !strings.Contains(strings.Join(has, " "), "hugetlb") && g.one("hugetlb") == nil {
		t.Skip("this host has no hugetlb controller")
	}
	restoreSubtree(t, g)
	r := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}
	if err := g.Apply(r); err != nil {
		t.Fatal(err)
	}
	if two := g.two(); g.one("hugetlb") == nil {
		for _, f := range []string{"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"} {
			if got := content(t, two.path+"/"+f); got != "4194304\n" {
				t.Errorf("%s is %q", f, got)
			}
		}
	}
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Hugetlb) == 0 || s.Hugetlb[len(s.Hugetlb)-1].Size != "2MB" {
		t.Errorf("stats: %+v", s.Hugetlb)
	}
	r.HugepageLimits[0].Pagesize = "3MB"
	var le *LimitError
	if err := g.Apply(r); !errors.As(err, &le) || !strings.Contains(err.Error(), "hugetlb.3MB") {
		t.Errorf("a page size that this machine does not have: %v", err)
	}
}

// restoreSubtree takes back, at the end, what a test enables in the root of the v2 mount.
func restoreSubtree(t *testing.T, g *Group) {
	two := g.two()
	if two == nil {
		return
	}
	before := content(t, two.mount+"/cgroup.subtree_control")
	t.Cleanup(func() {
		(&Group{host: g.host, dirs: []groupDir{*two}}).Kill(unix.SIGKILL)
		removeTree(two.path, time.Now().Add(time.Second))
		for _, c := range strings.Fields(content(t, two.mount+"/cgroup.subtree_control")) {
			if strings.Contains(before, c) {
				continue
			}
			// Busy while another run of these tests uses it below.
			err := writeFile(two.mount, "cgroup.subtree_control", "-"+c)
			for end := time.Now().Add(3 * time.Second); errors.Is(err, unix.EBUSY) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				err = writeFile(two.mount, "cgroup.subtree_control", "-"+c)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRootMissingController(t *testing.T) {
	g := newGroup(t, nil)
	if g.one("rdma") != nil {
		t.Skip("this host has rdma")
	}
	err := g.Apply(&specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: ptr(uint32(1))}}})
	if err == nil || !strings.Contains(err.Error(), "linux.resources.rdma") {
		t.Errorf("got %v", err)
	}
}

func TestRootDocker(t *testing.T) {
	g := newGroup(t, dockerResources())
	if len(g.Warnings()) != 0 {
		t.Error(g.Warnings())
	}
	s, err := g.Stats()
	if err != nil || s.Memory.Usage.Limit != 256<<20 || s.Memory.Swap.Limit != 512<<20 || s.Pids.Limit != 100 {
		t.Errorf("%+v, %v", s, err)
	}
}
