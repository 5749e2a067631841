package keel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestRootIDMappedMounts(t *testing.T) {
	var dir string
	b := newBox(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Type: "bind", Options: []string{"rbind", "ro"}})
		shell(s, `/bin/busybox stat -c '%n %u:%g' /m /m/a /m/b`)
	})
	dir = filepath.Join(b.bundle, "source")
	os.Mkdir(dir, 0o755)
	for name, id := range map[string]int{"a": 3, "b": 20} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o644)
		os.Chown(filepath.Join(dir, name), id, id)
	}
	mount := func(s *specs.Spec) *specs.Mount { return &s.Mounts[len(s.Mounts)-1] }
	ten := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	b.config(func(s *specs.Spec) {
		m := mount(s)
		m.Source, m.UIDMappings, m.GIDMappings = dir, ten, ten
	})
	b.says("/m 1000:1000", "/m/a 1003:1003", "/m/b 65534:65534")

	// Two mounts, one of them with the ids of the group's own map.
	b.config(func(s *specs.Spec) {
		second := *mount(s)
		second.Destination = "/n"
		second.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 5000, Size: 10}}
		s.Mounts = append(s.Mounts, second)
		shell(s, `/bin/busybox stat -c '%n %u:%g' /m/a /n/a`)
	})
	b.says("/m/a 1003:1003", "/n/a 1003:5003")

	// The container's map, for what belongs to the host's ids.
	b.config(func(s *specs.Spec) {
		ownUserns(s)
		s.Mounts = s.Mounts[:len(s.Mounts)-1]
		m := mount(s)
		m.Options, m.UIDMappings, m.GIDMappings = []string{"bind", "idmap"}, nil, nil
		shell(s, `/bin/busybox stat -c '%n %u:%g' /m/a /m/b; echo x > /m/new && /bin/busybox stat -c %u /m/new`)
	})
	b.says("/m/a 3:3", "/m/b 20:20", "0")
	if st, err := os.Stat(filepath.Join(dir, "new")); err != nil {
		t.Error(err)
	} else if uid := ownerOf(st); uid != 0 {
		t.Errorf("on the disk the new file is %d's, want 0's", uid)
	}

	b.config(func(s *specs.Spec) { mount(s).Source = "/proc/sys" })
	b.nothing("this kernel cannot id-map proc")
	b.config(func(s *specs.Spec) {
		without(s, specs.UserNamespace)
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	})
	b.nothing("needs a user namespace to take them from")
}

// TestRootIDMapRecursion: "idmap" is of the mount alone, "ridmap" of those below it as well.
func TestRootIDMapRecursion(t *testing.T) {
	b := newBox(t, func(s *specs.Spec) {
		ownUserns(s)
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/m", Type: "bind", Source: "/mnt", Options: []string{"rbind", "idmap"}})
		shell(s, `/bin/busybox stat -c '%n %u' /m /m/below`)
	})
	b.give(100000)
	run := func() string {
		out, _ := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c",
			`mount -t tmpfs x /mnt && mkdir /mnt/below && mount -t tmpfs y /mnt/below && "$2" --root "$3" run -b "$1" c`,
			"sh", b.bundle, b.keel, b.state).CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	if out := run(); out != "/m 0\n/m/below 65534" {
		t.Errorf("idmap: %q", out)
	}
	b.config(func(s *specs.Spec) { s.Mounts[len(s.Mounts)-1].Options[1] = "ridmap" })
	if out := run(); out != "/m 0\n/m/below 0" {
		t.Errorf("ridmap: %q", out)
	}
}
