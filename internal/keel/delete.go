package keel

import (
	"errors"

	"github.com/hull-dev/hull/internal/ociruntime"
)

func deleteCommand() command {
	return command{
		name: "delete", brief: "delete any resources held by the container often used with detached container",
		args: containerID, min: 1, max: 1, starts: true, // poststop hooks
		options: []option{{name: "force", short: "f", usage: "forcibly delete the container if it is still running (uses SIGKILL)"}},
		run:     remove,
	}
}

func remove(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if errors.Is(err, ociruntime.ErrNotExist) {
		// A creator that was killed can leave a directory without a state.
		if e := r.Forget(args[0]); e != nil || o.is("force") {
			return 0, e
		}
	}
	if err != nil {
		return 0, err
	}
	return 0, c.Delete(o.is("force"))
}
