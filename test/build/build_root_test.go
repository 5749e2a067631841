package build

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is a hulld of its own.
type daemon struct {
	t         *testing.T
	dir, bin  string
	cmd       *exec.Cmd
	host      string
	stateDir  string
	dataRoot  string
	dockerCLI string
}

func start(t *testing.T) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	bin, _ := filepath.Abs("../../bin")
	if _, err := os.Stat(bin + "/hull-build"); err != nil {
		t.Skip("needs `make build`")
	}
	dir := t.TempDir()
	d := &daemon{t: t, dir: dir, bin: bin, host: "unix://" + dir + "/s.sock", stateDir: dir + "/state", dataRoot: dir + "/data"}
	d.up()
	t.Cleanup(d.down)
	d.dockerCLI = "/usr/bin/docker"
	if _, err := os.Stat(d.dockerCLI); err != nil {
		d.dockerCLI, _ = exec.LookPath("docker")
	}
	root := dir + "/root"
	for _, p := range []string{"bin", "etc", "proc", "dev", "sys", "tmp"} {
		if err := os.MkdirAll(root+"/"+p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.must(exec.Command("cp", "/bin/busybox", root+"/bin/busybox"))
	d.must(exec.Command("/bin/busybox", "--install", "-s", root+"/bin"))
	d.must(exec.Command("sh", "-c", "for l in "+root+"/bin/*; do [ -L $l ] && ln -sf busybox $l; done; echo root:x:0:0::/:/bin/sh > "+root+"/etc/passwd"))
	d.must(exec.Command("tar", "-C", root, "-cf", dir+"/base.tar", "."))
	d.must(exec.Command(bin+"/hull", "-H", d.host, "import", dir+"/base.tar", "base:latest"))
	return d
}

func (d *daemon) up() {
	d.t.Helper()
	d.cmd = exec.Command(d.bin+"/hulld", "--data-root", d.dataRoot, "--state-dir", d.stateDir, "--host", d.host, "--networks", "off", "--log-file", "-")
	d.cmd.Stderr = os.Stderr
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	for range 200 {
		if exec.Command(d.bin+"/hull", "-H", d.host, "images").Run() == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Fatal("hulld does not answer")
}

func (d *daemon) down() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
}

func (d *daemon) must(c *exec.Cmd) string {
	d.t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

// context makes a directory of files.
func (d *daemon) context(files map[string]string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
	return dir
}

func (d *daemon) hullBuild(args ...string) *exec.Cmd {
	return exec.Command(d.bin+"/hull", append([]string{"-H", d.host, "build", "--progress", "plain", "--network", "none"}, args...)...)
}

func (d *daemon) run(image string, args ...string) string {
	d.t.Helper()
	return d.must(exec.Command(d.bin+"/hull", append([]string{"-H", d.host, "run", "--rm", "--network", "none", image}, args...)...))
}

// TestRootClients: one multi-stage Dockerfile by three clients gives one image.
func TestRootClients(t *testing.T) {
	d := start(t)
	dir := d.context(map[string]string{"a.txt": "A\n", "Dockerfile": `FROM base AS one
ARG WHO=world
RUN echo hello $WHO > /hello
COPY a.txt /a/
FROM base
COPY --from=one /hello /hello2
COPY --from=one --chmod=600 /a/a.txt /x/
ENV X=1
CMD ["cat", "/hello2", "/x/a.txt"]
`})
	d.must(d.hullBuild("-t", "hull", "--build-arg", "WHO=you", dir))
	for kit, tag := range map[string]string{"0": "classic", "1": "kit"} {
		c := exec.Command(d.dockerCLI, "build", "--network", "none", "--build-arg", "WHO=you", "-t", tag, dir)
		c.Env = append(os.Environ(), "DOCKER_HOST="+d.host, "DOCKER_BUILDKIT="+kit)
		out := d.must(c)
		if kit == "0" && (!strings.Contains(out, "Successfully tagged classic:latest") || !strings.Contains(out, "Using cache")) {
			t.Errorf("the classic builder's output is\n%s", out)
		}
	}
	for _, tag := range []string{"hull", "classic", "kit"} {
		if got := d.run(tag); got != "hello you\nA\n" {
			t.Errorf("%s prints %q", tag, got)
		}
	}
}

// TestRootSecret: a secret is there for its instruction, and nowhere in the store, the history or the output.
func TestRootSecret(t *testing.T) {
	d := start(t)
	const secret = "geheim-5f1c0b77"
	dir := d.context(map[string]string{"Dockerfile": `FROM base
RUN --mount=type=secret,id=s wc -c < /run/secrets/s
RUN ! test -e /run/secrets/s
`})
	file := d.dir + "/secret"
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	out := d.must(d.hullBuild("-t", "s", "--secret", "id=s,src="+file, dir))
	if !strings.Contains(out, " 15\n") {
		t.Errorf("the instruction did not see the secret:\n%s", out)
	}
	if found, err := exec.Command("grep", "-rl", secret, d.dataRoot, d.stateDir).Output(); err == nil || len(found) > 0 {
		t.Errorf("the secret is in %s", found)
	}
}

// TestRootCancelled: when the client is interrupted, or hulld killed, the instruction ends, and nothing is left.
func TestRootCancelled(t *testing.T) {
	d := start(t)
	dir := d.context(map[string]string{"Dockerfile": "FROM base\nRUN touch /one\nRUN --mount=type=cache,target=/c echo begun && sleep 4321\n"})
	for _, how := range []string{"interrupt", "kill -9"} {
		var out bytes.Buffer
		c := d.hullBuild(dir)
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for i := 0; len(sleepers(t)) == 0; i++ {
			if i > 200 {
				t.Fatal("the instruction does not run")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if how == "interrupt" {
			_ = c.Process.Signal(syscall.SIGINT)
		} else {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
			d.up()
		}
		_ = c.Wait()
		for i := 0; len(sleepers(t)) > 0; i++ {
			if i > 200 {
				t.Fatalf("%s: the instruction goes on", how)
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(500 * time.Millisecond)
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		if strings.Contains(string(mounts), d.dataRoot) {
			t.Errorf("%s: mounts are left:\n%s", how, mounts)
		}
		for _, p := range []string{d.stateDir + "/build", d.stateDir + "/containers", d.dataRoot + "/build/mounts"} {
			if left, _ := os.ReadDir(p); len(left) > 0 {
				t.Errorf("%s: %s holds %v", how, p, left)
			}
		}
	}
	again := d.context(map[string]string{"Dockerfile": "FROM base\nRUN touch /one\nRUN test -e /one\n"})
	if out := d.must(d.hullBuild(again)); !strings.Contains(out, "CACHED") {
		t.Errorf("after all that nothing is remembered:\n%s", out)
	}
}

// sleepers are the processes of the test's instruction.
func sleepers(t *testing.T) (out []string) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		if raw, err := os.ReadFile(p); err == nil && string(raw) == "sleep\x004321\x00" {
			out = append(out, p)
		}
	}
	return out
}
