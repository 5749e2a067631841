package spec

import (
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
)

// dockerCase is one request, as dockerd gets it and as Build does.
type dockerCase struct {
	name   string
	config container.Config
	host   container.HostConfig
	mounts []Mount // what the engine makes of binds and volumes
}

func ptr[T any](v T) *T { return &v }

// dockerCases are the requests that testdata/docker has dockerd's documents of.
func dockerCases() []dockerCase {
	const block = "/tmp/hull-spec-block" // a block device that the recording makes
	cases := []dockerCase{
		{name: "plain"},
		{name: "entrypoint", config: container.Config{Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"sleep 1"}}},
		{name: "env", config: container.Config{Env: []string{"A=1", "B=", "PATH=/bin", "A=2"}}},
		{name: "env-removed", config: container.Config{Env: []string{"HOSTNAME", "NONE"}}},
		{name: "tty", config: container.Config{Tty: true}},
		{name: "tty-size", config: container.Config{Tty: true}, host: container.HostConfig{ConsoleSize: [2]uint{30, 100}}},
		{name: "hostname", config: container.Config{Hostname: "box"}},
		{name: "domainname", config: container.Config{Hostname: "box", Domainname: "example.com"}},
		{name: "workdir", config: container.Config{WorkingDir: "/tmp/../tmp"}},
		{name: "user", config: container.Config{User: "1000:100"}},
		{name: "group-add", config: container.Config{User: "1000:100"}, host: container.HostConfig{GroupAdd: []string{"5", "6"}}},
		{name: "cap-add", host: container.HostConfig{CapAdd: []string{"NET_ADMIN", "cap_sys_ptrace"}}},
		{name: "cap-add-default", host: container.HostConfig{CapAdd: []string{"CHOWN"}}},
		{name: "cap-drop", host: container.HostConfig{CapDrop: []string{"chown", "KILL"}}},
		{name: "cap-drop-all", host: container.HostConfig{CapDrop: []string{"ALL"}}},
		{name: "cap-drop-all-add", host: container.HostConfig{CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}}},
		{name: "cap-add-all", host: container.HostConfig{CapAdd: []string{"ALL"}}},
		{name: "cap-add-all-drop", host: container.HostConfig{CapAdd: []string{"ALL"}, CapDrop: []string{"MKNOD"}}},
		{name: "privileged", host: container.HostConfig{Privileged: true}},
		{name: "privileged-cap-drop", host: container.HostConfig{Privileged: true, CapDrop: []string{"ALL"}}},
		{name: "seccomp-unconfined", host: container.HostConfig{SecurityOpt: []string{"seccomp=unconfined"}}},
		{name: "seccomp-json", host: container.HostConfig{SecurityOpt: []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}`}}},
		{name: "no-new-privileges", host: container.HostConfig{SecurityOpt: []string{"no-new-privileges"}}},
		{name: "no-new-privileges-false", host: container.HostConfig{SecurityOpt: []string{"no-new-privileges:false"}}},
		{name: "label-disable", host: container.HostConfig{SecurityOpt: []string{"label=disable"}}},
		{name: "apparmor", host: container.HostConfig{SecurityOpt: []string{"apparmor=unconfined"}}},
		{name: "no-masks", host: container.HostConfig{MaskedPaths: []string{}, ReadonlyPaths: []string{}}},
		{name: "masks", host: container.HostConfig{MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"}}},
		{name: "read-only", host: container.HostConfig{ReadonlyRootfs: true}},
		{name: "memory", host: container.HostConfig{Resources: container.Resources{Memory: 64 << 20}}},
		{name: "memory-swap", host: container.HostConfig{Resources: container.Resources{Memory: 64 << 20, MemorySwap: 64 << 20}}},
		{name: "memory-no-swap-limit", host: container.HostConfig{Resources: container.Resources{Memory: 64 << 20, MemorySwap: -1}}},
		{name: "memory-reservation", host: container.HostConfig{Resources: container.Resources{MemoryReservation: 32 << 20}}},
		{name: "memory-swappiness", host: container.HostConfig{Resources: container.Resources{MemorySwappiness: ptr(int64(10))}}},
		{name: "oom-kill-disable", host: container.HostConfig{Resources: container.Resources{Memory: 64 << 20, OomKillDisable: ptr(true)}}},
		{name: "oom-score", host: container.HostConfig{OomScoreAdj: 500}},
		{name: "cpus", host: container.HostConfig{Resources: container.Resources{NanoCPUs: 1500000000}}},
		{name: "cpu-shares", host: container.HostConfig{Resources: container.Resources{CPUShares: 512}}},
		{name: "cpu-quota", host: container.HostConfig{Resources: container.Resources{CPUPeriod: 50000, CPUQuota: 25000}}},
		{name: "cpuset", host: container.HostConfig{Resources: container.Resources{CpusetCpus: "0", CpusetMems: "0"}}},
		{name: "pids", host: container.HostConfig{Resources: container.Resources{PidsLimit: ptr(int64(100))}}},
		{name: "pids-unlimited", host: container.HostConfig{Resources: container.Resources{PidsLimit: ptr(int64(-1))}}},
		{name: "blkio-weight", host: container.HostConfig{Resources: container.Resources{BlkioWeight: 300}}},
		{name: "blkio-throttle", host: container.HostConfig{Resources: container.Resources{
			BlkioDeviceReadBps:   []*blkiodev.ThrottleDevice{{Path: block, Rate: 1 << 20}},
			BlkioDeviceWriteBps:  []*blkiodev.ThrottleDevice{{Path: block, Rate: 2 << 20}},
			BlkioDeviceReadIOps:  []*blkiodev.ThrottleDevice{{Path: block, Rate: 100}},
			BlkioDeviceWriteIOps: []*blkiodev.ThrottleDevice{{Path: block, Rate: 200}},
		}}},
		{name: "ulimit", host: container.HostConfig{Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core", Soft: 0, Hard: 0}}}}},
		{name: "device", host: container.HostConfig{Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/other", CgroupPermissions: "rw"}}}}},
		{name: "device-rule", host: container.HostConfig{Resources: container.Resources{DeviceCgroupRules: []string{"c 1:* rwm", "b *:5 r"}}}},
		{name: "shm", host: container.HostConfig{ShmSize: 1 << 20}},
		{name: "sysctl", host: container.HostConfig{Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "8192"}}},
		{name: "tmpfs", host: container.HostConfig{Tmpfs: map[string]string{"/run": "", "/scratch": "rw,exec,size=65536k,mode=1770"}},
			mounts: []Mount{{Destination: "/run", Tmpfs: []string{}}, {Destination: "/scratch", Tmpfs: []string{"rw", "exec", "size=65536k", "mode=1770"}}}},
		{name: "binds", host: container.HostConfig{Binds: []string{"/tmp:/deep/er/mount", "/var:/v:ro", "/etc:/dev/etc"}},
			mounts: []Mount{{Destination: "/deep/er/mount", Source: "/tmp"}, {Destination: "/v", Source: "/var", ReadOnly: true}, {Destination: "/dev/etc", Source: "/etc"}}},
		{name: "bind-over-default", host: container.HostConfig{Binds: []string{"/tmp:/dev/shm", "/tmp:/etc/hosts"}},
			mounts: []Mount{{Destination: "/dev/shm", Source: "/tmp"}, {Destination: "/etc/hosts", Source: "/tmp"}}},
		{name: "bind-dev", host: container.HostConfig{Binds: []string{"/dev:/dev"}}, mounts: []Mount{{Destination: "/dev", Source: "/dev"}}},
		{name: "init", host: container.HostConfig{Init: ptr(true)}},
		{name: "pid-host", host: container.HostConfig{PidMode: "host"}},
		{name: "pid-host-init", host: container.HostConfig{PidMode: "host", Init: ptr(true)}},
		{name: "ipc-host", host: container.HostConfig{IpcMode: "host"}},
		{name: "ipc-none", host: container.HostConfig{IpcMode: "none"}},
		{name: "uts-host", host: container.HostConfig{UTSMode: "host"}},
		{name: "net-host", config: container.Config{Hostname: "box"}, host: container.HostConfig{NetworkMode: "host"}},
		{name: "net-none", host: container.HostConfig{NetworkMode: "none"}},
		{name: "cgroupns-private", host: container.HostConfig{CgroupnsMode: "private"}},
		{name: "cgroupns-host", host: container.HostConfig{CgroupnsMode: "host"}},
		{name: "cgroup-parent", host: container.HostConfig{Resources: container.Resources{CgroupParent: "/mine/below"}}},
	}
	for i := range cases {
		c := &cases[i]
		c.config.Image = "recorded"
		if len(c.config.Cmd) == 0 {
			c.config.Cmd = []string{"sleep", "100"}
		}
		if c.config.Hostname == "" && c.host.UTSMode == "" {
			c.config.Hostname = "recorded"
		}
		if c.host.NetworkMode == "" {
			c.host.NetworkMode = "none" // the recording's dockerd has no bridge
		}
	}
	return cases
}
