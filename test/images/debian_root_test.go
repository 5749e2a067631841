package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRootDebian: a Debian that mmdebstrap made goes into Hull, to a registry, out of Hull, and back again, to Hull, to
// Docker and to skopeo: the digest is one, and so is the tree.
func TestRootDebian(t *testing.T) {
	requires(t)
	reg := startRegistry(t)
	work := fastDir(t, "debian")
	archive := filepath.Join(work, "debian.tar")
	debian(t, archive)
	name := reg + "/debian:1"

	h := startDriver(t, fastDir(t, "hulld"), "overlay")
	h.client = program(t, "hull")
	h.ok(t, "import", archive, name)
	imported := snapshotTree(t, h)
	h.ok(t, "push", "-q", name)
	digest := registryDigest(t, reg)
	if got := digestOf(t, h, name); got != digest {
		t.Errorf("hull says %s, the registry %s", got, digest)
	}
	h.ok(t, "rmi", name)
	for deadline := time.Now().Add(10 * time.Second); len(files(t, snapshotsDir(h)))+len(files(t, blobsDir(h))) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after rmi these are left: %v %v", files(t, snapshotsDir(h)), files(t, blobsDir(h)))
		}
	}
	if out := h.ok(t, "pull", name); !strings.Contains(out, "Digest: "+digest) {
		t.Errorf("pulled again: %s", out)
	}
	pulled := snapshotTree(t, h)
	fsck(t, h)

	e := startDriver(t, workDir(t, "erofs"), "erofs")
	e.ok(t, "pull", name)
	image := erofsTree(t, e)

	d := startDocker(t, workDir(t, "dockerd"))
	if out := d.ok(t, "pull", name); !strings.Contains(out, "Digest: "+digest) {
		t.Errorf("docker: %s", out)
	}
	docker := readTree(t, strings.TrimSpace(d.ok(t, "image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name)))

	// Docker gives the root itself no time of the archive's.
	docker["."] = pulled["."]

	copied := skopeo(t, work, reg, digest, archive)

	if len(imported) < 3000 {
		t.Errorf("%d files were imported", len(imported))
	}
	sameTree(t, "imported and pulled", imported, pulled)
	sameTree(t, "overlay and EROFS", pulled, image)
	sameTree(t, "Hull and Docker", pulled, docker)
	sameTree(t, "Hull and skopeo with GNU tar", pulled, copied)
	for _, path := range []string{"extra/capable", "extra/attributes", "extra/null", "extra/disk", "extra/pipe", "extra/hard", "extra/soft", "extra/ünï", "etc/debian_version"} {
		if pulled[path] == "" {
			t.Errorf("%s is missing", path)
		}
	}
	if !strings.Contains(pulled["extra/capable"], "security.capability") || !strings.Contains(pulled["extra/hard"], "is extra/capable") {
		t.Errorf("got %q, %q", pulled["extra/capable"], pulled["extra/hard"])
	}
}

// debian makes a root file system of this machine's release, with a directory of what such a tree seldom has.
func debian(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `. /etc/os-release && exec mmdebstrap --quiet --variant=essential "${VERSION_CODENAME:-stable}" "$1"`, "sh", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The end mark gives way to more members; the reader finds where it begins.
	r := tar.NewReader(f)
	end := int64(0)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if end, err = f.Seek(0, io.SeekCurrent); err != nil {
			t.Fatal(err)
		}
		end += (h.Size + 511) &^ 511
	}
	if err := f.Truncate(end); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	fine := made.Add(123456789 * time.Nanosecond)
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_raw=ep
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "extra/", Mode: 0o2751, Uid: 7, Gid: 70000},
		{Typeflag: tar.TypeReg, Name: "extra/capable", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Typeflag: tar.TypeReg, Name: "extra/attributes", Mode: 0o4711, Uid: 1 << 30, PAXRecords: map[string]string{"SCHILY.xattr.user.hull": "a\nb"}},
		{Typeflag: tar.TypeLink, Name: "extra/hard", Linkname: "extra/capable", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Typeflag: tar.TypeSymlink, Name: "extra/soft", Linkname: "../etc/debian_version", Uid: 5, Mode: 0o777},
		{Typeflag: tar.TypeChar, Name: "extra/null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		{Typeflag: tar.TypeBlock, Name: "extra/disk", Mode: 0o660, Gid: 6, Devmajor: 8, Devminor: 17},
		{Typeflag: tar.TypeFifo, Name: "extra/pipe", Mode: 0o600},
		{Typeflag: tar.TypeReg, Name: "extra/ünï", Mode: 0o400},
		{Typeflag: tar.TypeReg, Name: "extra/" + strings.Repeat("long", 50), Mode: 0o644},
	} {
		h.ModTime, h.Format = fine, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// snapshotTree is the tree of the one layer that hulld has.
func snapshotTree(t *testing.T, d *daemon) map[string]string {
	t.Helper()
	ids := files(t, snapshotsDir(d))
	if len(ids) != 1 {
		t.Fatalf("the snapshots are %v, want one", ids)
	}
	return readTree(t, filepath.Join(snapshotsDir(d), ids[0], "fs"))
}

// erofsTree is the tree in the one layer's file, as the kernel shows it in a mount namespace of its own.
func erofsTree(t *testing.T, d *daemon) map[string]string {
	t.Helper()
	ids := files(t, snapshotsDir(d))
	if len(ids) != 1 {
		t.Fatalf("the snapshots are %v, want one", ids)
	}
	at := filepath.Join(d.dir, "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `mount --make-rprivate / && mount -t erofs -o ro,loop "$1" "$2" && echo mounted && read x`, "sh", filepath.Join(snapshotsDir(d), ids[0], "layer.erofs"), at)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stdin.Close(); _ = cmd.Wait() }()
	if _, err := stdout.Read(make([]byte, 16)); err != nil {
		t.Fatalf("mounting the layer: %v", err)
	}
	return readTree(t, fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, at))
}

// registryDigest is what the registry has.
func registryDigest(t *testing.T, reg string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodHead, "http://"+reg+"/v2/debian/manifests/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest")
}

// digestOf is the digest of a name in a repository, as the engine says.
func digestOf(t *testing.T, d *daemon, name string) string {
	t.Helper()
	_, digest, _ := strings.Cut(strings.TrimSpace(d.ok(t, "image", "inspect", "-f", "{{index .RepoDigests 0}}", name)), "@")
	return digest
}

// skopeo copies the image to an OCI layout and to a plain directory, holds both to the digest and to the archive that was
// imported, and has GNU tar extract the layer.
func skopeo(t *testing.T, work, reg, digest, archive string) map[string]string {
	t.Helper()
	layout, plain, root := filepath.Join(work, "layout"), filepath.Join(work, "plain"), filepath.Join(work, "root")
	for _, to := range []string{"oci:" + layout + ":1", "dir:" + plain} {
		if out, err := exec.Command("skopeo", "copy", "-q", "--preserve-digests", "--insecure-policy", "--src-tls-verify=false", "docker://"+reg+"/debian:1", to).CombinedOutput(); err != nil {
			t.Fatalf("skopeo copy to %s: %v\n%s", to, err, out)
		}
	}
	raw, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil || !bytes.Contains(raw, []byte(digest)) {
		t.Errorf("index.json: %s, %v, want %s", raw, err, digest)
	}
	raw, err = os.ReadFile(filepath.Join(plain, "manifest.json"))
	if err != nil || "sha256:"+sum(raw) != digest {
		t.Errorf("manifest.json: %s, %v, want %s", raw, err, digest)
	}
	var manifest struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal(raw, &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("%s: %v", raw, err)
	}
	blob := filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:"))
	// It was pushed compressed.
	if out, err := exec.Command("sh", "-c", `gzip -dc <"$1" | cmp - "$2"`, "sh", blob, archive).CombinedOutput(); err != nil {
		t.Errorf("the layer is not the archive that was imported: %s", out)
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", root, "--numeric-owner", "--same-owner", "-p", "--xattrs", "--xattrs-include=*", "-xzf", blob).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return readTree(t, root)
}

// sameTree compares two trees and shows the first differences.
func sameTree(t *testing.T, what string, a, b map[string]string) {
	t.Helper()
	var diff []string
	for path := range a {
		if a[path] != b[path] {
			diff = append(diff, fmt.Sprintf("%s: %s\n\t%s", path, a[path], b[path]))
		}
	}
	for path := range b {
		if a[path] == "" {
			diff = append(diff, path+": only in the second: "+b[path])
		}
	}
	if len(diff) > 0 {
		t.Errorf("%s differ in %d files of %d:\n%s", what, len(diff), len(a), strings.Join(diff[:min(10, len(diff))], "\n"))
	}
}
