package engines

import (
	"os"
	"strings"
)

// namespaceCases: what is shared with whom.
var namespaceCases = []testCase{
	{name: "pid 1, and only the container's processes", run: func(p *probe) {
		p.equal("pid", p.run("--", "sh", "-c", "echo $$"), "1")
		if n := strings.Count(p.run("--", "ls", "/proc"), "\n"); n > 150 {
			p.Errorf("/proc has %d entries", n)
		}
	}},
	{name: "--pid host", run: func(p *probe) {
		want, err := os.Readlink("/proc/self/ns/pid")
		if err != nil {
			p.Fatal(err)
		}
		p.equal("namespace", p.run("--pid", "host", "--", "readlink", "/proc/self/ns/pid"), want)
	}},
	{name: "--pid container:", run: func(p *probe) {
		name := p.start("--", "sleep", "5432")
		p.contains("processes", p.run("--pid", "container:"+name, "--", "ps"), "sleep 5432")
	}},
	{name: "--ipc host, and container:", run: func(p *probe) {
		want, err := os.Readlink("/proc/self/ns/ipc")
		if err != nil {
			p.Fatal(err)
		}
		p.equal("host", p.run("--ipc", "host", "--", "readlink", "/proc/self/ns/ipc"), want)
		name := p.start("--ipc", "shareable", "--", "sleep", "100")
		p.equal("shared", p.run("--ipc", "container:"+name, "--", "readlink", "/proc/self/ns/ipc"), p.ok("exec", name, "readlink", "/proc/1/ns/ipc"))
	}},
	{name: "--hostname and --uts", run: func(p *probe) {
		p.equal("hostname", p.run("--hostname", "box7", "--", "hostname"), "box7")
		want, err := os.Hostname()
		if err != nil {
			p.Fatal(err)
		}
		p.equal("host's", p.run("--uts", "host", "--", "hostname"), want)
	}},
	{name: "--network none, host, container:", run: func(p *probe) {
		p.equal("none", p.run("--", "sh", "-c", "ls /sys/class/net"), "lo")
		host, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			p.Fatal(err)
		}
		p.equal("host", p.run("--network", "host", "--", "readlink", "/proc/self/ns/net"), host)
		name := p.start("--", "sleep", "100")
		p.equal("container's", p.run("--network", "container:"+name, "--", "readlink", "/proc/self/ns/net"), p.ok("exec", name, "readlink", "/proc/1/ns/net"))
	}},
	{name: "loopback is up and a service answers on it", run: func(p *probe) {
		out := p.run("--", "sh", "-c", "mkdir /www; echo page >/www/index.html; httpd -p 127.0.0.1:8080 -h /www; wget -q -O - http://127.0.0.1:8080/")
		p.equal("page", out, "page")
	}},
	{name: "--sysctl", run: func(p *probe) {
		p.equal("value", p.run("--sysctl", "net.ipv4.ip_unprivileged_port_start=99", "--", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "99")
		p.equal("ipc", p.run("--sysctl", "kernel.shm_rmid_forced=1", "--", "cat", "/proc/sys/kernel/shm_rmid_forced"), "1")
	}},
	{name: "--init reaps", run: func(p *probe) {
		out := p.run("--init", "--", "sh", "-c", "(sh -c 'sleep 0.1 &'); sleep 0.4; ps -o stat | grep -c Z; true")
		p.equal("zombies", out, "0")
	}},
	{name: "own cgroup namespace", run: func(p *probe) {
		out := p.run("--cgroupns", "private", "--", "cat", "/proc/self/cgroup")
		for line := range strings.Lines(out) {
			if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) != 3 || f[2] != "/" {
				p.Errorf("the container sees its cgroup as %q", strings.TrimSpace(line))
			}
		}
	}},
}

// usernsCases run on a dockerd that maps ids.
var usernsCases = []testCase{
	{name: "root inside is somebody else outside", run: func(p *probe) {
		p.equal("id", p.run("--", "id", "-u"), "0")
		name := p.start("--", "sleep", "100")
		status, err := os.ReadFile("/proc/" + p.inspect(name, "{{.State.Pid}}") + "/status")
		if err != nil {
			p.Fatal(err)
		}
		p.contains("outside", string(status), "Uid:\t1000000\t1000000")
		p.equal("uid_map", strings.Join(strings.Fields(p.ok("exec", name, "cat", "/proc/self/uid_map")), " "), "0 1000000 65536")
	}},
	{name: "exec joins the user namespace", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.equal("namespace", p.ok("exec", name, "readlink", "/proc/self/ns/user"), p.ok("exec", name, "readlink", "/proc/1/ns/user"))
		p.equal("user", p.ok("exec", "--user", "alice", name, "id", "-u"), "1000")
		p.exits(42, "exec", name, "sh", "-c", "exit 42")
		p.contains("tty", p.ok("exec", "-t", name, "tty"), "/dev/pts/")
	}},
	{name: "files, terminal, limits", run: func(p *probe) {
		p.run("--", "sh", "-c", "touch /x && chown 5:5 /x")
		p.equal("tty", p.run("-t", "--", "tty"), "/dev/pts/0")
		name := p.start("--memory", "24m", "--memory-swap", "24m", "--", "sh", "-c", "exec tail /dev/zero")
		p.equal("exit code", p.ok("wait", name), "137")
		p.equal("OOMKilled", p.inspect(name, "{{.State.OOMKilled}}"), "true")
	}},
	{name: "pause, stop, the host's namespaces on request", run: func(p *probe) {
		name := p.start("--", "sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done")
		p.ok("pause", name)
		p.ok("unpause", name)
		p.ok("stop", "-t", "20", name)
		p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "9")
		p.run("--userns", "host", "--", "sh", "-c", "test $(cat /proc/self/uid_map | awk '{print $3}') -gt 65536")
	}},
}
