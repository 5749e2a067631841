package ociruntime

import (
	"reflect"
	"testing"

	"github.com/hull-dev/hull/internal/cgroup"
)

// Hierarchies with several controllers have one directory and links; what the container has no
// group in, and the v2 hierarchy of a hybrid host, are not shown.
func TestCgroupViews(t *testing.T) {
	h := &cgroup.Host{Hierarchies: []cgroup.Hierarchy{
		{Controllers: []string{"cpu", "cpuacct"}, Mount: "/sys/fs/cgroup/cpu,cpuacct"},
		{Controllers: []string{"memory"}, Mount: "/sys/fs/cgroup/memory"},
		{Controllers: []string{"name=systemd"}, Mount: "/sys/fs/cgroup/systemd"},
		{Controllers: []string{"rdma"}, Mount: "/sys/fs/cgroup/rdma"},
		{V2: true, Mount: "/sys/fs/cgroup/unified"},
	}}
	got := cgroupViews(h, map[string]string{"cpu": "/sys/fs/cgroup/cpu,cpuacct/c", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/c", "memory": "/sys/fs/cgroup/memory/c",
		"name=systemd": "/sys/fs/cgroup/systemd/c", "": "/sys/fs/cgroup/unified/c"})
	want := []cgroupView{
		{"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/c", []string{"cpu", "cpuacct"}},
		{"memory", "/sys/fs/cgroup/memory/c", nil},
		{"systemd", "/sys/fs/cgroup/systemd/c", nil},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMountAbove(t *testing.T) {
	const info = "1 0 8:1 / / rw shared:1 - ext4 x rw\n2 1 0:5 / /srv rw - tmpfs x rw\n3 2 0:6 / /srv/a\\040b rw - tmpfs x rw\n"
	for name, want := range map[string]string{"/srv/a b/rootfs": "/srv/a b", "/srv/a b": "/srv/a b", "/srv/ab": "/srv", "/srvx": "/"} {
		if got := mountAbove(info, name); got != want {
			t.Errorf("above %s: %q, want %q", name, got, want)
		}
	}
}
