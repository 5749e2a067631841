package engines

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startDocker starts a private dockerd. remap, if not empty, is the user whose subordinate ids
// (made up for the daemon alone) containers are mapped to.
//
// The daemon gets a mount namespace of its own: its mounts cannot stay on the host whatever
// happens, and / can be made shared there, which -v …:rshared needs. The id ranges are bind
// mounted over /etc/subuid and /etc/subgid in there, so the host's files stay as they are.
func startDocker(t *testing.T, runtime, remap string) *engine {
	t.Helper()
	dir := engineDir(t, "docker")
	e := &engine{
		name:    "docker",
		runtime: runtime,
		dir:     dir,
		state:   filepath.Join(dir, "exec", "runtime-runc"), // dockerd calls it so for any runtime
		parent:  "/hull-engines-" + filepath.Base(dir),
	}
	socket := "unix://" + filepath.Join(dir, "sock")
	e.argv = []string{dockerClient(t), "-H", socket}
	e.env = append(os.Environ(), "DOCKER_CONFIG="+filepath.Join(dir, "client"))
	config := map[string]any{
		"data-root":             filepath.Join(dir, "data"),
		"exec-root":             filepath.Join(dir, "exec"),
		"pidfile":               filepath.Join(dir, "pid"),
		"hosts":                 []string{socket},
		"bridge":                "none",
		"iptables":              false,
		"ip6tables":             false,
		"ip-forward":            false,
		"ip-masq":               false,
		"userland-proxy":        false,
		"runtimes":              map[string]any{"tested": map[string]any{"path": runtime}},
		"default-runtime":       "tested",
		"storage-driver":        "overlay2",
		"shutdown-timeout":      5,
		"init-path":             initProgram(),
		"exec-opts":             []string{"native.cgroupdriver=cgroupfs"},
		"default-cgroupns-mode": "host",
	}
	script := "mount --make-rshared / && "
	if remap != "" {
		config["userns-remap"] = remap
		for _, f := range []string{"subuid", "subgid"} {
			mine := filepath.Join(dir, f)
			if err := os.WriteFile(mine, []byte(remap+":1000000:65536\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat("/etc/" + f); err != nil {
				t.Skipf("/etc/%s is not there (package uidmap)", f)
			}
			script += fmt.Sprintf("mount --bind %s /etc/%s && ", mine, f)
		}
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}

	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	cmd := exec.Command("sh", "-c", script+"exec dockerd --config-file "+file)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting dockerd: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { stopDocker(t, e, cmd, ended) })
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", filepath.Join(dir, "sock")); err == nil {
			c.Close()
			if e.do("", "version").code == 0 {
				break
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("dockerd ended: %v\n%s", err, tail(filepath.Join(dir, "log")))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("dockerd does not answer\n%s", tail(filepath.Join(dir, "log")))
		}
	}
	importImage(t, e)
	return e
}

// stopDocker ends the daemon and checks that nothing is left.
func stopDocker(t *testing.T, e *engine, cmd *exec.Cmd, ended <-chan error) {
	if ids := e.do("", "ps", "-aq"); ids.code == 0 {
		for id := range strings.FieldsSeq(ids.out) {
			e.remove(id)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Errorf("dockerd does not end after SIGTERM\n%s", tail(filepath.Join(e.dir, "log")))
		_ = cmd.Process.Kill()
		<-ended
	}
	if t.Failed() {
		t.Logf("the daemon's last words:\n%s", tail(filepath.Join(e.dir, "log")))
	}
	leftovers(t, e)
}

// dockerClient prefers Debian's own client: it is of the same version as the daemon.
func dockerClient(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/usr/bin/docker"); err == nil {
		return "/usr/bin/docker"
	}
	path, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// initProgram finds what --init runs: Debian's docker.io brings docker-init or leaves it to tini.
func initProgram() string {
	for _, p := range []string{"docker-init", "tini-static", "tini"} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	return "/usr/bin/docker-init"
}

// tail is the end of a log file.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}

// fixtureFile is Docker's own config.json, for the benchmarks.
const fixtureFile = "../bench/testdata/docker-config.json"

// dockerFixture checks that dockerd still writes a config.json with what the benchmarks need
// (default seccomp profile, resources, mounts), and saves it when asked to.
func dockerFixture(p *probe) {
	name := p.start("--memory", "512m", "--cpus", "1", "--pids-limit", "1024", "--", "sleep", "60")
	id := p.inspect(name, "{{.Id}}")
	file := filepath.Join(p.e.dir, "exec", "containerd", "daemon", "io.containerd.runtime.v2.task", "moby", id, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		p.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		p.Fatal(err)
	}
	text, err := neutral(spec, id)
	if err != nil {
		p.Fatal(err)
	}
	if os.Getenv("HULL_UPDATE_FIXTURES") != "" {
		if err := os.WriteFile(fixtureFile, text, 0o644); err != nil {
			p.Fatal(err)
		}
	}
}

// neutral takes out of Docker's config.json what only this run has: the root file system
// becomes "rootfs", the command /bin/true, bind mounts of the daemon's files and hooks go.
func neutral(spec map[string]any, id string) ([]byte, error) {
	linux, ok := spec["linux"].(map[string]any)
	if !ok || linux["seccomp"] == nil {
		return nil, errors.New("docker's config.json has no linux.seccomp")
	}
	if linux["resources"] == nil {
		return nil, errors.New("docker's config.json has no linux.resources")
	}
	spec["root"] = map[string]any{"path": "rootfs"}
	spec["hostname"] = "hull"
	delete(spec, "hooks")
	var mounts []any
	for _, m := range spec["mounts"].([]any) {
		if m.(map[string]any)["type"] != "bind" {
			mounts = append(mounts, m)
		}
	}
	spec["mounts"] = mounts
	process := spec["process"].(map[string]any)
	process["args"] = []string{"/bin/true"}
	process["env"] = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=hull"}
	linux["cgroupsPath"] = "/hull-bench/docker"
	text, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte(id)) {
		return nil, errors.New("docker's config.json names the container in a place that the fixture does not know")
	}
	return append(text, '\n'), nil
}
