package spec

import (
	"encoding/json"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/hull-dev/hull/internal/ocispec"
)

// FuzzBuild makes documents of any request: it is refused with a class, or the document is one that
// the runtime's own checks accept.
func FuzzBuild(f *testing.F) {
	for _, c := range dockerCases() {
		b, err := json.Marshal(map[string]any{"Config": c.config, "Host": c.host})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
	}
	f.Add([]byte(`{"Host":{"Sysctls":{"net.a":"1"},"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}],"Devices":[{"PathOnHost":"/dev/null"}]}}`), true)
	f.Fuzz(func(t *testing.T, b []byte, mapped bool) {
		var r struct {
			Config container.Config
			Host   container.HostConfig
		}
		if json.Unmarshal(b, &r) != nil {
			return
		}
		in := input(&r.Host)
		in.Config = &r.Config
		if mapped {
			in.IDs = &IDRange{1 << 20, 65536}
		}
		if _, err := Validate(in.Config, in.Host, in.Facts); err != nil {
			if !errdefs.IsInvalidArgument(err) && !errdefs.IsNotImplemented(err) {
				t.Errorf("an error without a class: %v", err)
			}
			return
		}
		s, _, err := Build(in)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) && !errdefs.IsNotImplemented(err) {
				t.Errorf("an error without a class: %v", err)
			}
			return
		}
		for _, set := range [][]string{s.Process.Capabilities.Inheritable, s.Process.Capabilities.Ambient} {
			if len(set) > 0 {
				t.Errorf("capabilities %v", set)
			}
		}
		doc, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if s.Process.Args[0] == "" {
			return // what the runtime says of that is for its user
		}
		c, err := ocispec.Decode(doc)
		if err != nil {
			t.Fatalf("the runtime cannot read it: %v", err)
		}
		if _, err := ocispec.Validate(c); err != nil {
			t.Errorf("the runtime refuses it: %v", err)
		}
	})
}

// FuzzSecurityOpt reads any options.
func FuzzSecurityOpt(f *testing.F) {
	f.Add("seccomp=unconfined")
	f.Add("no-new-privileges:true")
	f.Fuzz(func(t *testing.T, opt string) {
		if _, err := ParseSecurityOpt([]string{opt}); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("an error without a class: %v", err)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	in := input(&container.HostConfig{})
	Complete(in.Host, in.Facts)
	for b.Loop() {
		s, _, err := Build(in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Encode(s); err != nil {
			b.Fatal(err)
		}
	}
}
