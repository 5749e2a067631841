package keel

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{"9": 9, "0": 0, "64": 64, "KILL": 9, "SIGKILL": 9, "sigterm": 15, "usr1": 10, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmax-1": 63, "RTMAX": 64} {
		if got, err := parseSignal(s); err != nil || got != want {
			t.Errorf("parseSignal(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"-1", "65", "NOPE", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN3", "RTMINx", "RTMIN+", "9x"} {
		if got, err := parseSignal(s); err == nil {
			t.Errorf("parseSignal(%q) = %d, want an error", s, got)
		}
	}
}

// TestParseID: what wraps to 0 in 32 bits, or reads as a sign, would make a user root
// (CVE-2024-40635).
func TestParseID(t *testing.T) {
	for s, want := range map[string]uint32{"0": 0, "1000": 1000, "4294967294": math.MaxUint32 - 1} {
		if got, err := parseID(s); err != nil || got != want {
			t.Errorf("parseID(%q) = %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "+1", " 1", "1 ", "root", "4294967295", "4294967296", "18446744073709551616", "0x0", "1_0"} {
		if got, err := parseID(s); err == nil {
			t.Errorf("parseID(%q) = %d, want an error", s, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{"-1": -1, "0": 0, "512": 512, "1k": 1 << 10, "512m": 512 << 20, "512MB": 512 << 20, "2 GiB": 2 << 30, "1.5g": 3 << 29, "1t": 1 << 40, "1p": 1 << 50,
		"10b": 10, "9223372036854775807": math.MaxInt64} {
		if got, err := parseBytes(s); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-2", "m", "1x", "1mm", "1ki", "1e5", "0x10", "9223372036854775808", "8192p", "1..5", ".5", "+1", "1  k"} {
		if got, err := parseBytes(s); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", s, got)
		}
	}
}

func TestUpdateResources(t *testing.T) {
	r, err := updateResources(options{"memory": {"64m"}, "memory-swap": {"-1"}, "cpu-quota": {"-1"}, "cpu-period": {"100000"}, "cpu-idle": {"1"}, "cpuset-cpus": {"0"},
		"pids-limit": {"-1"}, "blkio-weight": {"500"}, "cpu-share": {"2"}, "kernel-memory": {"1k"}})
	if err != nil {
		t.Fatal(err)
	}
	if *r.Memory.Limit != 64<<20 || *r.Memory.Swap != -1 || *r.CPU.Quota != -1 || *r.CPU.Period != 100000 || *r.CPU.Idle != 1 || r.CPU.Cpus != "0" || *r.Pids.Limit != -1 ||
		*r.BlockIO.Weight != 500 || *r.CPU.Shares != 2 || *r.Memory.Kernel != 1024 {
		t.Errorf("resources: %+v %+v %+v", r, r.CPU, r.Memory)
	}
	if r.Memory.Reservation != nil || r.CPU.Burst != nil {
		t.Error("what was not asked for must stay nil")
	}
	if r, err := updateResources(options{"pids-limit": {"0"}, "blkio-weight": {"0"}}); err != nil || r.Pids != nil || r.BlockIO != nil {
		t.Errorf("0 is runc's \"not given\": %+v, %v", r, err)
	}
	for name, v := range map[string]string{"memory": "x", "cpu-share": "-1", "cpu-quota": "1.5", "pids-limit": "many", "blkio-weight": "70000"} {
		if _, err := updateResources(options{name: {v}}); err == nil || !strings.Contains(err.Error(), "invalid value for "+name) {
			t.Errorf("--%s %s: %v", name, v, err)
		}
	}
	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte(`{"pids":{"limit":7}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := updateResources(options{"resources": {file}, "memory": {"bad, but ignored"}}); err != nil || *r.Pids.Limit != 7 || r.Memory != nil {
		t.Errorf("with a file: %+v, %v", r, err)
	}
}

func TestOverlay(t *testing.T) {
	base := func() *specs.Process {
		return &specs.Process{Terminal: true, Cwd: "/", Args: []string{"init"}, Env: []string{"A=1"}, User: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}},
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}}
	}
	config := base()
	p := *config
	err := overlay(&p, options{"cwd": {"/tmp"}, "env": {"B=2", "A=3"}, "user": {"5:6"}, "additional-gids": {"7"}, "cap": {"CAP_CHOWN"}, "no-new-privs": {"true"}}, []string{"sh", "-c"})
	if err != nil {
		t.Fatal(err)
	}
	want := specs.Process{Cwd: "/tmp", Args: []string{"sh", "-c"}, Env: []string{"A=1", "B=2", "A=3"}, User: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{3, 7}}, NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Effective: []string{"CAP_CHOWN"}, Permitted: []string{"CAP_CHOWN"}}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("overlay: %+v %+v\nwant %+v", p, p.Capabilities, want)
	}
	if !reflect.DeepEqual(config, base()) {
		t.Errorf("overlay changed the container's own process: %+v", config)
	}

	p = *base()
	p.Capabilities.Inheritable = []string{"CAP_KILL"}
	if err := overlay(&p, options{"user": {"5"}, "cap": {"CAP_CHOWN"}, "tty": {"true"}}, []string{"sh"}); err != nil || p.User.GID != 2 || !p.Terminal || len(p.Capabilities.Ambient) != 1 {
		t.Errorf("overlay: %+v, %v", p, err)
	}
	p.Capabilities = nil
	if err := overlay(&p, options{"cap": {"CAP_CHOWN"}}, []string{"sh"}); err != nil || len(p.Capabilities.Bounding) != 1 {
		t.Errorf("--cap for a process without capabilities: %+v, %v", p.Capabilities, err)
	}
	for _, o := range []options{{"user": {"root"}}, {"user": {"0:-1"}}, {"user": {"1:"}}, {"additional-gids": {"4294967296"}}} {
		if err := overlay(base(), o, []string{"sh"}); err == nil {
			t.Errorf("overlay accepts %v", o)
		}
	}
	if err := overlay(base(), options{}, nil); err == nil || err.Error() != "exec args cannot be empty" {
		t.Errorf("without a command: %v", err)
	}
}

func TestSubCgroups(t *testing.T) {
	for _, c := range []struct {
		list []string
		want map[string]string
		err  string
	}{
		{nil, nil, ""},
		{[]string{"sub"}, map[string]string{"": "sub"}, ""},
		{[]string{"cpu,memory:a", "pids:b"}, map[string]string{"cpu": "a", "memory": "a", "pids": "b"}, ""},
		{[]string{"a", "b"}, nil, "missing <controller>"},
		{[]string{"cpu:a", "b"}, nil, "missing <controller>"},
		{[]string{":a"}, nil, "empty <controller>"},
		{[]string{"cpu,:a"}, nil, "empty <controller>"},
		{[]string{"cpu:a", "cpu:b"}, nil, "multiple times"},
	} {
		got, err := subCgroups(c.list)
		if c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("subCgroups(%q) = %v, %v; want %v, %q", c.list, got, err, c.want, c.err)
		}
	}
}
