package cli

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startDocker starts a private dockerd in a mount namespace of its own, without a bridge, and
// gives it an image "bb" of busybox.
func startDocker(t *testing.T) (host string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "hull-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("something is left in %s: %v", dir, err)
		}
	})
	socket := filepath.Join(dir, "sock")
	config, err := json.Marshal(map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "pid"),
		"hosts": []string{"unix://" + socket}, "bridge": "none", "iptables": false, "ip6tables": false,
		"ip-forward": false, "ip-masq": false, "userland-proxy": false, "storage-driver": "overlay2", "shutdown-timeout": 5, "experimental": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", "mount --make-rprivate / && exec dockerd --config-file "+file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setsid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting dockerd: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("dockerd does not answer\n%s", text)
		}
	}
	importBusybox(t, &client{program: docker(t), host: "unix://" + socket, dir: dir, config: dir})
	return "unix://" + socket
}

func importBusybox(t *testing.T, c *client) {
	t.Helper()
	root := filepath.Join(c.dir, "busybox")
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skipf("no busybox: %v", err)
	}
	for name, file := range map[string][]byte{"bin/busybox": data, "etc/passwd": []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"), "etc/noexec": []byte("x")} {
		mode := os.FileMode(0o644)
		if name == "bin/busybox" {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(root, name), file, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "ls", "cat", "echo", "sleep", "true", "false", "env", "id", "kill", "seq", "head", "stty", "pwd", "touch", "rm", "printf"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := exec.Command("tar", "-C", root, "-c", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if r := c.run(packed, "import", "-c", `CMD ["sh"]`, "-", "bb"); r.code != 0 {
		t.Fatalf("importing busybox: %s", r.err)
	}
}
