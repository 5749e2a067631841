package ociruntime

import (
	"fmt"
	"sync"

	"github.com/hull-dev/hull/internal/cgroup"
)

// Runtime is the place where containers' state is kept, and how they are made.
type Runtime struct {
	Root          string // state directory
	SystemdCgroup bool
	Rootless      bool
	OpenFiles     uint64       // soft RLIMIT_NOFILE of who called us, for containers and hooks without one; 0: as it is
	Resctrl       string       // where resctrl is mounted; "": found when needed
	OwnMemory     bool         // no child shares this program's memory: for one that must outlive a container's OOM kill
	Criu          string       // path, or a name to look up in $PATH; "" for "criu"
	Warn          func(string) // nil: warnings are dropped
	Debug         func(string) // what is being done, step by step; nil: nobody wants to know

	cgroupLock sync.Mutex   // a shim makes several containers at once
	cgroupHost *cgroup.Host // once asked for
}

// cgroups is the cgroup layout of the host.
func (r *Runtime) cgroups() (*cgroup.Host, error) {
	r.cgroupLock.Lock()
	defer r.cgroupLock.Unlock()
	if r.cgroupHost == nil {
		h, err := cgroup.Detect()
		if err != nil {
			return nil, err
		}
		r.cgroupHost = h
	}
	return r.cgroupHost, nil
}

func (r *Runtime) warn(msg string) {
	if r.Warn != nil {
		r.Warn(msg)
	}
}

// debug records what is being done. Arguments and environments, where secrets are, stay out of
// it (SECURITY.md R17).
func (r *Runtime) debug(format string, args ...any) {
	if r != nil && r.Debug != nil {
		r.Debug(fmt.Sprintf(format, args...))
	}
}
