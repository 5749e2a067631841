package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// contents are the limit files of a group.
func contents(g *Group, r *specs.LinuxResources) map[string]string {
	m := map[string]string{}
	for _, f := range g.snapshot(r) {
		m[f.dir+"/"+f.file] = f.text
		if strings.HasPrefix(f.file, "hugetlb.") {
			m[f.dir+"/"+f.file] = strings.Replace(f.text, "9223372036854771712", "max", 1) // the same to the kernel
		}
	}
	return m
}

// TestRootUpdateIsAllOrNothing: on a hybrid host "unified" is refused, after all other limits
// have been set.
func TestRootUpdateIsAllOrNothing(t *testing.T) {
	g := newGroup(t, nil)
	needV1(t, g, "memory")
	needV1(t, g, "cpu")
	first := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
	}
	if err := g.Apply(first); err != nil {
		t.Fatal(err)
	}
	second := &specs.LinuxResources{
		// Both above the old sum: they must be set, and taken back, in the right order.
		Memory:         &specs.LinuxMemory{Limit: ptr(int64(128 << 20)), Swap: ptr(int64(256 << 20)), Reservation: ptr(int64(32 << 20)), DisableOOMKiller: ptr(true), Swappiness: ptr(uint64(7))},
		CPU:            &specs.LinuxCPU{Quota: ptr(int64(9000)), Period: ptr(uint64(20000)), Shares: ptr(uint64(300)), Burst: ptr(uint64(1000)), Cpus: "0"},
		Pids:           &specs.LinuxPids{Limit: ptr(int64(44))},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}},
		Unified:        map[string]string{"memory.high": "1"},
	}
	devices, _ := filepath.Glob("/sys/block/*/dev")
	if d := g.one("blkio"); d != nil && len(devices) > 0 {
		number, err := os.ReadFile(devices[0])
		if err != nil {
			t.Fatal(err)
		}
		major, minor, _ := strings.Cut(strings.TrimSpace(string(number)), ":")
		dev := specs.LinuxThrottleDevice{Rate: 1 << 20}
		dev.Major, dev.Minor = int64(atoi(t, major)), int64(atoi(t, minor))
		second.BlockIO = &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{dev}}
	}
	loaded, err := Load(g.host, g.Paths())
	if err != nil {
		t.Fatal(err)
	}
	before := contents(loaded, second)
	// Without the refused part it goes in.
	good := *second
	good.Unified = nil
	if err := loaded.Update(&good); err != nil {
		t.Fatal(err)
	}
	after := contents(loaded, second)
	changed := 0
	for f := range before {
		if before[f] != after[f] {
			changed++
		}
	}
	if changed < 10 {
		t.Fatalf("only %d files changed: the test shows little", changed)
	}
	if err := loaded.snapshotFrom(before, second).restore(); err != nil {
		t.Fatal(err)
	}
	// On the way back from smaller limits the old limit is above the new sum, and has to wait.
	smaller := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(16 << 20)), Swap: ptr(int64(20 << 20))}, Unified: second.Unified}
	for _, r := range []*specs.LinuxResources{second, smaller} {
		if err := loaded.Update(r); err == nil || !strings.Contains(err.Error(), "unified") || strings.Contains(err.Error(), "cannot be set back") {
			t.Errorf("an update that cannot be: %v", err)
		}
		now := contents(loaded, second)
		for f := range before {
			if now[f] != before[f] {
				t.Errorf("%s is %q, was %q", f, now[f], before[f])
			}
		}
	}
}

// snapshotFrom is the snapshot of earlier contents.
func (g *Group) snapshotFrom(m map[string]string, r *specs.LinuxResources) snapshot {
	var s snapshot
	for _, f := range g.snapshot(r) {
		if old, ok := m[f.dir+"/"+f.file]; ok {
			s = append(s, saved{f.dir, f.file, old})
		}
	}
	return s
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
