package keel

import (
	"os"

	"github.com/hull-dev/hull/internal/ociruntime"
)

func startCommand() command {
	return command{
		name: "start", brief: "executes the user defined process in a created container", args: containerID, min: 1, max: 1, starts: true,
		about: "Returns when the program runs.", run: start,
	}
}

func start(r *ociruntime.Runtime, _ options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err == nil {
		err = c.Start(os.Getenv("NOTIFY_SOCKET"))
	}
	return 0, err
}
