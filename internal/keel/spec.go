package keel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
)

func specCommand() command {
	return command{
		name: "spec", brief: "create a new specification file", max: 0,
		about: "Writes a config.json to start from. Its program is \"sh\"; a file that exists is never overwritten.",
		options: []option{
			{name: "bundle", short: "b", value: true, usage: "`path` to the root of the bundle directory, defaults to the current directory"},
			{name: "rootless", usage: "generate a configuration for a rootless container"},
		},
		run: spec,
	}
}

func spec(_ *ociruntime.Runtime, o options, _ []string) (int, error) {
	h, err := cgroup.Detect()
	if err != nil {
		return 0, err
	}
	unified := h.Mode() == cgroup.V2
	text := ocispec.ExampleSpec(unified)
	if o.is("rootless") {
		text = ocispec.RootlessSpec(uint32(os.Geteuid()), uint32(os.Getegid()), unified)
	}
	name := filepath.Join(o.get("bundle"), "config.json")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("file %s exists. Remove it first", name)
	}
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return 0, fmt.Errorf("write a new specification: %w", err)
	}
	return 0, nil
}
