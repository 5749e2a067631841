// Package images drives hulld and Debian's dockerd side by side with the same docker client,
// and compares what a user sees: output, errors, exit codes. A registry (Debian's
// docker-registry) runs on loopback for both.
//
//	make images
//	HULL_TEST_IMAGES=1 HULL_BIN=$PWD/bin go test ./test/images -v
//
// Every daemon has directories of its own and ends with its test. Where the two differ on
// purpose, the case says why.
package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is a running engine with its client.
type daemon struct {
	name   string
	dir    string
	socket string
	driver string // of hulld's snapshots, if the test chose it
	disk   bool   // the data is on a file system of its own
	cmd    *exec.Cmd
	ended  chan error
	client string
}

// result is what one client command did.
type result struct {
	out, err string
	code     int
}

func requires(t *testing.T) {
	t.Helper()
	if os.Getenv("HULL_TEST_IMAGES") == "" {
		t.Skip("HULL_TEST_IMAGES is not set (make images)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
}

// program finds one of Hull's programs.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("HULL_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// workDir is a directory on disk (overlayfs cannot be stacked on a tmpfs of every kernel).
func workDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "hull-images-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("something is left in %s: %v", dir, err)
		}
	})
	return dir
}

// fastDir is a directory in memory, for tests of many small images, where the kernel can have
// overlayfs there.
func fastDir(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "hull-images-"+name+"-")
	if err != nil {
		return workDir(t, name)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("something is left in %s: %v", dir, err)
		}
	})
	return dir
}

func startHulld(t *testing.T, dir string, env ...string) *daemon {
	t.Helper()
	return startHulldWith(t, dir, env)
}

// startHulldWith is startHulld with further arguments.
func startHulldWith(t *testing.T, dir string, env []string, args ...string) *daemon {
	t.Helper()
	d := &daemon{name: "hulld", dir: dir, socket: filepath.Join(dir, "run", "hull.sock")}
	d.start(t, append(os.Environ(), env...), append([]string{program(t, "hulld"), "--data-root", filepath.Join(dir, "data"), "--state-dir", filepath.Join(dir, "run"), "--networks", "off", "--log-level", "debug"}, args...)...)
	return d
}

// startDriver is startHulld with a snapshotter.
func startDriver(t *testing.T, dir, driver string, env ...string) *daemon {
	t.Helper()
	d := &daemon{name: "hulld", dir: dir, driver: driver, socket: filepath.Join(dir, "run", "hull.sock")}
	d.start(t, append(os.Environ(), env...), program(t, "hulld"), "--data-root", filepath.Join(dir, "data"), "--state-dir", filepath.Join(dir, "run"), "--networks", "off", "--log-level", "debug", "--snapshotter", driver)
	return d
}

// startDocker starts a private dockerd in a mount namespace of its own.
func startDocker(t *testing.T, dir string) *daemon {
	t.Helper()
	d := &daemon{name: "dockerd", dir: dir, socket: filepath.Join(dir, "sock")}
	config, err := json.Marshal(map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "pid"),
		"hosts": []string{"unix://" + d.socket}, "bridge": "none", "iptables": false, "ip6tables": false,
		"ip-forward": false, "ip-masq": false, "userland-proxy": false, "storage-driver": "overlay2", "shutdown-timeout": 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t, os.Environ(), "sh", "-c", "mount --make-rprivate / && exec dockerd --config-file "+file)
	return d
}

func (d *daemon) start(t *testing.T, env []string, argv ...string) {
	t.Helper()
	d.client = "/usr/bin/docker" // Debian's, of dockerd's version
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Env = env
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", d.name, err)
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() { d.stop(t) })
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", d.socket); err == nil {
			c.Close()
			if d.do("version").code == 0 {
				return
			}
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			if slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "HULL_FAILPOINT=collect.") }) && err != nil && strings.Contains(err.Error(), "killed") {
				return // the sweep of the start came there
			}
			t.Fatalf("%s ended: %v\n%s", d.name, err, d.log())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer\n%s", d.name, d.log())
		}
	}
}

// stop ends the daemon with SIGTERM; it must end well.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		d.ended <- err
		if d.name == "hulld" && err != nil && !strings.Contains(err.Error(), "killed") {
			t.Errorf("hulld ended with %v\n%s", err, d.log())
		}
	case <-time.After(30 * time.Second):
		t.Errorf("%s does not end after SIGTERM\n%s", d.name, d.log())
		_ = d.cmd.Process.Kill()
	}
}

// kill ends the daemon with SIGKILL.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	d.ended <- <-d.ended
}

// alive says whether the daemon still runs.
func (d *daemon) alive() bool {
	select {
	case err := <-d.ended:
		d.ended <- err
		return false
	default:
		return true
	}
}

func (d *daemon) log() string {
	var all []byte
	for _, f := range []string{"log", "run/hulld.log"} {
		data, _ := os.ReadFile(filepath.Join(d.dir, f))
		all = append(all, data...)
	}
	return string(all[max(0, len(all)-4000):])
}

// do runs one client command.
func (d *daemon) do(args ...string) result { return d.feed(nil, args...) }

func (d *daemon) feed(stdin []byte, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.client, append([]string{"-H", "unix://" + d.socket}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+filepath.Join(d.dir, "client"))
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	r := result{out: out.String(), err: errOut.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		r.code, r.err = -1, err.Error()
	}
	return r
}

// ok runs a client command that must succeed.
func (d *daemon) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := d.do(args...)
	if r.code != 0 {
		t.Fatalf("%s: %s: exit code %d\n%s%s\n%s", d.name, strings.Join(args, " "), r.code, r.out, r.err, d.log())
	}
	return r.out
}

// startRegistry runs Debian's docker-registry on loopback and returns its host:port.
func startRegistry(t *testing.T) string {
	t.Helper()
	return startRegistryWith(t, "", "")
}

// startRegistryWith is startRegistry with further configuration, and with TLS if that is one.
func startRegistryWith(t *testing.T, more, certificates string) string {
	t.Helper()
	dir := workDir(t, "registry")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	tls := ""
	if certificates != "" {
		tls = fmt.Sprintf(", tls: {certificate: %s/server.crt, key: %s/server.key}", certificates, certificates)
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q%s}\n%s", filepath.Join(dir, "data"), addr, tls, more)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting docker-registry: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			_, port, _ := net.SplitHostPort(addr)
			return "localhost:" + port
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("docker-registry does not answer")
	return ""
}
