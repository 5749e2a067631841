package keel

import (
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/shim/serve"
)

// shimCommand is hulld's, not people's, and in no list.
func shimCommand() command {
	return command{
		name: "shim", brief: "supervise one container for hulld", args: containerID, min: 1, max: 1, starts: true,
		about: "Descriptor 3 is the socket that the request to create the container comes from.",
		run: func(r *ociruntime.Runtime, _ options, _ []string) (int, error) {
			return serve.Main(r)
		},
	}
}
