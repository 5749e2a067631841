package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rootlessUser exists only in the mount namespaces that the commands run in.
const rootlessUser = 61235

// startRootless prepares a podman of an ordinary user with subordinate ids.
func startRootless(t *testing.T, runtime string) *engine {
	t.Helper()
	dir := engineDir(t, "rootless")
	e := &engine{name: "podman", runtime: runtime, dir: dir, state: filepath.Join(dir, "state"), parent: "/hull-engines-" + filepath.Base(dir)}
	program, err := os.ReadFile(runtime) // where it is, others may not look
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, filepath.Base(runtime)+".real")
	wrapper := filepath.Join(dir, filepath.Base(runtime))
	passwd, _ := os.ReadFile("/etc/passwd")
	group, _ := os.ReadFile("/etc/group")
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		own:              {string(program), 0o755},
		wrapper:          {fmt.Sprintf("#!/bin/sh\nexec '%s' --root '%s' \"$@\"\n", own, e.state), 0o755},
		dir + "/passwd":  {string(passwd) + fmt.Sprintf("hullpod:x:%d:%d::%s/home:/bin/sh\n", rootlessUser, rootlessUser, dir), 0o644},
		dir + "/group":   {fmt.Sprintf("%shullpod:x:%d:\n", group, rootlessUser), 0o644},
		dir + "/subids":  {"hullpod:800000:65536\n", 0o644},
		dir + "/in-user": {"#!/bin/sh\nset -e\ncd /\nmount --bind " + dir + "/passwd /etc/passwd\nmount --bind " + dir + "/group /etc/group\nmount --bind " + dir + "/subids /etc/subuid\nmount --bind " + dir + "/subids /etc/subgid\nexec setpriv --reuid " + strconv.Itoa(rootlessUser) + " --regid " + strconv.Itoa(rootlessUser) + " --clear-groups \"$@\"\n", 0o755},
	} {
		if err := os.WriteFile(name, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"home", "run", "state"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chown(filepath.Join(dir, d), rootlessUser, rootlessUser)
	}
	e.argv = []string{"unshare", "-m", "--propagation", "private", dir + "/in-user", "podman", "--runtime", wrapper, "--events-backend", "file"}
	e.env = []string{"HOME=" + dir + "/home", "XDG_RUNTIME_DIR=" + dir + "/run", "USER=hullpod", "PATH=" + os.Getenv("PATH")}
	t.Cleanup(func() {
		if ids := e.do("", "ps", "-aq"); ids.code == 0 {
			for id := range strings.FieldsSeq(ids.out) {
				e.remove(id)
			}
		}
		e.do("", "system", "migrate") // ends the process that keeps the user namespace
		leftovers(t, e)
	})
	importImage(t, e)
	return e
}

// TestRootPodmanRootless: podman of an ordinary user makes a user namespace, with all his ids
// mapped, and runs the runtime as root of it.
func TestRootPodmanRootless(t *testing.T) {
	runtime := requireEngines(t, "podman", "conmon", "busybox", "newuidmap", "setpriv", "unshare")
	e := startRootless(t, runtime)
	run := func(p *probe, args ...string) string {
		p.Helper()
		return p.ok(append([]string{"run", "--rm", "--network", "none"}, args...)...)
	}
	for _, c := range []testCase{
		{name: "root inside, the user outside", run: func(p *probe) {
			p.equal("id", run(p, e.image, "id", "-u"), "0")
			p.equal("uid_map", strings.Join(strings.Fields(run(p, e.image, "cat", "/proc/self/uid_map")), " "), "0 61235 1 1 800000 65536")
			p.equal("groups", run(p, "--user", "5:6", "--group-add", "7", e.image, "id", "-G"), "6 7")
		}},
		{name: "the user's own id inside", run: func(p *probe) {
			p.equal("id", run(p, "--userns", "keep-id", e.image, "id", "-u"), "61235")
		}},
		{name: "files, volumes, terminal", run: func(p *probe) {
			home := e.dir + "/home"
			os.WriteFile(home+"/f", []byte("content"), 0o644)
			p.equal("read-only volume", run(p, "-v", home+":/h:ro", "--tmpfs", "/t", "--read-only", e.image, "sh", "-c",
				"cat /h/f; touch /h/x 2>/dev/null || echo -ro; touch /t/y && echo -rw; touch /z 2>/dev/null || echo -ro"), "content-ro\n-rw\n-ro")
			p.equal("device", run(p, e.image, "sh", "-c", "echo x > /dev/null && test -c /dev/zero && echo devices"), "devices")
			p.equal("terminal", run(p, "-t", e.image, "tty"), "/dev/pts/0")
		}},
		{name: "exec, top, stop", run: func(p *probe) {
			name := p.name()
			p.ok("run", "-d", "--name", name, "--network", "none", e.image, "sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done")
			p.equal("exec", p.ok("exec", name, "id", "-u"), "0")
			p.equal("exec as another user", p.ok("exec", "--user", "5", name, "id", "-u"), "5")
			p.exits(42, "exec", name, "sh", "-c", "exit 42")
			p.contains("top", p.ok("top", name), "sleep 0.1")
			p.ok("stop", "-t", "20", name)
			p.equal("exit code", p.inspect(name, "{{.State.ExitCode}}"), "9")
		}},
		{name: "a user namespace in the user's", run: func(p *probe) {
			p.equal("uid_map", strings.Join(strings.Fields(run(p, "--uidmap", "0:1:1000", "--gidmap", "0:1:1000", e.image, "cat", "/proc/self/uid_map")), " "), "0 1 1000")
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&probe{t, e}) })
	}
}
