package keel

import "github.com/hull-dev/hull/internal/ociruntime"

func resumeCommand() command {
	return command{
		name: "resume", brief: "resumes all processes that have been previously paused", args: containerID, min: 1, max: 1,
		run: func(r *ociruntime.Runtime, _ options, args []string) (int, error) {
			c, err := r.Load(args[0])
			if err == nil {
				err = c.Resume()
			}
			return 0, err
		},
	}
}
