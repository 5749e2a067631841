package engines

import (
	"strings"
	"time"
)

// lifeCases: from create to rm.
var lifeCases = []testCase{
	{name: "create, start, wait, logs, rm", run: func(p *probe) {
		name := p.name()
		p.ok(p.flags([]string{"create", "--name", name, "--", "sh", "-c", "echo hello; exit 4"})...)
		p.equal("state", p.inspect(name, "{{.State.Status}}"), "created")
		p.ok("start", name)
		p.equal("wait", p.ok("wait", name), "4")
		p.equal("logs", p.ok("logs", name), "hello")
		p.equal("state", p.inspect(name, "{{.State.Status}} {{.State.ExitCode}}"), "exited 4")
		p.ok("start", name)
		p.equal("wait after a second start", p.ok("wait", name), "4")
		p.equal("logs of both", p.ok("logs", name), "hello\nhello")
		p.ok("rm", name)
		if r := p.e.do("", "inspect", name); r.code == 0 {
			p.Errorf("the container is there after rm")
		}
	}},
	{name: "stop: TERM is enough", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "trap 'exit 22' TERM; while true; do sleep 0.1; done")
		begin := time.Now()
		p.ok("stop", "-t", "20", name)
		if d := time.Since(begin); d > 10*time.Second {
			p.Errorf("stop took %v", d)
		}
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "22")
	}},
	{name: "stop: KILL after the grace time", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")
		p.ok("stop", "-t", "1", name)
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "137")
	}},
	{name: "stop signal of its own", run: func(p *probe) {
		name := p.start("--stop-signal", "USR1", "--", "sh", "-c", "trap 'exit 11' USR1; while true; do sleep 0.1; done")
		p.ok("stop", "-t", "20", name)
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "11")
	}},
	{name: "kill", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.ok("kill", name)
		p.eventually("exited", func() bool { return p.inspect(name, "{{.State.Running}}") == "false" })
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "137")
	}},
	{name: "kill -s", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "trap 'echo got; exit 3' HUP; echo ready; while true; do sleep 0.1; done")
		p.eventually("ready", func() bool { return strings.Contains(p.ok("logs", name), "ready") })
		p.ok("kill", "-s", "HUP", name)
		p.equal("wait", p.ok("wait", name), "3")
		p.contains("logs", p.ok("logs", name), "got")
	}},
	{name: "pause, unpause", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done")
		p.eventually("counting", func() bool { return p.ok("logs", name) != "" })
		p.ok("pause", name)
		p.equal("state", p.inspect(name, "{{.State.Status}}"), "paused")
		time.Sleep(200 * time.Millisecond)
		before := p.ok("logs", name)
		time.Sleep(500 * time.Millisecond)
		if after := p.ok("logs", name); after != before {
			p.Errorf("a paused container goes on writing")
		}
		p.ok("unpause", name)
		p.equal("state", p.inspect(name, "{{.State.Status}}"), "running")
		p.eventually("counting again", func() bool { return p.ok("logs", name) != before })
	}},
	{name: "rm -f of a running container", run: func(p *probe) {
		name := p.start("--stop-signal", "KILL", "--", "sleep", "100")
		p.ok("rm", "-f", name)
		if r := p.e.do("", "inspect", name); r.code == 0 {
			p.Errorf("the container is there after rm -f")
		}
	}},
	{name: "rm -f of a paused container", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.ok("pause", name)
		p.ok("rm", "-f", name)
	}},
	{name: "a container with many processes ends whole", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "for i in $(seq 50); do sleep 100 & done; wait")
		p.ok("kill", name)
		p.eventually("exited", func() bool { return p.inspect(name, "{{.State.Running}}") == "false" })
	}},
	{name: "with the host's pid namespace all processes end", run: func(p *probe) {
		name := p.start("--pid", "host", "--", "sh", "-c", "sleep 7654 & sleep 7654")
		p.eventually("both run", func() bool { return strings.Count(p.ok("top", name), "7654") >= 2 })
		p.ok("rm", "-f", name)
		p.eventually("both ended", func() bool { return countProcesses("sleep\x007654") == 0 })
	}},
	{name: "restart policy", run: func(p *probe) {
		name := p.start("--restart", "on-failure:2", "--", "sh", "-c", "exit 3")
		p.eventually("two restarts", func() bool {
			return p.inspect(name, "{{.RestartCount}} {{.State.Running}}") == "2 false"
		})
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "3")
	}},
	{name: "restart", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		pid := p.inspect(name, "{{.State.Pid}}")
		p.ok("restart", "-t", "0", name)
		p.equal("running", p.inspect(name, "{{.State.Running}}"), "true")
		if p.inspect(name, "{{.State.Pid}}") == pid {
			p.Errorf("the process is the same after restart")
		}
	}},
	{name: "health check", only: "docker", run: func(p *probe) {
		name := p.start("--health-cmd", "test -f /tmp/fine", "--health-interval", "200ms", "--health-timeout", "5s", "--health-retries", "2", "--", "sh", "-c", "touch /tmp/fine; sleep 100")
		p.eventually("healthy", func() bool { return p.inspect(name, "{{.State.Health.Status}}") == "healthy" })
		p.ok("exec", name, "rm", "/tmp/fine")
		p.eventually("unhealthy", func() bool { return p.inspect(name, "{{.State.Health.Status}}") == "unhealthy" })
	}},
	{name: "health check by hand", only: "podman", run: func(p *probe) {
		name := p.start("--health-cmd", "test -f /tmp/fine", "--health-interval", "disable", "--", "sh", "-c", "touch /tmp/fine; sleep 100")
		p.ok("healthcheck", "run", name)
		p.ok("exec", name, "rm", "/tmp/fine")
		if r := p.e.do("", "healthcheck", "run", name); r.code == 0 {
			p.Errorf("the health check passes without its file")
		}
	}},
	{name: "attach", run: func(p *probe) {
		name := p.name()
		p.ok(p.flags([]string{"create", "-i", "--name", name, "--", "sh", "-c", "read x; echo got $x; exit 6"})...)
		r := p.e.do("word\n", "start", "-a", "-i", name)
		p.equal("output", r.out, "got word")
		if r.code != 6 {
			p.Errorf("exit code %d, want 6 (%s)", r.code, r.err)
		}
		running := p.start("--", "sh", "-c", "for i in $(seq 20); do echo tick; sleep 0.1; done; exit 6")
		r = p.e.do("", "attach", "--no-stdin", running)
		p.contains("output of attach", r.out, "tick")
		if r.code != 6 && p.e.name == "docker" { // podman gives 0
			p.Errorf("exit code of attach %d, want 6 (%s)", r.code, r.err)
		}
	}},
	{name: "top, stats", run: func(p *probe) {
		name := p.start("--memory", "64m", "--", "sh", "-c", "sleep 4321 & sleep 4321")
		if n := strings.Count(p.ok("top", name), "4321"); n < 2 {
			p.Errorf("top shows %d of 2 processes", n)
		}
		got := p.ok("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", name)
		pids, mem, _ := strings.Cut(got, " ")
		if pids == "0" || pids == "--" || strings.HasPrefix(mem, "0B / 0B") {
			p.Errorf("stats: %q", got)
		}
		if p.e.name == "docker" {
			p.contains("memory limit in stats", mem, "64MiB")
		}
	}},
	{name: "update while running", run: func(p *probe) {
		name := p.start("--memory", "64m", "--memory-swap", "64m", "--", "sleep", "100")
		p.ok("update", "--memory", "96m", "--memory-swap", "96m", "--cpus", "0.5", name)
		p.equal("memory limit", p.inCgroup(name, "memory", "memory.limit_in_bytes", "memory.max"), "100663296")
		if quota := p.inCgroup(name, "cpu", "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(quota, "50000") {
			p.Errorf("cpu quota %q, want 50000", quota)
		}
	}},
	{name: "cp in and out", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.ok("cp", "engines_test.go", name+":/tmp/in.go")
		p.contains("file in the container", p.ok("exec", name, "cat", "/tmp/in.go"), "package engines")
		p.contains("file out of it", p.ok("cp", name+":/etc/group", "-"), "wheel:x:2000:alice")
	}},
	{name: "commit and run the result", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "echo data >/made; sleep 100")
		p.eventually("made", func() bool { return p.e.do("", "exec", name, "cat", "/made").out == "data" })
		p.ok("commit", name, "hulltest-commit")
		p.equal("file", p.ok("run", "--rm", "--network", "none", "--cgroup-parent", p.e.parent, "hulltest-commit", "cat", "/made"), "data")
		p.ok("rmi", "hulltest-commit")
	}},
	{name: "a failing start leaves nothing and says why", run: func(p *probe) {
		name := p.name()
		r := p.e.do("", p.flags([]string{"run", "--name", name, "--", "/no/such/program"})...)
		if r.code != 127 {
			p.Errorf("exit code %d, want 127", r.code)
		}
		p.contains("error", r.err, "/no/such/program")
		p.contains("error", r.err, "no such file or directory")
		id := p.inspect(name, "{{.Id}}")
		for _, c := range cgroups(p.e.parent) {
			if strings.Contains(c.path, id) {
				p.Errorf("cgroup %s is left", c.path)
			}
		}
	}},
}
