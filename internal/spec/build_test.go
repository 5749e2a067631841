package spec

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/ocispec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// facts are of a machine with everything, cgroup v1.
func facts() *Facts {
	return &Facts{
		Arch: "amd64", KernelMajor: 6, KernelMinor: 18, CPUs: "0-3", Mems: "0", NCPU: 4,
		Controllers: Controllers{
			MemoryLimit: true, SwapLimit: true, MemoryReservation: true, MemorySwappiness: true, OomKillDisable: true,
			CPUShares: true, CPUCfs: true, Cpuset: true, PidsLimit: true, BlkioWeight: true, BlkioWeightDevice: true, BlkioThrottle: true, Devices: true,
		},
		Capabilities: allCaps(), Limits: map[string]Limit{"nofile": {1024, 1 << 20}},
		PingGroupRange: true, UnprivilegedPortStart: true, Seccomp: true, IDMapMounts: true, RecursiveReadOnly: true,
		Runtimes: []string{"keel", "crun"}, DefaultRuntime: "keel", UserNS: true,
	}
}

// input is a small container's.
func input(h *container.HostConfig) Input {
	return Input{
		ID:     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		Config: &container.Config{Hostname: "0123456789ab", Cmd: []string{"sleep", "100"}, Env: []string{"A=1"}},
		Host:   h, Facts: facts(), Root: "rootfs",
		Files: Files{Hostname: "/c/hostname", Hosts: "/c/hosts", ResolvConf: "/c/resolv.conf"},
		Init:  "/usr/libexec/hull/init",
	}
}

// build validates and builds, and holds the result to what the runtime accepts.
func build(t testing.TB, in Input) (doc []byte, warnings []string) {
	t.Helper()
	w, err := Validate(in.Config, in.Host, in.Facts)
	if err != nil {
		t.Fatal(err)
	}
	s, more, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	fast, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err = json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(fast, &a), json.Unmarshal(doc, &b)); err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("Encode and json.Marshal do not agree, %v", err)
	}
	c, err := ocispec.Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ocispec.Validate(c); err != nil {
		t.Errorf("the runtime refuses it: %v", err)
	}
	return doc, append(w, more...)
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("differs from %s (go test -update writes it):\n%s", path, got)
	}
}

func TestBuildGolden(t *testing.T) {
	for name, in := range map[string]Input{
		"default":    input(&container.HostConfig{}),
		"privileged": input(&container.HostConfig{Privileged: true}),
	} {
		t.Run(name, func(t *testing.T) {
			doc, _ := build(t, in)
			golden(t, "golden/"+name+".json", append(doc, '\n'))
		})
	}
}
