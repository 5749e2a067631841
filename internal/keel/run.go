package keel

import "github.com/hull-dev/hull/internal/ociruntime"

func runCommand() command {
	return command{
		name: "run", brief: "create and run a container", args: containerID, min: 1, max: 1, starts: true,
		about: "Makes the container of the bundle and runs its program. In the foreground, the exit status is that\nof the program, 128+N when signal N ended it, and the container is deleted afterwards.",
		options: append(bundleOptions(),
			option{name: "detach", short: "d", usage: "detach from the container's process"},
			option{name: "keep", usage: "do not delete the container after it exits"},
			option{name: "no-subreaper", usage: "disable the use of the subreaper used to reap reparented processes"}),
		run: run,
	}
}

func run(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := createOptions(o)
	if err != nil {
		return 0, err
	}
	c.Run = true
	p, err := r.Create(args[0], c)
	if err != nil || p == nil { // nil: only the plan was printed
		return 0, err
	}
	return p.Wait()
}
