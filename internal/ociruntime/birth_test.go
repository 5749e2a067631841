package ociruntime

import (
	"slices"
	"testing"
)

func TestBornInto(t *testing.T) {
	v1 := []string{"/cg/cpu/c/tasks", "/cg/pids/c/tasks"}
	for _, tc := range []struct {
		name  string
		files []string
		v2    string
		write []string
		birth string
	}{
		{"v1 alone", v1, "", v1, ""},
		{"v2 alone", []string{"/cg/c/cgroup.procs"}, "/cg/c", []string{}, "/cg/c"},
		{"hybrid: v1 is still written", append(slices.Clone(v1), "/cg/u/c/cgroup.procs"), "/cg/u/c", v1, "/cg/u/c"},
		{"a threaded group is written", []string{"/cg/c/cgroup.threads"}, "/cg/c", []string{"/cg/c/cgroup.threads"}, ""},
	} {
		before := slices.Clone(tc.files)
		write, birth := bornInto(tc.files, tc.v2)
		if !slices.Equal(write, tc.write) || birth != tc.birth || !slices.Equal(tc.files, before) {
			t.Errorf("%s: write %v, birth %q; want %v, %q", tc.name, write, birth, tc.write, tc.birth)
		}
	}
}
