package ociruntime

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCgroupOwner(t *testing.T) {
	base := func() *specs.Spec {
		return &specs.Spec{
			Process: &specs.Process{User: specs.User{UID: 5}},
			Mounts:  []specs.Mount{{Destination: "/sys/fs/cgroup/", Type: "cgroup", Options: []string{"nosuid"}}},
			Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.CgroupNamespace}}},
		}
	}
	for name, c := range map[string]struct {
		change func(*specs.Spec)
		want   int // -1: nobody
	}{
		"plain": {func(*specs.Spec) {}, 5},
		"mapped": {func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 5}, {ContainerID: 5, HostID: 7000, Size: 1}}
		}, 7000},
		"not mapped":     {func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 5}} }, -1},
		"read-only":      {func(s *specs.Spec) { s.Mounts[0].Options = []string{"ro"} }, -1},
		"elsewhere":      {func(s *specs.Spec) { s.Mounts[0].Destination = "/cgroup" }, -1},
		"no namespace":   {func(s *specs.Spec) { s.Linux.Namespaces = nil }, -1},
		"that of others": {func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/cgroup" }, -1},
	} {
		s := base()
		c.change(s)
		got := -1
		if p := cgroupOwner(s); p != nil {
			got = *p
		}
		if got != c.want {
			t.Errorf("%s: owner %d, want %d", name, got, c.want)
		}
	}
}
