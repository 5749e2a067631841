package unpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootRoundTrip: all that an archive can hold survives being written and extracted.
func TestRootRoundTrip(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fillTree(t, from)
	ws, st := pipe(t, from, to, asRoot)
	if ws.DiffID != st.DiffID {
		t.Errorf("written as %s, read as %s", ws.DiffID, st.DiffID)
	}
	sameTrees(t, "round trip", treeOf(t, to), treeOf(t, from))
}

// TestRootGNUTar: what GNU tar writes, in each of its formats, is extracted as GNU tar does, and
// GNU tar extracts what Write writes.
func TestRootGNUTar(t *testing.T) {
	from := t.TempDir()
	fillTree(t, from)
	want := treeOf(t, from)
	for _, format := range [][]string{
		{"--format=gnu", "--sparse"}, {"--format=pax", "--sparse", "--sparse-version=0.0"}, {"--format=pax", "--sparse", "--sparse-version=0.1"},
		{"--format=pax", "--sparse", "--sparse-version=1.0"}, {"--format=pax"}, {"--format=gnu"},
	} {
		args := append([]string{"-C", from, "-cf", "-", "--numeric-owner"}, format...)
		if format[0] == "--format=pax" {
			args = append(args, "--xattrs", "--xattrs-include=*")
		}
		args = append(args, ".")
		out, err := exec.Command("tar", args...).Output()
		if err != nil {
			t.Fatalf("tar %v: %v", args, err)
		}
		to := t.TempDir()
		if _, err := extractTo(t, to, bytes.NewReader(out), asRoot); err != nil {
			t.Errorf("%v: %v", format, err)
			continue
		}
		got := treeOf(t, to)
		if format[0] == "--format=gnu" { // whole seconds, no extended attributes
			other := t.TempDir()
			cmd := exec.Command("tar", "-C", other, "-xpf", "-", "--numeric-owner")
			cmd.Stdin = bytes.NewReader(out)
			if msg, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("tar -x: %v: %s", err, msg)
			}
			sameTrees(t, fmt.Sprint(format), got, treeOf(t, other))
		} else {
			sameTrees(t, fmt.Sprint(format), got, want)
		}
		if len(format) > 1 {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(to, "sparse"), &st); err != nil || st.Blocks > 1024 {
				t.Errorf("%v: the sparse file has %d blocks, %v", format, st.Blocks, err)
			}
		}
	}
	to := t.TempDir()
	cmd := exec.Command("tar", "-C", to, "-xpf", "-", "--numeric-owner", "--xattrs", "--xattrs-include=*")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var msg bytes.Buffer
	cmd.Stderr = &msg
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), in, open(t, from), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tar -x: %v: %s", err, &msg)
	}
	sameTrees(t, "Write and tar -x", treeOf(t, to), want)
}

// TestRootDebian: part of this machine's Debian is extracted as GNU tar does it, and written so that GNU
// tar gets the same from it.
func TestRootDebian(t *testing.T) {
	base := t.TempDir()
	image := filepath.Join(base, "debian.tar")
	parts := []string{"usr/sbin", "usr/lib/apt", "usr/lib/systemd", "usr/share/zoneinfo"}
	args := []string{"-C", "/", "-cf", image, "--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name", "--ignore-failed-read", "--warning=none"}
	for _, p := range parts {
		if _, err := os.Stat("/" + p); err == nil {
			args = append(args, p)
		}
	}
	var changed *exec.ExitError
	if out, err := exec.Command("tar", args...).CombinedOutput(); err != nil && !(errors.As(err, &changed) && changed.ExitCode() == 1) {
		t.Fatalf("tar -c: %v: %s", err, out)
	}
	plain, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	gnuTar := func(file string) map[string]string {
		dir := t.TempDir()
		if out, err := exec.Command("tar", "-C", dir, "-xpf", file, "--numeric-owner", "--xattrs", "--xattrs-include=*").CombinedOutput(); err != nil {
			t.Fatalf("tar -x: %v: %s", err, out)
		}
		return treeOf(t, dir, "above")
	}
	want := gnuTar(image)
	dir := t.TempDir()
	o := asRoot
	o.Whiteouts = Overlay
	st, err := extractTo(t, dir, bytes.NewReader(plain), o)
	if err != nil {
		t.Fatal(err)
	}
	if st.DiffID != sumOf(plain) || st.DroppedXattrs != 0 {
		t.Errorf("%+v", st)
	}
	sameTrees(t, "extracted", treeOf(t, dir, "above"), want)
	again := filepath.Join(base, "again.tar")
	f, err := os.Create(again)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), f, open(t, dir), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	sameTrees(t, "written", gnuTar(again), want)
}
