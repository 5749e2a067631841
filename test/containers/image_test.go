package containers

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// applets of busybox that the image has.
const applets = "sh true false cat echo ls sleep ps id env seq kill touch mkdir rm mount hostname date wc head tail stat dd chmod stty printenv pwd trap yes grep tr"

// rootfs is a tar of busybox-static.
func rootfs(t *testing.T) []byte {
	t.Helper()
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data []byte) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "etc", "root", "var"} {
		add(tar.Header{Name: d + "/", Mode: 0o755, Typeflag: tar.TypeDir}, nil)
	}
	add(tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}, nil)
	add(tar.Header{Name: "bin/busybox", Mode: 0o755, Typeflag: tar.TypeReg}, box)
	for _, a := range strings.Fields(applets) {
		add(tar.Header{Name: "bin/" + a, Linkname: "busybox", Mode: 0o777, Typeflag: tar.TypeSymlink}, nil)
	}
	add(tar.Header{Name: "etc/passwd", Mode: 0o644, Typeflag: tar.TypeReg}, []byte("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"))
	add(tar.Header{Name: "etc/group", Mode: 0o644, Typeflag: tar.TypeReg}, []byte("root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n"))
	add(tar.Header{Name: "etc/plain", Mode: 0o644, Typeflag: tar.TypeReg}, []byte("text\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withImage gives a daemon the image "busybox".
func (d *daemon) withImage(t *testing.T) *daemon {
	t.Helper()
	if r := d.feed(rootfs(t), "import", "-", "busybox"); r.code != 0 {
		t.Fatalf("importing the image: %+v\n%s", r, d.log())
	}
	return d
}

// hulldWithImage starts a hulld that has the image. At the end its containers are removed, and
// nothing may be left of them.
func hulldWithImage(t *testing.T, name string, env ...string) *daemon {
	t.Helper()
	requires(t)
	dir := workDir(t, name)
	d := startHulld(t, dir, env...).withImage(t)
	t.Cleanup(func() { d.removeAll(t) })
	return d
}

// removeAll removes all containers and looks at what is left.
func (d *daemon) removeAll(t *testing.T) {
	t.Helper()
	if ids := strings.Fields(d.do("ps", "-aq", "--no-trunc").out); len(ids) > 0 {
		d.do(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
	d.nothingLeft(t)
}

// nothingLeft says what is there of containers though there are none.
func (d *daemon) nothingLeft(t *testing.T) {
	t.Helper()
	left := func() (found []string) {
		for _, dir := range []string{"data/containers", "data/containers-trash", "run/containers", "run/keel"} {
			entries, _ := os.ReadDir(filepath.Join(d.dir, dir))
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), "@") {
					continue // a cache of the runtime's
				}
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
		return append(found, d.processes(t)...)
	}
	var found []string
	if !soon(func() bool { found = left(); return len(found) == 0 }) {
		t.Errorf("of containers that are gone there is left: %v\n%s", found, d.log())
	}
}

// processes are shims of this daemon: their command line has its state directory.
func (d *daemon) processes(t *testing.T) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && bytes.Contains(line, []byte(filepath.Join(d.dir, "run", "keel"))) {
			found = append(found, "process "+e.Name())
		}
	}
	return found
}
