package spec

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// TestValidateErrors holds the refusals to dockerd's texts.
func TestValidateErrors(t *testing.T) {
	type request struct {
		c container.Config
		h container.HostConfig
	}
	limits := func(r container.Resources) request { return request{h: container.HostConfig{Resources: r}} }
	net := func(mode string) request {
		return request{h: container.HostConfig{NetworkMode: container.NetworkMode(mode)}}
	}
	with := func(r request, f func(r *request)) request { f(&r); return r }
	for _, c := range []struct {
		r    request
		want string
	}{
		{request{c: container.Config{Cmd: []string{}}}, "no command specified"},
		{request{c: container.Config{WorkingDir: "rel"}}, "the working directory 'rel' is invalid, it needs to be an absolute path"},
		{request{c: container.Config{StopSignal: "SIGNOPE"}}, "Invalid signal: SIGNOPE"},
		{request{c: container.Config{Env: []string{"=x"}}}, "invalid environment variable: =x"},
		{request{c: container.Config{Env: []string{"A=\x00"}}}, "zero byte"},
		{request{c: container.Config{Healthcheck: &container.HealthConfig{Interval: time.Microsecond}}}, "Interval in Healthcheck cannot be less than 1ms"},
		{request{c: container.Config{Healthcheck: &container.HealthConfig{Retries: -1}}}, "Retries in Healthcheck cannot be negative"},
		{request{c: container.Config{Healthcheck: &container.HealthConfig{StartInterval: 1}}}, "StartInterval in Healthcheck cannot be less than 1ms"},
		{net("container:"), "invalid network mode: invalid container format container:<name|id>"},
		{with(net("container:x"), func(r *request) { r.c.Hostname = "h" }), "conflicting options: hostname and the network mode"},
		{with(net("container:x"), func(r *request) { r.h.Links = []string{"a:b"} }), "conflicting options: container type network can't be used with links. This would result in undefined behavior"},
		{with(net("container:x"), func(r *request) { r.h.ExtraHosts = []string{"a:1.2.3.4"} }), "conflicting options: custom host-to-IP mapping and the network mode"},
		{with(net("container:x"), func(r *request) { r.h.PublishAllPorts = true }), "conflicting options: port publishing and the container type network mode"},
		{with(net("container:x"), func(r *request) { r.c.ExposedPorts = network.PortSet{network.Port{}: {}} }), "conflicting options: port exposing and the container type network mode"},
		{with(net("host"), func(r *request) { r.h.Links = []string{"a:b"} }), "conflicting options: host type networking can't be used with links. This would result in undefined behavior"},
		{request{c: container.Config{Hostname: "h"}, h: container.HostConfig{UTSMode: "host"}}, "conflicting options: hostname and the UTS mode"},
		{request{h: container.HostConfig{UTSMode: "x"}}, "invalid UTS mode: x"},
		{request{h: container.HostConfig{PidMode: "x"}}, "invalid PID mode: x"},
		{request{h: container.HostConfig{IpcMode: "x"}}, "invalid IPC mode: x"},
		{request{h: container.HostConfig{CgroupnsMode: "x"}}, "invalid cgroup namespace mode: x"},
		{request{h: container.HostConfig{ShmSize: -1}}, "SHM size can not be less than 0"},
		{request{h: container.HostConfig{OomScoreAdj: 1001}}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"},
		{request{h: container.HostConfig{Runtime: "nope"}}, "unknown or invalid runtime name: nope"},
		{request{h: container.HostConfig{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}}, "can't create 'AutoRemove' container with restart policy"},
		{request{h: container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "x"}}}, "invalid restart policy: unknown policy 'x'"},
		{request{h: container.HostConfig{CapAdd: []string{"NOPE"}}}, `invalid CapAdd: unknown capability: "CAP_NOPE"`},
		{request{h: container.HostConfig{CapDrop: []string{"NOPE"}}}, `invalid CapDrop: unknown capability: "CAP_NOPE"`},
		{request{h: container.HostConfig{SecurityOpt: []string{"x"}}}, `invalid --security-opt 1: "x"`},
		{request{h: container.HostConfig{SecurityOpt: []string{"x=y"}}}, `invalid --security-opt 2: "x=y"`},
		{request{h: container.HostConfig{SecurityOpt: []string{"no-new-privileges=perhaps"}}}, `invalid --security-opt 2: "no-new-privileges=perhaps"`},
		{request{h: container.HostConfig{SecurityOpt: []string{"profile=x"}}}, `no security profile "x"; there are default, compat and strict`},
		{request{h: container.HostConfig{Isolation: "hyperv"}}, "invalid isolation 'hyperv' on linux"},
		{request{h: container.HostConfig{Annotations: map[string]string{"": "x"}}}, "invalid Annotations: the empty string is not permitted as an annotation key"},
		{request{h: container.HostConfig{Tmpfs: map[string]string{"rel": ""}}}, "invalid mount path: 'rel' mount path must be absolute"},
		{request{h: container.HostConfig{Tmpfs: map[string]string{"/": ""}}}, "invalid specification: destination can't be '/'"},
		{request{h: container.HostConfig{Tmpfs: map[string]string{"/x": "invalid"}}}, `invalid tmpfs option ["invalid"]`},
		{request{h: container.HostConfig{Tmpfs: map[string]string{"/x": "remount"}}}, `invalid tmpfs option ["remount"]`},
		{request{h: container.HostConfig{Sysctls: map[string]string{"kernel.core_pattern": "x"}}}, `sysctl "kernel.core_pattern" is not in a separate kernel namespace`},
		{request{h: container.HostConfig{Sysctls: map[string]string{"kernel.shm_rmid_forced": "1+kernel.core_pattern=x"}}}, `invalid value "1+kernel.core_pattern=x"`}, // CVE-2022-0811
		{request{h: container.HostConfig{Sysctls: map[string]string{"net.ipv4.x": "1\nkernel.core_pattern=x"}}}, "invalid value"},
		{request{h: container.HostConfig{Sysctls: map[string]string{"net/../kernel/core_pattern": "x"}}}, `invalid sysctl "net/../kernel/core_pattern"`},
		{request{h: container.HostConfig{Sysctls: map[string]string{"net.ipv4.x": "1"}, NetworkMode: "host"}}, `sysctl "net.ipv4.x" not allowed in host network namespace`},
		{request{h: container.HostConfig{Sysctls: map[string]string{"kernel.sem": "1"}, IpcMode: "host"}}, `sysctl "kernel.sem" is not allowed in the hosts ipc namespace`},
		{request{h: container.HostConfig{MaskedPaths: []string{"rel"}}}, `invalid path "rel"`},
		{request{h: container.HostConfig{Umask: ptr(uint32(0o1000))}}, "invalid umask 01000"},
		{limits(container.Resources{CgroupParent: "/a/../../b"}), `invalid cgroup-parent "/a/../../b"`},
		{limits(container.Resources{Memory: 1}), "Minimum memory limit allowed is 6MB"},
		{limits(container.Resources{Memory: 64 << 20, MemorySwap: 32 << 20}), "Minimum memoryswap limit should be larger than memory limit, see usage"},
		{limits(container.Resources{MemorySwap: 32 << 20}), "You should always set the Memory limit when using Memoryswap limit, see usage"},
		{limits(container.Resources{MemorySwappiness: ptr(int64(101))}), "Invalid value: 101, valid memory swappiness range is 0-100"},
		{limits(container.Resources{MemoryReservation: 1}), "Minimum memory reservation allowed is 6MB"},
		{limits(container.Resources{Memory: 8 << 20, MemoryReservation: 9 << 20}), "Minimum memory limit can not be less than memory reservation limit, see usage"},
		{limits(container.Resources{NanoCPUs: 1, CPUPeriod: 1}), "Conflicting options: Nano CPUs and CPU Period cannot both be set"},
		{limits(container.Resources{NanoCPUs: 1, CPUQuota: 1}), "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
		{limits(container.Resources{NanoCPUs: 5e9}), "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
		{limits(container.Resources{NanoCPUs: -1}), "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
		{limits(container.Resources{CPUPeriod: 1}), "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
		{limits(container.Resources{CPUQuota: 1}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"},
		{limits(container.Resources{CPUShares: -1}), "invalid CPU shares (-1): value must be a positive integer"},
		{limits(container.Resources{CPURealtimeRuntime: 1}), "kernel does not support CPU real-time scheduler"},
		{limits(container.Resources{CpusetCpus: "0-9"}), "Requested CPUs are not available - requested 0-9, available: 0-3"},
		{limits(container.Resources{CpusetCpus: "0-4294967295"}), "Invalid value 0-4294967295 for cpuset cpus"}, // CVE-2018-20699
		{limits(container.Resources{CpusetMems: "1"}), "Requested memory nodes are not available - requested 1, available: 0"},
		{limits(container.Resources{CpusetMems: "x"}), "Invalid value x for cpuset mems"},
		{limits(container.Resources{BlkioWeight: 5}), "Range of blkio weight is from 10 to 1000"},
		{limits(container.Resources{BlkioWeightDevice: []*blkiodev.WeightDevice{{Path: "/x", Weight: 1}}}), "Range of blkio weight is from 10 to 1000"},
		{limits(container.Resources{BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{nil}}), "without a device"},
		{limits(container.Resources{IOMaximumIOps: 1}), "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps"},
		{limits(container.Resources{Ulimits: []*units.Ulimit{{Name: "x"}}}), "invalid ulimit type: x"},
		{limits(container.Resources{Ulimits: []*units.Ulimit{nil}}), "invalid ulimit type: "},
		{limits(container.Resources{Ulimits: []*units.Ulimit{{Name: "core", Soft: 2, Hard: 1}}}), "ulimit soft limit must be less than or equal to hard limit: 2 > 1"},
		{limits(container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "x", CgroupPermissions: "r"}}}), "invalid device"},
		{limits(container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/x", CgroupPermissions: "rx"}}}), "invalid device"},
		{limits(container.Resources{DeviceCgroupRules: []string{"x"}}), "invalid device cgroup rule format: 'x'"},
		{limits(container.Resources{DeviceRequests: []container.DeviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}}), `could not select device driver "" with capabilities: [[gpu]]`},
	} {
		if c.r.c.Cmd == nil {
			c.r.c.Cmd = []string{"true"}
		}
		_, err := Validate(&c.r.c, &c.r.h, facts())
		if err == nil || !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.want) {
			b, _ := json.Marshal(c.r.h)
			t.Errorf("%v, want %s (%.200s)", err, c.want, b)
		}
	}
}

// TestValidateWarnings: what the kernel cannot hold is taken away, and said.
func TestValidateWarnings(t *testing.T) {
	f := facts()
	f.Controllers = Controllers{}
	h := &container.HostConfig{Resources: container.Resources{
		Memory: 64 << 20, MemorySwappiness: ptr(int64(1)), MemoryReservation: 32 << 20, OomKillDisable: ptr(true), PidsLimit: ptr(int64(5)),
		CPUShares: 5, CPUPeriod: 2000, CpusetCpus: "0", BlkioWeight: 100, BlkioWeightDevice: []*blkiodev.WeightDevice{{Path: "/x", Weight: 100}},
		BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: "/x"}}, BlkioDeviceWriteIOps: []*blkiodev.ThrottleDevice{{Path: "/x"}}, CPUPercent: 1,
	}}
	w, err := Validate(&container.Config{Cmd: []string{"true"}}, h, f)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "golden/warnings.txt", []byte(strings.Join(w, "\n")+"\n"))
	r, err := Resources(h.Resources, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(r); string(b) != `{"blockIO":{}}` {
		t.Errorf("left: %s", b)
	}
}

func TestComplete(t *testing.T) {
	h := &container.HostConfig{Resources: container.Resources{Memory: 64 << 20}}
	Complete(h, facts())
	if h.MemorySwap != 128<<20 || h.ShmSize != 64<<20 || h.IpcMode != "private" || h.CgroupnsMode != "private" || h.Runtime != "keel" || h.OomKillDisable == nil || len(h.MaskedPaths) == 0 || len(h.ReadonlyPaths) == 0 {
		t.Errorf("%+v", h)
	}
	h = &container.HostConfig{Privileged: true}
	Complete(h, facts())
	if h.CgroupnsMode != "host" || h.MaskedPaths != nil {
		t.Errorf("%+v", h)
	}
	h = &container.HostConfig{SecurityOpt: []string{"systempaths=unconfined"}}
	Complete(h, facts())
	if h.MaskedPaths == nil || len(h.MaskedPaths)+len(h.ReadonlyPaths) > 0 {
		t.Errorf("%+v", h)
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{"TERM": 15, "sigkill": 9, "SIGHUP": 1, "9": 9, "64": 64, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmax-1": 63, "SIGRTMAX": 64} {
		if n, err := ParseSignal(s); err != nil || int(n) != want {
			t.Errorf("%s: %d %v", s, n, err)
		}
	}
	for _, s := range []string{"", "0", "65", "-1", "NOPE", "SIG", "RTMIN+31", "RTMAX+1", "RTMIN-1", "SIGSIGTERM"} {
		if n, err := ParseSignal(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}
