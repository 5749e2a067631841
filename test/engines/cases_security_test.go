package engines

import "strings"

// securityCases: credentials, capabilities, seccomp, masks.
var securityCases = []testCase{
	{name: "default capabilities", run: func(p *probe) {
		status := p.run("--", "cat", "/proc/self/status")
		p.contains("inheritable", status, "CapInh:\t0000000000000000")
		p.contains("ambient", status, "CapAmb:\t0000000000000000")
		if p.e.name == "docker" {
			p.contains("effective", status, "CapEff:\t00000000a80425fb")
			p.contains("bounding", status, "CapBnd:\t00000000a80425fb")
		}
	}},
	{name: "--cap-drop ALL", run: func(p *probe) {
		status := p.run("--cap-drop", "ALL", "--", "cat", "/proc/self/status")
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"} {
			p.contains("set", status, set+":\t0000000000000000")
		}
		p.runExits(1, "--cap-drop", "ALL", "--", "chown", "1:1", "/etc/plain")
	}},
	{name: "--cap-drop ALL --cap-add one", run: func(p *probe) {
		status := p.run("--cap-drop", "ALL", "--cap-add", "CHOWN", "--", "cat", "/proc/self/status")
		p.contains("set", status, "CapEff:\t0000000000000001")
		p.run("--cap-drop", "ALL", "--cap-add", "CHOWN", "--", "chown", "1:1", "/etc/plain")
	}},
	{name: "a user without root has no effective capabilities", run: func(p *probe) {
		status := p.run("--user", "1000", "--", "cat", "/proc/self/status")
		p.contains("effective", status, "CapEff:\t0000000000000000")
		p.contains("permitted", status, "CapPrm:\t0000000000000000")
	}},
	{name: "--user and --group-add", run: func(p *probe) {
		p.equal("numbers", p.run("--user", "123:456", "--", "sh", "-c", "id -u; id -g; id -G"), "123\n456\n456")
		p.equal("name", p.run("--user", "alice", "--", "id"), "uid=1000(alice) gid=1000(alice) groups=1000(alice),2000(wheel)")
		p.equal("groups", p.run("--user", "alice:alice", "--group-add", "extra", "--group-add", "4000", "--", "id", "-G"), "1000 3000 4000")
		p.equal("a number with a line in passwd", p.run("--user", "1000", "--", "sh", "-c", "id -u; id -g"), "1000\n1000")
		if r := p.e.do("", p.flags([]string{"run", "--rm", "--user", "nobody-here", "--", "id"})...); r.code == 0 {
			p.Errorf("a user that does not exist was accepted: %s", r.out)
		}
	}},
	{name: "seccomp: default profile", run: func(p *probe) {
		p.contains("mode", p.run("--", "cat", "/proc/self/status"), "Seccomp:\t2")
		if p.e.name == "docker" { // podman's profile allows user namespaces
			if r := p.e.do("", p.flags([]string{"run", "--rm", "--", "unshare", "-U", "true"})...); r.code == 0 {
				p.Errorf("unshare of a user namespace works under the default profile")
			}
		}
		p.runExits(1, "--", "sh", "-c", "mount -t tmpfs x /tmp 2>/dev/null; test $? -ne 0 && exit 1")
	}},
	{name: "seccomp=unconfined", run: func(p *probe) {
		p.contains("mode", p.run("--security-opt", "seccomp=unconfined", "--", "cat", "/proc/self/status"), "Seccomp:\t0")
	}},
	{name: "seccomp: a profile of one's own", run: func(p *probe) {
		file := p.file("profile.json", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}`)
		r := p.e.do("", p.flags([]string{"run", "--rm", "--security-opt", "seccomp=" + file, "--", "mkdir", "/tmp/x"})...)
		if r.code == 0 || !strings.Contains(r.err, "No space left") {
			p.Errorf("mkdir under a profile that answers ENOSPC: exit code %d, %q", r.code, r.err)
		}
		p.run("--security-opt", "seccomp="+file, "--", "touch", "/tmp/x")
	}},
	{name: "seccomp: a broken profile is refused", run: func(p *probe) {
		file := p.file("broken.json", `{"defaultAction":"SCMP_ACT_NONSENSE"}`)
		if r := p.e.do("", p.flags([]string{"run", "--rm", "--security-opt", "seccomp=" + file, "--", "true"})...); r.code == 0 {
			p.Errorf("it runs")
		}
	}},
	{name: "no-new-privileges", run: func(p *probe) {
		p.contains("set", p.run("--security-opt", "no-new-privileges", "--", "cat", "/proc/self/status"), "NoNewPrivs:\t1")
		p.contains("not set", p.run("--", "cat", "/proc/self/status"), "NoNewPrivs:\t0")
	}},
	{name: "masked and read-only paths", run: func(p *probe) {
		p.equal("kcore", p.run("--", "sh", "-c", "head -c 1 /proc/kcore | wc -c"), "0")
		p.equal("timer_list", p.run("--", "sh", "-c", "cat /proc/timer_list 2>/dev/null | wc -c"), "0")
		p.runExits(1, "--", "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq 2>/dev/null || exit 1")
		p.runExits(1, "--", "sh", "-c", "echo h >/proc/sysrq-trigger 2>/dev/null || exit 1")
		p.equal("firmware", p.run("--", "sh", "-c", "ls /sys/firmware | wc -l"), "0")
	}},
	{name: "--privileged", runcFails: "a capability that root lacks on the host cannot be given", run: func(p *probe) {
		out := p.run("--privileged", "--", "sh", "-c", "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted; test -w /proc/sys/kernel/hostname && echo writable; ls /dev/kmsg")
		for _, want := range []string{"Seccomp:\t0", "mounted", "writable", "/dev/kmsg"} {
			p.contains("privileged", out, want)
		}
	}},
	{name: "--cap-add SYS_ADMIN can mount", run: func(p *probe) {
		p.equal("mount", p.run("--cap-add", "SYS_ADMIN", "--", "sh", "-c", "mount -t tmpfs x /tmp && echo yes"), "yes")
	}},
	{name: "supplementary groups include the primary one", run: func(p *probe) {
		// CVE-2022-36109: a group that is denied must be among the process's groups.
		p.equal("groups", p.run("--user", "1000:3000", "--", "id", "-G"), "3000")
	}},
}
