package ociruntime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootSharedPropagationKeepsHostMounts: with rootfsPropagation shared on a shared host
// tree, taking down the container's view of the host must not take down the host's mounts.
// The "host" is a mount namespace of the test's own.
func TestRootSharedPropagationKeepsHostMounts(t *testing.T) {
	keel := os.Getenv("HULL_KEEL")
	if keel == "" {
		t.Fatal("HULL_KEEL is not set; run `make test-root`")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "/bin/busybox", filepath.Join(root, "bin/busybox")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := `{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/bin/busybox","true"],"cwd":"/","user":{"uid":0,"gid":0}},
		"linux":{"rootfsPropagation":"rshared","namespaces":[{"type":"mount"},{"type":"pid"}]}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `set -e
mount --make-rshared /
mkdir "$1/m" && mount -t tmpfs x "$1/m"
wc -l < /proc/mounts
"$2" --root "$1/state" run -b "$1" shared
wc -l < /proc/mounts`
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", dir, keel).CombinedOutput()
	f := strings.Fields(string(out))
	if err != nil || len(f) != 2 || f[0] != f[1] {
		t.Fatalf("mounts before and after: %q, %v", out, err)
	}
}
