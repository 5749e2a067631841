package ociruntime

import (
	"strings"
	"testing"
	"time"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestHostileSizes: a configuration that is large in one place gives a plan or one sentence, in
// a moment; never a panic.
func TestHostileSizes(t *testing.T) {
	f := openFakes(t)
	long := strings.Repeat("/a", 200_000)
	for _, tc := range []struct {
		name   string
		change func(*specs.Spec)
	}{
		{"many cgroup mounts", func(s *specs.Spec) {
			for range 1000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/cg", Type: "cgroup"})
			}
		}},
		{"many file systems", func(s *specs.Spec) {
			for range 1000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs"})
			}
		}},
		{"many read-only file systems", func(s *specs.Spec) {
			for range 1000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"ro"}})
			}
		}},
		{"many devices", func(s *specs.Spec) {
			for range 1000 {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/x", Type: "c"})
			}
		}},
		{"a long mount point", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: long, Type: "tmpfs"})
		}},
		{"a long working directory", func(s *specs.Spec) { s.Process.Cwd = long }},
		{"a long device", func(s *specs.Spec) {
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: long, Type: "c"})
		}},
		{"many long paths", func(s *specs.Spec) {
			for range 2000 {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: long[:4000], Type: "tmpfs"})
			}
		}},
		{"many long paths of devices", func(s *specs.Spec) {
			for range 2000 {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: long[:4000], Type: "c"})
			}
		}},
		{"many masked paths", func(s *specs.Spec) {
			for range 1000 {
				s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/m")
			}
		}},
		{"a long PATH", func(s *specs.Spec) {
			s.Process.Args = []string{"x"}
			s.Process.Env = []string{"PATH=" + strings.Repeat(":", 100_000)}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := readSpec(t, "../ocispec/testdata/runc-1.3.3-spec.json")
			tc.change(&s.Spec)
			start := time.Now()
			_, err := ocispec.Validate(s)
			text := []byte{}
			if err == nil {
				text, err = textOfCreate(s, f, false)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 300) {
				t.Errorf("not a sentence: %.300q", err)
			}
			if strings.Contains(tc.name, "many long paths") && (err == nil || !strings.Contains(err.Error(), "asks for too much")) {
				t.Errorf("not refused: %v", err)
			}
			if err == nil && len(text) > 64<<20 {
				t.Errorf("the text of the plan has %d bytes", len(text))
			}
		})
	}
}
