package ocispec

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRootRuncAgrees creates a container by runc 1.1.5 from each of validateCases and compares: runc refuses what we
// refuse and takes what we take, but where the case says why not. Containers are made, never started, and deleted.
func TestRootRuncAgrees(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("runc is not installed")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(runc, "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "runc version 1.1.") {
		t.Skipf("the cases know what runc 1.1 does; this is %q (%v)", version, err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // user namespaces walk in
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	agreed, differed := 0, 0
	for i, c := range validateCases {
		if c.runc == dangerous {
			continue
		}
		bundle := filepath.Join(dir, "b"+strconv.Itoa(i))
		id := "hull-ocispec-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(i)
		makeBundle(t, bundle, program, inCgroup(t, c.document(t), id))
		cmd := exec.Command(runc, "--root", filepath.Join(dir, "state"), "create", "--bundle", bundle, id)
		log, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log // files: the container keeps them open, a pipe would never end
		err = cmd.Run()
		log.Close()
		said, _ := os.ReadFile(log.Name())
		refused := err != nil
		if out, err := exec.Command(runc, "--root", filepath.Join(dir, "state"), "delete", "--force", id).CombinedOutput(); err != nil && !refused {
			t.Errorf("%s: delete: %v: %s", c.name, err, out)
		}
		switch agree := refused == (c.want != ""); {
		case agree && c.runc != "":
			t.Errorf("%s: runc agrees, and the case says it does not: %s\n%s", c.name, c.runc, said)
		case !agree && c.runc == "":
			t.Errorf("%s: we say %q, runc: %s", c.name, c.want, said)
		case agree:
			agreed++
		default:
			differed++
		}
	}
	t.Logf("runc agrees on %d configurations, differs for a known reason on %d", agreed, differed)
	if left, err := filepath.Glob("/sys/fs/cgroup/*/hull-ocispec-" + strconv.Itoa(os.Getpid()) + "-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
}

// inCgroup puts the container at the top of each hierarchy, not below the cgroup of this test.
func inCgroup(t *testing.T, doc []byte, id string) []byte {
	t.Helper()
	var m dict
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber() // 1.0 stays 1.0
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	l, ok := m["linux"].(dict)
	if !ok {
		return doc
	}
	l["cgroupsPath"] = "/" + id
	doc, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func makeBundle(t *testing.T, bundle string, program, config []byte) {
	t.Helper()
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "mnt"} {
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bundle, "rootfs/bin/sh"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
}
