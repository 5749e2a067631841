package ocispec

import (
	"os"
	"testing"
)

// The golden files are what runc 1.3.3's libcontainer/specconv/example.go gives, marshalled as its spec.go does.
func TestExampleSpecIsRuncs(t *testing.T) {
	for _, c := range []struct{ file, text string }{
		{"runc-1.3.3-spec.json", ExampleSpec(false)},
		{"runc-1.3.3-spec2.json", ExampleSpec(true)},
		{"runc-1.3.3-rootless.json", RootlessSpec(0, 0, false)},
		{"runc-1.3.3-rootless2.json", RootlessSpec(0, 0, true)},
	} {
		want, err := os.ReadFile("testdata/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		if c.text != string(want) {
			t.Errorf("%s: got\n%s", c.file, c.text)
		}
	}
}

func TestExampleSpecIsValid(t *testing.T) {
	for name, text := range map[string]string{
		"spec": ExampleSpec(false), "spec with a cgroup namespace": ExampleSpec(true),
		"rootless": RootlessSpec(1000, 4294967294, true),
	} {
		c, err := Decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if warnings, err := Validate(c); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, warnings %q", name, err, warnings)
		}
	}
	c, err := Decode([]byte(RootlessSpec(1000, 4294967294, true)))
	if err != nil {
		t.Fatal(err)
	}
	if u, g := c.Linux.UIDMappings[0].HostID, c.Linux.GIDMappings[0].HostID; u != 1000 || g != 4294967294 {
		t.Errorf("the rootless maps are %d and %d", u, g)
	}
}
