package systemd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/cgroup/systemd/dbus"
)

func ptr[T any](v T) *T { return &v }

// text prints a value as GVariant text would, roughly.
func text(v dbus.Value) string {
	switch s := v.Signature(); s {
	case "s", "o":
		return "'" + v.Str() + "'"
	case "b":
		return fmt.Sprint(v.Uint() == 1)
	case "d":
		return fmt.Sprint(v.Float())
	case "t":
		if v.Uint() == infinity {
			return "∞"
		}
		fallthrough
	case "y", "q", "u":
		return fmt.Sprint(v.Uint())
	case "n", "i", "x":
		return fmt.Sprint(int64(v.Uint()))
	default:
		var l []string
		for _, e := range v.List() {
			l = append(l, text(e))
		}
		return s[:1] + "[" + strings.Join(l, " ") + "]"
	}
}

func show(list []Property) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Name+"="+text(p.Value))
	}
	return strings.Join(out, " ")
}

func TestParseUnit(t *testing.T) {
	for _, c := range []struct {
		path     string
		rootless bool
		want     string // slice, name, directory of the slice; "!" an error
	}{
		{"", false, "system.slice runc-id.scope /system.slice"},
		{"", true, "user.slice runc-id.scope /user.slice"},
		{"system.slice:docker:abc", false, "system.slice docker-abc.scope /system.slice"},
		{":docker:abc", false, "system.slice docker-abc.scope /system.slice"},
		{":docker:abc", true, "user.slice docker-abc.scope /user.slice"},
		{"kube-pods-x.slice:cri:a_b", false, "kube-pods-x.slice cri-a_b.scope /kube.slice/kube-pods.slice/kube-pods-x.slice"},
		{"-.slice:p:n", false, "-.slice p-n.scope /"},
		{"a.slice:ignored:b.slice", false, "a.slice b.slice /a.slice"},
		{"/docker/abc", false, "!"}, {"a:b", false, "!"}, {"a.slice:b:c:d", false, "!"},
		{"nope:b:c", false, "!"}, {".slice:b:c", false, "!"}, {"a--b.slice:b:c", false, "!"}, {"-a.slice:b:c", false, "!"}, {"a/b.slice:b:c", false, "!"},
		{"a.slice:b:c/../d", false, "!"}, {"a.slice:b:" + strings.Repeat("x", 250), false, "!"}, {"a.slice:b:c d", false, "!"}, {"a.slice:b:c\n", false, "!"},
		{"a.slice::.slice", false, "!"},
	} {
		u, err := ParseUnit(c.path, "id", c.rootless)
		got := "!"
		if err == nil {
			dir, _ := ExpandSlice(u.Slice)
			got = u.Slice + " " + u.Name + " " + dir
		}
		if got != c.want {
			t.Errorf("%q: %s (%v), want %s", c.path, got, err, c.want)
		}
	}
}

func TestUnitProperties(t *testing.T) {
	scope, slice := Unit{Name: "r-x.scope", Slice: "a.slice", ID: "x"}, Unit{Name: "x.slice", Slice: "a.slice", ID: "x"}
	for _, c := range []struct {
		got  []Property
		want string
	}{
		{unitProperties(scope, 5, true, nil), "Description='container x' Slice='a.slice' Delegate=true PIDs=a[5] MemoryAccounting=true CPUAccounting=true IOAccounting=true TasksAccounting=true DefaultDependencies=false"},
		{unitProperties(scope, 5, false, nil), "Description='container x' Slice='a.slice' Delegate=true PIDs=a[5] MemoryAccounting=true CPUAccounting=true BlockIOAccounting=true TasksAccounting=true DefaultDependencies=false"},
		{unitProperties(slice, 0, true, &specs.LinuxResources{Unified: map[string]string{"memory.oom.group": "1\n"}}),
			"Description='container x' Wants=a['a.slice'] MemoryAccounting=true CPUAccounting=true IOAccounting=true TasksAccounting=true DefaultDependencies=false OOMPolicy='kill'"},
	} {
		if got := show(c.got); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestResourceProperties(t *testing.T) {
	mem := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	uni := func(k, v string) specs.LinuxResources {
		return specs.LinuxResources{Unified: map[string]string{k: v}}
	}
	i, u := ptr[int64], ptr[uint64]
	for _, c := range []struct {
		r       specs.LinuxResources
		version int
		v1, v2  string
	}{
		{specs.LinuxResources{}, 252, "", ""},
		{mem(specs.LinuxMemory{Limit: i(100), Swap: i(150), Reservation: i(50)}), 252, "MemoryLimit=100", "MemoryMax=100 MemoryLow=50 MemorySwapMax=50"},
		{mem(specs.LinuxMemory{Limit: i(-1)}), 252, "MemoryLimit=∞", "MemoryMax=∞ MemorySwapMax=∞"},
		{mem(specs.LinuxMemory{Limit: i(100), Swap: i(-1)}), 252, "MemoryLimit=100", "MemoryMax=100 MemorySwapMax=∞"},
		{mem(specs.LinuxMemory{Limit: i(100), Swap: i(100)}), 252, "MemoryLimit=100", "MemoryMax=100 MemorySwapMax=0"},
		{cpu(specs.LinuxCPU{Shares: u(1024)}), 252, "CPUShares=1024", "CPUWeight=100"},
		{cpu(specs.LinuxCPU{Quota: i(50000), Period: u(100000)}), 252, "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000", "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=500000"},
		{cpu(specs.LinuxCPU{Quota: i(50000), Period: u(100000)}), 241, "CPUQuotaPerSecUSec=500000", "CPUQuotaPerSecUSec=500000"},
		{cpu(specs.LinuxCPU{Quota: i(12345)}), 252, "CPUQuotaPerSecUSec=130000", "CPUQuotaPerSecUSec=130000"}, // rounded up to a percent
		{cpu(specs.LinuxCPU{Quota: i(-1)}), 252, "CPUQuotaPerSecUSec=∞", "CPUQuotaPerSecUSec=∞"},
		{cpu(specs.LinuxCPU{Cpus: "0-2,9", Mems: "0"}), 252, "AllowedCPUs=a[7 2] AllowedMemoryNodes=a[1]", "AllowedCPUs=a[7 2] AllowedMemoryNodes=a[1]"},
		{cpu(specs.LinuxCPU{Cpus: "0-2,9"}), 243, "", ""},
		{cpu(specs.LinuxCPU{Cpus: "0-4294967295"}), 252, "!", "!"},
		{cpu(specs.LinuxCPU{Idle: i(1), Shares: u(1024)}), 252, "CPUShares=1024", "CPUWeight=0"},
		{cpu(specs.LinuxCPU{Idle: i(1), Shares: u(1024)}), 251, "CPUShares=1024", "CPUWeight=100"},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(5)}}, 252, "TasksMax=5", "TasksMax=5"},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: i(0)}}, 252, "TasksMax=∞", "TasksMax=∞"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(20))}}, 252, "BlockIOWeight=20", ""},
		{uni("cpu.max", "max 20000"), 252, "", "CPUQuotaPeriodUSec=20000 CPUQuotaPerSecUSec=∞"},
		{uni("cpu.max", "1000"), 252, "", "CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=10000"},
		{uni("cpu.max", "a b c"), 252, "", "!"},
		{uni("cpu.max", "1 0"), 252, "", "!"},
		{uni("memory.high", " max\n"), 252, "", "MemoryHigh=∞"},
		{uni("memory.min", "5"), 252, "", "MemoryMin=5"},
		{uni("pids.max", "x"), 252, "", "!"},
		{uni("misc.max", "x"), 252, "", ""},
		{specs.LinuxResources{Unified: map[string]string{"cpu.idle": "1", "cpu.weight": "50"}}, 252, "", "CPUWeight=0"},
		{specs.LinuxResources{Unified: map[string]string{"cpu.idle": "1", "cpu.weight": "50"}}, 240, "", "CPUWeight=50"},
	} {
		for _, v2 := range []bool{false, true} {
			want := c.v1
			if v2 {
				want = c.v2
			}
			list, err := resourceProperties(&c.r, v2, false, c.version)
			got := show(list)
			if err != nil {
				got = "!"
			}
			if got != want {
				t.Errorf("v2 %v:\ngot  %s (%v)\nwant %s", v2, got, err, want)
			}
		}
	}
}

func TestDeviceProperties(t *testing.T) {
	rule := func(allow bool, kind string, major, minor *int64, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: major, Minor: minor, Access: access}
	}
	for _, c := range []struct {
		rules   []specs.LinuxDeviceCgroup
		version int
		want    string
	}{
		{[]specs.LinuxDeviceCgroup{rule(true, "a", nil, nil, "rwm")}, 252, "DevicePolicy='auto' DeviceAllow=a[]"},
		{[]specs.LinuxDeviceCgroup{rule(true, "a", nil, nil, "rwm"), rule(false, "c", ptr(int64(1)), ptr(int64(1)), "w")}, 252, "DevicePolicy='strict' DeviceAllow=a[]"},
		{[]specs.LinuxDeviceCgroup{rule(true, "c", ptr(int64(9)), ptr(int64(4)), "rw"), rule(true, "b", nil, ptr(int64(3)), "r")}, 252,
			"DevicePolicy='strict' DeviceAllow=a[] DeviceAllow=a[(['block-*' 'm'] (['char-*' 'm'] (['/dev/char/1:3' 'rwm'] (['/dev/char/1:5' 'rwm'] (['/dev/char/1:7' 'rwm'] " +
				"(['/dev/char/1:8' 'rwm'] (['/dev/char/1:9' 'rwm'] (['/dev/char/5:0' 'rwm'] (['/dev/char/5:2' 'rwm'] (['/dev/char/9:4' 'rw'] (['/dev/char/10:200' 'rwm'] (['char-136' 'rwm']]"},
		{nil, 239, "DevicePolicy='strict' DeviceAllow=a[] DeviceAllow=a[(['block-*' 'm'] (['char-*' 'm'] (['/dev/char/1:3' 'rwm'] (['/dev/char/1:5' 'rwm'] (['/dev/char/1:7' 'rwm'] " +
			"(['/dev/char/1:8' 'rwm'] (['/dev/char/1:9' 'rwm'] (['/dev/char/5:0' 'rwm'] (['/dev/char/5:2' 'rwm'] (['/dev/char/10:200' 'rwm']]"},
	} {
		list, err := resourceProperties(&specs.LinuxResources{Devices: c.rules}, true, true, c.version)
		if got := show(list); err != nil || got != c.want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
		}
	}
}

func TestAnnotations(t *testing.T) {
	for in, want := range map[string]string{
		"TimeoutStopUSec=uint64 123": "TimeoutStopUSec=123",
		"TimeoutStopSec=5":           "TimeoutStopUSec=5000000",
		"TimeoutStopSec=1.5":         "TimeoutStopUSec=1500000",
		"TimeoutStopSec=-1":          "!", "TimeoutStopSec='x'": "!", "TimeoutStopSec=uint64 18446744073709551615": "!",
		"CollectMode='inactive-or-failed'":   "CollectMode='inactive-or-failed'",
		`Description="a\n\u00e9 \"x\" \\"`:   "Description='a\né \"x\" \\'",
		"Delegate=true":                      "Delegate=true",
		"Foo=[1, 2]":                         "Foo=a[1 2]",
		"Foo=@as []":                         "Foo=a[]",
		"Foo=@au [1, 2]":                     "Foo=a[1 2]",
		"Foo=[]":                             "!",
		"Foo=[1, 'a']":                       "!",
		"Foo=('a', uint32 5)":                "Foo=(['a' 5]",
		"Foo=[('a', 'b'), ('c', 'd')]":       "Foo=a[(['a' 'b'] (['c' 'd']]",
		"Foo=<int64 -7>":                     "Foo=v[-7]",
		"Foo=b'ab'":                          "Foo=a[97 98 0]",
		"Foo=byte 0x41":                      "Foo=65",
		"Foo=byte 256":                       "!",
		"Foo=uint16 -1":                      "!",
		"Foo=objectpath '/a/b_1'":            "Foo='/a/b_1'",
		"Foo=objectpath 'a'":                 "!",
		"Foo=5 6":                            "!",
		"Foo=":                               "!",
		"Foo='abc":                           "!",
		"Foo='\\u00'":                        "!",
		"Foo=nan":                            "!",
		"Foo=double nan":                     "!",
		"Foo={'a': 1}":                       "!",
		"Foo=@a{sv} []":                      "!",
		"Foo=" + strings.Repeat("<", 40):     "!",
		"Foo=" + strings.Repeat("[", 100000): "!",
		"X=1":                                "!",
		"Sec=1":                              "!",
		"Exec1=1":                            "!",
		"Foo Bar=1":                          "!",
	} {
		name, value, _ := strings.Cut(in, "=")
		list, err := Annotations(map[string]string{"org.systemd.property." + name: value, "other": "{"})
		got := show(list)
		if err != nil {
			got = "!"
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
				t.Errorf("%.60s: the error is %.600v", in, err)
			}
		}
		if got != want {
			t.Errorf("%.60s: %s (%v), want %s", in, got, err, want)
		}
	}
}

func FuzzAnnotation(f *testing.F) {
	for _, s := range []string{"uint64 5", "[1, 2]", "('a', <true>)", `"\u00e9"`, "b'x'", "@as []"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseVariant(s)
		if err != nil {
			return
		}
		m := dbus.Message{Kind: dbus.Signal, Serial: 1, Path: "/", Body: []dbus.Value{dbus.Variant(v)}}
		b, err := m.Encode()
		if err != nil {
			return // not UTF-8, or too large: refused when it is sent
		}
		if _, err := dbus.Decode(b); err != nil {
			t.Fatalf("%q became a message that cannot be read: %v", s, err)
		}
	})
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]int{"252.5-2~deb12u1": 252, "v245.4-1.fc32": 245, "256": 256} {
		if v, err := parseVersion(s); v != want || err != nil {
			t.Errorf("%q: %d, %v", s, v, err)
		}
	}
	if _, err := parseVersion("x"); err == nil {
		t.Error("x was taken")
	}
}

func TestUserBus(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == k {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	if a, err := userBus(env("XDG_RUNTIME_DIR", "/run/user/1000;x=")); a != "unix:path=/run/user/1000%3bx%3d/bus" || err != nil {
		t.Error(a, err)
	}
	if a, _ := userBus(env("XDG_RUNTIME_DIR", "/x", "DBUS_SESSION_BUS_ADDRESS", "unix:path=/y")); a != "unix:path=/y" {
		t.Error(a)
	}
	if _, err := userBus(env()); err == nil {
		t.Error("no address, no error")
	}
}

// unitLife is what both fakes must allow: start, limits, attach, stop.
func unitLife(t *testing.T, f *fakeManager, d *Driver) {
	u := Unit{Name: "t-x.scope", Slice: "system.slice", ID: "x"}
	r := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}
	extra, err := Annotations(map[string]string{"org.systemd.property.TimeoutStopSec": "3"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Version() != 252 {
		t.Errorf("version %d", d.Version())
	}
	if err := d.Start(u, 77, true, extra, r); err != nil {
		t.Fatal(err)
	}
	if p := f.units[u.Name]; text(p["PIDs"]) != "a[77]" || text(p["TimeoutStopUSec"]) != "3000000" {
		t.Errorf("unit has %v", p)
	}
	if err := d.Start(u, 77, true, nil, r); !isError(err, service+".UnitExists") {
		t.Errorf("start again: %v", err)
	}
	if err := d.Start(u, 0, true, nil, r); err != nil {
		t.Errorf("a unit without a process may exist: %v", err)
	}
	if err := d.Set(u, true, true, r); err != nil {
		t.Fatal(err)
	}
	if p := f.units[u.Name]; text(p["TasksMax"]) != "5" || text(p["DevicePolicy"]) != "'strict'" {
		t.Errorf("unit has %v", p)
	}
	delete(f.units[u.Name], "DevicePolicy")
	if err := d.Set(u, true, false, r); err != nil || f.units[u.Name]["DevicePolicy"].Signature() != "" {
		t.Errorf("an update touched the devices: %v", err)
	}
	if err := d.Attach(u, "/sub", 88); err != nil || !slices.Contains(f.log, "AttachProcessesToUnit/sub 88") {
		t.Errorf("attach: %v, %v", err, f.log)
	}
	if err := d.Stop(u); err != nil || len(f.units) != 0 {
		t.Errorf("stop: %v, %v", err, f.units)
	}
	if err := d.Stop(u); err != nil {
		t.Errorf("stop again: %v", err)
	}
	if err := d.Set(u, true, false, r); !isError(err, service+".NoSuchUnit") || !strings.Contains(err.Error(), u.Name) {
		t.Errorf("set after stop: %v", err)
	}
	// What is left of a failed unit is cleared away.
	f.failed = []string{u.Name}
	if err := d.Start(u, 5, true, nil, nil); err != nil {
		t.Errorf("start after a failure: %v", err)
	}
	if err := d.Stop(u); err != nil {
		t.Error(err)
	}
	f.jobResult = "failed"
	if err := d.Start(u, 5, true, nil, nil); err == nil || !strings.Contains(err.Error(), `"failed"`) || len(f.failed) != 0 {
		t.Errorf("a job that fails: %v, left %v", err, f.failed)
	}
	f.jobResult = "done"
	// systemd refuses what has another type.
	if err := d.Start(u, 5, true, []Property{{"TimeoutStopUSec", dbus.String("x")}}, nil); err == nil {
		t.Error("a property of the wrong type was taken")
	}
}

func TestUnitLife(t *testing.T) {
	f := newFake(t)
	unitLife(t, f, f.open(f.listen(), false))
}

func TestRootUnitLifeOnDaemon(t *testing.T) {
	f := newFake(t)
	unitLife(t, f, f.open(f.onDaemon(), true))
}

func TestOpenFails(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	if Running() {
		t.Skip("systemd runs here")
	}
	if _, err := Open(false); err == nil || !strings.Contains(err.Error(), "/nonexistent/bus") {
		t.Error(err)
	}
}

func TestGroupPaths(t *testing.T) {
	f := newFake(t)
	h := &cgroup.Host{Hierarchies: []cgroup.Hierarchy{{V2: true, Mount: "/cg"}}}
	u := Unit{Name: "r-x.scope", Slice: "a-b.slice"}
	d := f.open(f.listen(), false)
	g, err := d.Group(h, u, cgroup.Config{ID: "x"})
	if err != nil || g.Paths()[""] != "/cg/a.slice/a-b.slice/r-x.scope" {
		t.Errorf("%v, %v", g.Paths(), err)
	}
	g, err = d.Group(h, Unit{Name: "a-c.slice", Slice: "a.slice"}, cgroup.Config{ID: "x"})
	if err != nil || g.Paths()[""] != "/cg/a.slice/a-c.slice" {
		t.Errorf("%v, %v", g.Paths(), err)
	}
	user := f.open(f.listen(), true)
	g, err = user.Group(h, Unit{Name: "r-x.scope", Slice: "user.slice"}, cgroup.Config{ID: "x", Rootless: true})
	if err != nil || g.Paths()[""] != "/cg/user.slice/user-1000.slice/user@1000.service/user.slice/r-x.scope" {
		t.Errorf("%v, %v", g.Paths(), err)
	}
	h.Hierarchies = append(h.Hierarchies, cgroup.Hierarchy{Controllers: []string{"devices"}, Mount: "/cg/devices"})
	if _, err := user.Group(h, u, cgroup.Config{}); err == nil {
		t.Error("a user's systemd on v1 was taken")
	}
	g, err = d.Group(h, u, cgroup.Config{ID: "x"})
	if want := map[string]string{"": "/cg/a.slice/a-b.slice/r-x.scope", "devices": "/cg/devices/a.slice/a-b.slice/r-x.scope"}; err != nil || !maps.Equal(g.Paths(), want) {
		t.Errorf("%v, %v", g.Paths(), err)
	}
}
