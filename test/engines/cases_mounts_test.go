package engines

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// file writes a file that engines and containers can read, and returns its path.
func (p *probe) file(name, text string) string {
	p.Helper()
	p.e.n++
	dir := filepath.Join(p.e.dir, "files", strconv.Itoa(p.e.n))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.Fatal(err)
	}
	return path
}

// mountCases: root file system, bind mounts, tmpfs, propagation.
var mountCases = []testCase{
	{name: "--read-only", run: func(p *probe) {
		p.runExits(1, "--read-only", "--", "sh", "-c", "touch /x 2>/dev/null || exit 1")
		p.run("--read-only", "--tmpfs", "/tmp", "--", "touch", "/tmp/x")
		p.run("--read-only", "--", "touch", "/dev/shm/x")
	}},
	{name: "the root file system is writable", run: func(p *probe) { p.run("--", "touch", "/x") }},
	{name: "--tmpfs with options", run: func(p *probe) {
		out := p.run("--tmpfs", "/t:size=2m,mode=1770,noexec", "--", "sh", "-c", "grep ' /t ' /proc/mounts; stat -c %a /t")
		for _, want := range []string{"tmpfs", "size=2048k", "noexec", "1770"} {
			p.contains("tmpfs", out, want)
		}
	}},
	{name: "-v: bind mounts, read-write and read-only", run: func(p *probe) {
		dir := filepath.Dir(p.file("f", "from the host\n"))
		p.equal("read", p.run("-v", dir+":/v", "--", "cat", "/v/f"), "from the host")
		p.run("-v", dir+":/v", "--", "sh", "-c", "echo new >/v/g")
		if data, err := os.ReadFile(filepath.Join(dir, "g")); err != nil || string(data) != "new\n" {
			p.Errorf("the host sees %q, %v", data, err)
		}
		p.runExits(1, "-v", dir+":/v:ro", "--", "sh", "-c", "echo x >/v/h 2>/dev/null || exit 1")
	}},
	{name: "-v: a file over a file, a new target", run: func(p *probe) {
		f := p.file("motd", "hello\n")
		p.equal("over a file", p.run("-v", f+":/etc/plain:ro", "--", "cat", "/etc/plain"), "hello")
		p.equal("new target", p.run("-v", f+":/a/b/c/motd", "--", "cat", "/a/b/c/motd"), "hello")
	}},
	{name: "-v rslave and rshared: mounts cross, or do not", only: "docker", run: func(p *probe) {
		dir := filepath.Dir(p.file("f", ""))
		sub := filepath.Join(dir, "sub")
		if err := os.Mkdir(sub, 0o755); err != nil {
			p.Fatal(err)
		}
		listener := p.start("-v", dir+":/v:rslave", "--", "sleep", "100")
		private := p.start("-v", dir+":/v:rprivate", "--", "sleep", "100")
		mounter := p.start("-v", dir+":/v:rshared", "--cap-add", "SYS_ADMIN", "--", "sleep", "100")
		p.ok("exec", mounter, "sh", "-c", "mount -t tmpfs x /v/sub && touch /v/sub/mark")
		p.equal("rslave sees it", p.ok("exec", listener, "ls", "/v/sub"), "mark")
		p.equal("rprivate does not", p.ok("exec", private, "ls", "/v/sub"), "")
		p.ok("exec", mounter, "umount", "/v/sub")
		p.equal("unmount crosses too", p.ok("exec", listener, "ls", "/v/sub"), "")
	}},
	{name: "--mount type=bind, readonly, and volumes", run: func(p *probe) {
		dir := filepath.Dir(p.file("f", "x\n"))
		p.runExits(1, "--mount", "type=bind,source="+dir+",target=/m,readonly", "--", "sh", "-c", "touch /m/y 2>/dev/null || exit 1")
		name := p.start("--stop-signal", "KILL", "-v", "hullvol:/data", "--", "sh", "-c", "echo kept >/data/f; sleep 100")
		p.eventually("written", func() bool { return p.e.do("", "exec", name, "cat", "/data/f").out == "kept" })
		p.ok("rm", "-f", name)
		p.equal("volume", p.run("-v", "hullvol:/data", "--", "cat", "/data/f"), "kept")
		p.ok("volume", "rm", "hullvol")
	}},
	{name: "default mounts", run: func(p *probe) {
		out := p.run("--", "cat", "/proc/mounts")
		for _, want := range []string{" /proc proc ", " /dev tmpfs ", " /dev/pts devpts ", " /sys sysfs ", " /dev/shm tmpfs ", " /dev/mqueue mqueue "} {
			p.contains("mounts", out, want)
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, " /sys sysfs ") && !strings.Contains(line, " ro,") {
				p.Errorf("/sys is writable: %s", line)
			}
		}
	}},
	{name: "default devices and links", run: func(p *probe) {
		out := p.run("--", "sh", "-c", "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done")
		p.equal("links", out, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx")
	}},
	{name: "cgroup mount inside", run: func(p *probe) {
		p.contains("mount", p.run("--", "cat", "/proc/mounts"), " /sys/fs/cgroup")
		p.runExits(1, "--", "sh", "-c", "cd /sys/fs/cgroup/memory 2>/dev/null || cd /sys/fs/cgroup; mkdir x 2>/dev/null || exit 1")
	}},
}
