package ociruntime

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

func TestFeatures(t *testing.T) {
	d := json.NewDecoder(bytes.NewReader(AppendFeatures(nil, "1.2.3")))
	d.DisallowUnknownFields() // a misspelt member
	var f features.Features
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	l := f.Linux
	if f.OCIVersionMin != "1.0.0" || f.OCIVersionMax != "1.3.0" || len(f.Hooks) != 6 || len(l.Capabilities) != 41 || l.Capabilities[0] != "CAP_CHOWN" ||
		f.Annotations["org.hull-dev.keel.version"] != "1.2.3" || f.Annotations["org.opencontainers.runc.checkpoint.enabled"] != "true" || !*l.Cgroup.V1 || !*l.Seccomp.Enabled || len(l.Seccomp.Actions) == 0 || len(l.Seccomp.SupportedFlags) == 0 {
		t.Errorf("features: %+v, linux %+v", f, l)
	}
	if !slices.Contains(f.MountOptions, "rro") {
		t.Errorf("mount options: %v", f.MountOptions)
	}
	for _, n := range l.Namespaces {
		if ocispec.NamespaceFlag(specs.LinuxNamespaceType(n)) == 0 {
			t.Errorf("the namespace %q is listed, and config.json with it is refused", n)
		}
	}
	if !*l.IntelRdt.Schemata || !*l.IntelRdt.Monitoring || len(l.MemoryPolicy.Modes) != 7 || len(l.MemoryPolicy.Flags) != 3 {
		t.Errorf("intelRdt %+v, memory policy %+v", l.IntelRdt, l.MemoryPolicy)
	}
	// What the check of config.json refuses must be false, and the other way round.
	for _, c := range []struct {
		name   string
		is     *bool
		config string
	}{
		{"apparmor", l.Apparmor.Enabled, `{"process":{"apparmorProfile":"p"},"linux":{}}`},
		{"selinux", l.Selinux.Enabled, `{"process":{"selinuxLabel":"l"},"linux":{}}`},
		{"intelRdt", l.IntelRdt.Enabled, `{"linux":{"intelRdt":{}}}`},
		{"idmap", l.MountExtensions.IDMap.Enabled, `{"linux":{},"mounts":[{"destination":"/x","uidMappings":[{"size":1}],"gidMappings":[{"size":1}]}]}`},
		{"netDevices", l.NetDevices.Enabled, `{"linux":{"netDevices":{"eth0":{}}}}`},
	} {
		s, err := ocispec.Decode([]byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		if err := validateUnsupported(s); *c.is != (err == nil) {
			t.Errorf("%s is %v, and the check of config.json says %v", c.name, *c.is, err)
		}
	}
}
