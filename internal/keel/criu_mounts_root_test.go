package keel

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestRootCheckpointMounts: what config.json mounts is there again after a restore into a fresh
// copy of the root, with its attributes, through links, and below other mounts.
func TestRootCheckpointMounts(t *testing.T) {
	outside := t.TempDir()
	for name, text := range map[string]string{"dir/a": "dir", "nested/b": "nested", "file": "file", "below": "below"} {
		if err := os.MkdirAll(filepath.Join(outside, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bind := func(source, dest string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: filepath.Join(outside, source), Destination: dest, Options: append(options, "rbind")}
	}
	b := newCriuBox(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts,
			bind("dir", "/data"),
			bind("nested", "/data/inner/deep"), // its mount point is in the bind before
			bind("file", "/etc/file", "ro", "rprivate"),
			bind("file", "/link/linked"), // /link is a link to /linked
			specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/scratch", Options: []string{"nosuid", "size=1m"}},
			bind("below", "/scratch/below"))
		s.Linux.MaskedPaths = []string{"/proc/cpuinfo", "/proc/acpi", "/proc/nothing"}
		s.Linux.ReadonlyPaths = []string{"/proc/sys"}
	}, "sh", "-c", count)
	root := filepath.Join(b.bundle, "rootfs")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "linked"), 0o755), os.Symlink("linked", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	b.start("c")
	b.counts(1)
	b.inside("c", "sh", "-c", "echo kept > /scratch/mine")
	look := func() string {
		return b.inside("c", "sh", "-c", `cat /data/a /data/inner/deep/b /etc/file /linked/linked /scratch/mine /scratch/below; echo
			echo x > /etc/file; echo x > /proc/sys/kernel/domainname; wc -c < /proc/cpuinfo; ls /proc/acpi | wc -l
			test -e /sys/fs/cgroup/freezer/tasks && cat /sys/fs/cgroup/freezer/freezer.state
			cat /proc/self/mountinfo | while read id parent dev from to options tag rest; do
				test "${tag#master:}" = "$tag" && tag=alone; test "$to" = / || echo $to $tag; done | sort`)
	}
	before := look()
	if !strings.HasPrefix(before, "dirnestedfilefilekept\nbelow\n0\n0\n") {
		t.Fatalf("before the checkpoint: %q", before)
	}
	b.checkpoint("c")
	b.gone("c", 0)

	// A root as it comes from an image.
	for _, name := range []string{"etc", "linked/linked", "data", "scratch"} {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.restore("c")
	if after := look(); after != before {
		t.Errorf("after restore:\n%s\nbefore:\n%s", after, before)
	}
	if text, err := os.ReadFile(filepath.Join(outside, "file")); string(text) != "file" {
		t.Errorf("a read-only bind was written to: %q, %v", text, err)
	}
	b.counts(b.count())
}

// TestRootCheckpointOnASharedHost: where the host's mounts are shared, as systemd makes them, those of
// a container are its slaves, also when they are restored. The "host" is a mount namespace.
func TestRootCheckpointOnASharedHost(t *testing.T) {
	workingCriu(t)
	cmd := exec.Command("unshare", "--mount", "--propagation", "shared", os.Args[0], "-test.run=^TestRootCheckpoint(Mounts|GoesOn)$", "-test.count=1", "-test.v")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRootCheckpointNamespaces: with a cgroup namespace criu mounts the cgroups; with a user
// namespace device nodes are bind mounts; time goes on; 127.0.0.1 is there again.
func TestRootCheckpointNamespaces(t *testing.T) {
	const server = `echo served > /tmp/file; /bin/busybox httpd -p 127.0.0.1:80 -h /tmp; `
	for name, add := range map[string]func(*specs.Spec){
		"cgroup": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		},
		"user": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			ids := []specs.LinuxIDMapping{{HostID: 0, Size: 65536}}
			s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCriuBox(t, add, "sh", "-c", server+count)
			b.start("c")
			b.counts(1)
			look := func() string {
				return b.inside("c", "sh", "-c", `/bin/busybox wget -q -O - http://127.0.0.1/file; echo x > /dev/null; cat /proc/self/cgroup; head -c 3 /dev/zero | wc -c`)
			}
			before := look()
			if !strings.HasPrefix(before, "served\n") {
				t.Fatalf("before the checkpoint: %q", before)
			}
			b.checkpoint("c", "--tcp-established")
			stopped := b.count()
			b.restore("c", "--tcp-established")
			b.counts(stopped)
			if after := look(); after != before {
				t.Errorf("after restore: %q, before: %q", after, before)
			}
		})
	}
}
