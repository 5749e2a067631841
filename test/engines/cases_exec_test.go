package engines

import (
	"strings"
	"time"
)

// execCases: second processes in a running container.
var execCases = []testCase{
	{name: "exec: output and exit codes", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.equal("output", p.ok("exec", name, "echo", "hi"), "hi")
		p.exits(42, "exec", name, "sh", "-c", "exit 42")
		notFound := 127
		if p.e.name == "docker" {
			notFound = 126 // dockerd 20.10 gives 126 for any exec that cannot start
		}
		p.exits(notFound, "exec", name, "no-such-program")
		p.exits(126, "exec", name, "/etc/plain")
		p.exits(137, "exec", name, "sh", "-c", "kill -9 $$")
	}},
	{name: "exec: same namespaces and cgroup as the container", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		for _, ns := range []string{"mnt", "pid", "ipc", "uts", "net"} {
			one := p.ok("exec", name, "readlink", "/proc/1/ns/"+ns)
			own := p.ok("exec", name, "readlink", "/proc/self/ns/"+ns)
			p.equal("namespace "+ns, own, one)
		}
		one := p.ok("exec", name, "cat", "/proc/1/cgroup")
		p.equal("cgroups", p.ok("exec", name, "cat", "/proc/self/cgroup"), one)
	}},
	{name: "exec: user, groups", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		who := p.ok("exec", "--user", "alice", name, "id")
		p.contains("by name", who, "uid=1000(alice) gid=1000(alice)")
		p.contains("by name", who, "2000(wheel)")
		p.equal("by number", p.ok("exec", "--user", "5:6", name, "sh", "-c", "id -u; id -g; id -G"), "5\n6\n6")
		p.equal("name and group", p.ok("exec", "--user", "alice:extra", name, "id", "-g"), "3000")
	}},
	{name: "exec: user of the container is the default", run: func(p *probe) {
		name := p.start("--user", "1000:1000", "--", "sleep", "100")
		p.equal("user", p.ok("exec", name, "id", "-u"), "1000")
	}},
	{name: "exec: working directory, environment", run: func(p *probe) {
		name := p.start("-e", "FROM=container", "--", "sleep", "100")
		p.equal("cwd", p.ok("exec", "-w", "/home/alice", name, "pwd"), "/home/alice")
		p.equal("env", p.ok("exec", "-e", "X=y z", name, "sh", "-c", `echo "$X $FROM"`), "y z container")
	}},
	{name: "exec: input", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		r := p.e.do("abc", "exec", "-i", name, "wc", "-c")
		p.equal("bytes", r.out, "3")
	}},
	{name: "exec: terminal", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.contains("tty", p.ok("exec", "-t", name, "tty"), "/dev/pts/")
		s := openTerminal(p, 77, 22, "exec", "-it", name, "sh")
		s.send("until stty size 2>/dev/null | grep 77; do sleep 0.1; done; exit 8\n")
		s.expect("22 77")
		if code := s.wait(20 * time.Second); code != 8 {
			p.Errorf("exit code %d, want 8", code)
		}
	}},
	{name: "exec: detached", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		p.ok("exec", "-d", name, "sh", "-c", "echo done >/tmp/mark")
		p.eventually("it ran", func() bool { return p.e.do("", "exec", name, "cat", "/tmp/mark").out == "done" })
	}},
	{name: "exec: --privileged gets all capabilities, plain does not", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		plain := p.ok("exec", name, "grep", "CapEff", "/proc/self/status")
		full := p.ok("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status")
		if plain == full {
			p.Errorf("both have %s", plain)
		}
	}, runcFails: "a capability that root lacks on the host cannot be given"},
	{name: "exec: seccomp and no-new-privileges hold", run: func(p *probe) {
		name := p.start("--security-opt", "no-new-privileges", "--", "sleep", "100")
		status := p.ok("exec", name, "cat", "/proc/self/status")
		p.contains("no new privileges", status, "NoNewPrivs:\t1")
		p.contains("seccomp", status, "Seccomp:\t2")
		p.contains("inheritable capabilities", status, "CapInh:\t0000000000000000")
	}},
	{name: "exec: no descriptor but 0, 1, 2", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		// ls itself opens one descriptor for the directory.
		p.equal("descriptors", strings.Join(strings.Fields(p.ok("exec", name, "ls", "/proc/self/fd")), " "), "0 1 2 3")
		p.equal("descriptors of the container", strings.Join(strings.Fields(p.ok("exec", name, "ls", "/proc/1/fd")), " "), "0 1 2")
	}},
	{name: "exec: eight at a time", run: func(p *probe) {
		name := p.start("--", "sleep", "100")
		results := make(chan result)
		for range 8 {
			go func() { results <- p.e.do("", "exec", name, "sh", "-c", "echo x; exit 3") }()
		}
		for range 8 {
			if r := <-results; r.code != 3 || r.out != "x" {
				p.Errorf("exit code %d, output %q, error %q", r.code, r.out, r.err)
			}
		}
	}},
	{name: "exec in a stopped container is an error", run: func(p *probe) {
		name := p.start("--", "true")
		p.ok("wait", name)
		if r := p.e.do("", "exec", name, "true"); r.code == 0 {
			p.Errorf("it worked")
		}
	}},
}
