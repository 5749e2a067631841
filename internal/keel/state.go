package keel

import (
	"os"
	"time"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
)

func stateCommand() command {
	return command{
		name: "state", brief: "output the state of a container", args: containerID, min: 1, max: 1,
		about: "The output is JSON: the state of the runtime specification, and what runc adds to it.", run: state,
	}
}

func state(r *ociruntime.Runtime, _ options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	w := &ocispec.Writer{Indent: "  "}
	s := summary(c)
	s.Write(w)
	_, err = os.Stdout.Write(append(w.B, '\n'))
	return 0, err
}

// summary is what state and list print of a container. The owner is list's to fill in: runc's
// state leaves it empty.
func summary(c *ociruntime.Container) ocispec.Status {
	s := ocispec.Status{
		Version: c.OCIVersion, ID: c.ID, Pid: c.InitPid, Status: c.Status(), Bundle: c.Bundle, Rootfs: c.Rootfs,
		Created: c.Created.Format(time.RFC3339Nano), Annotations: c.Annotations,
	}
	if s.Status == ociruntime.StatusStopped {
		s.Pid = 0
	}
	return s
}
