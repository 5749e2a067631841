package engines

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// imageTar packs a root file system around busybox-static: applets as links, users for the
// cases that name them, a file that is not executable.
func imageTar(t *testing.T) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		t.Fatalf("busybox --list: %v", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data string) {
		t.Helper()
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var"} {
		mode := int64(0o755)
		if d == "tmp" {
			mode = 0o1777
		}
		add(tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: mode}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "home/alice/", Mode: 0o755, Uid: 1000, Gid: 1000}, "")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(busybox))
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, "")
		}
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, "root:x:0:\nalice:x:1000:\nwheel:x:2000:alice\nextra:x:3000:\n")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/plain", Mode: 0o644}, "not a program\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// importImage gives the image to an engine.
func importImage(t *testing.T, e *engine) {
	t.Helper()
	r := e.do(string(imageTar(t)), "import", "-", "hulltest")
	if r.code != 0 {
		t.Fatalf("%s import: exit code %d: %s", e.name, r.code, r.err)
	}
	e.image = "hulltest"
}
