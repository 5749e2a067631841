package keel

import "github.com/hull-dev/hull/internal/ociruntime"

func pauseCommand() command {
	return command{
		name: "pause", brief: "pause suspends all processes inside the container", args: containerID, min: 1, max: 1,
		run: func(r *ociruntime.Runtime, _ options, args []string) (int, error) {
			c, err := r.Load(args[0])
			if err == nil {
				err = c.Pause()
			}
			return 0, err
		},
	}
}
