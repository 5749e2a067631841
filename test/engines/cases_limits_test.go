package engines

import (
	"os"
	"path/filepath"
	"strings"
)

// inCgroup reads a controller's file of a container's cgroup, by its name on v1 or v2.
func (p *probe) inCgroup(name, controller, v1, v2 string) string {
	p.Helper()
	id := p.inspect(name, "{{.Id}}")
	for _, pattern := range []string{
		"/sys/fs/cgroup/" + controller + p.e.parent + "/*" + id + "/" + v1,
		"/sys/fs/cgroup" + p.e.parent + "/*" + id + "/" + v2,
	} {
		files, _ := filepath.Glob(pattern)
		if len(files) == 1 {
			data, err := os.ReadFile(files[0])
			if err != nil {
				p.Fatal(err)
			}
			return strings.TrimSpace(string(data))
		}
	}
	p.Fatalf("no cgroup of %s has %s or %s", id, v1, v2)
	return ""
}

// limitCases: resources.
var limitCases = []testCase{
	{name: "memory: killed at the limit, seen as OOM", run: func(p *probe) {
		name := p.start("--memory", "24m", "--memory-swap", "24m", "--", "sh", "-c", "exec tail /dev/zero")
		p.equal("exit code", p.ok("wait", name), "137")
		if p.e.name == "docker" { // conmon of podman 4.3 does not see it on a hybrid host, whatever the runtime
			p.equal("OOMKilled", p.inspect(name, "{{.State.OOMKilled}}"), "true")
		}
	}},
	{name: "memory: a kill by hand is no OOM", run: func(p *probe) {
		name := p.start("--memory", "24m", "--", "sleep", "100")
		p.ok("kill", name)
		p.ok("wait", name)
		p.equal("OOMKilled", p.inspect(name, "{{.State.OOMKilled}}"), "false")
	}},
	{name: "memory: limit in the cgroup", run: func(p *probe) {
		name := p.start("--memory", "64m", "--memory-swap", "128m", "--memory-reservation", "32m", "--", "sleep", "100")
		p.equal("limit", p.inCgroup(name, "memory", "memory.limit_in_bytes", "memory.max"), "67108864")
		p.equal("reservation", p.inCgroup(name, "memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432")
	}},
	{name: "pids limit", run: func(p *probe) {
		name := p.start("--pids-limit", "12", "--", "sleep", "100")
		p.equal("limit", p.inCgroup(name, "pids", "pids.max", "pids.max"), "12")
		r := p.e.do("", "exec", name, "sh", "-c", "for i in $(seq 30); do sleep 5 & done; wait")
		if r.code == 0 {
			p.Errorf("30 processes fit in a limit of 12")
		}
	}},
	{name: "cpus", run: func(p *probe) {
		name := p.start("--cpus", "0.25", "--cpu-shares", "512", "--", "sleep", "100")
		if quota := p.inCgroup(name, "cpu", "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(quota, "25000") {
			p.Errorf("quota %q, want 25000", quota)
		}
		if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.shares"); err == nil {
			p.equal("shares", p.inCgroup(name, "cpu", "cpu.shares", "cpu.weight"), "512")
		}
	}},
	{name: "cpuset", run: func(p *probe) {
		name := p.start("--cpuset-cpus", "0", "--cpuset-mems", "0", "--", "sleep", "100")
		p.equal("cpus", p.inCgroup(name, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0")
		p.contains("seen inside", p.ok("exec", name, "grep", "Cpus_allowed_list", "/proc/1/status"), "\t0")
		p.equal("nproc of an exec", p.ok("exec", name, "nproc"), "1")
	}},
	{name: "devices: only what is allowed", run: func(p *probe) {
		p.runExits(1, "--cap-add", "MKNOD", "--", "sh", "-c", "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg; exit $?")
		p.run("--", "sh", "-c", "mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero")
	}},
	{name: "--device", run: func(p *probe) {
		p.equal("node", p.run("--device", "/dev/zero:/dev/nothing", "--", "sh", "-c", "head -c 3 /dev/nothing | wc -c"), "3")
		p.run("--device", "/dev/full:/dev/full2:r", "--", "sh", "-c", "head -c 1 /dev/full2 >/dev/null")
	}},
	{name: "ulimit", run: func(p *probe) {
		p.equal("nofile", p.run("--ulimit", "nofile=100:200", "--ulimit", "nproc=4096:4096", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"), "100\n200")
		p.equal("core", p.run("--ulimit", "core=0:0", "--ulimit", "nofile=100:200", "--ulimit", "nproc=4096:4096", "--", "sh", "-c", "ulimit -c"), "0")
	}},
	{name: "limits above the hard limit are clamped", runcFails: "root lacks CAP_SYS_RESOURCE and runc gives up", run: func(p *probe) {
		got := p.run("--ulimit", "nofile=1048576:1048576", "--", "sh", "-c", "ulimit -Hn")
		if got == "" || got == "0" {
			p.Errorf("hard limit %q", got)
		}
	}},
	{name: "oom score", run: func(p *probe) {
		p.equal("score", p.run("--oom-score-adj", "321", "--", "cat", "/proc/self/oom_score_adj"), "321")
	}},
	{name: "blkio weight and shm size", run: func(p *probe) {
		p.contains("shm", p.run("--shm-size", "3m", "--", "df", "-k", "/dev/shm"), "3072")
	}},
}
