package engine

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/hull-dev/hull/internal/spec"
)

// joined finds the containers whose namespaces a container wants, by mode.
func (e *Engine) joined(v *View) (map[string]*View, error) {
	out := make(map[string]*View)
	for kind, mode := range map[string]string{"net": string(v.Host.NetworkMode), "pid": string(v.Host.PidMode), "ipc": string(v.Host.IpcMode)} {
		name, ok := strings.CutPrefix(mode, "container:")
		if !ok {
			continue
		}
		other, err := e.Find(name)
		if err != nil {
			return nil, err
		}
		out[kind] = other
	}
	return out, nil
}

// sharesNamespaces says whether a container lives in another one's namespaces: it then has that one's
// ids, whose the namespaces are.
func (e *Engine) sharesNamespaces(v *View) bool {
	for _, mode := range []string{string(v.Host.NetworkMode), string(v.Host.PidMode), string(v.Host.IpcMode)} {
		if strings.HasPrefix(mode, "container:") {
			return true
		}
	}
	return false
}

// joinOthers fills in the namespaces of other containers. It returns the one whose network is shared.
func (c *Container) joinOthers(in *spec.Input) (network *View, err error) {
	others, err := c.e.joined(c.view.Load())
	if err != nil {
		return nil, err
	}
	words := map[string]string{"net": "network", "pid": "PID", "ipc": "IPC"}
	for kind, other := range others {
		switch {
		case other.ID == c.id:
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot join own %s namespace", words[kind]))
		case other.State.Phase == Restarting:
			return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", other.ID))
		case !alive(other.State.Phase):
			return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join %s namespace of a non running container: container %s is %s", words[kind], strings.TrimPrefix(other.Name, "/"), other.State.Phase))
		}
		path := func(ns string) string { return fmt.Sprintf("/proc/%d/ns/%s", other.State.Pid, ns) }
		switch kind {
		case "net":
			in.Namespaces.Net, network = path("net"), other
		case "pid":
			in.Namespaces.PID = path("pid")
		case "ipc":
			in.Namespaces.IPC = path("ipc")
		}
		ids := c.e.idsOf(other)
		if in.Namespaces.User != "" && (ids == nil) != (in.IDs == nil) {
			return nil, errdefs.ErrInvalidArgument.WithMessage("the containers whose namespaces are to be joined have different user namespaces")
		}
		if ids != nil {
			in.IDs, in.Namespaces.User = ids, path("user")
		}
	}
	return network, nil
}

// idsOf are the ids that a running container has, its own or those of one that it joined.
func (e *Engine) idsOf(v *View) *spec.IDRange {
	for range 16 { // a chain of containers; longer ones cannot be made with a loop in them
		if v.IDs != nil {
			return v.IDs
		}
		others, err := e.joined(v)
		if err != nil || len(others) == 0 {
			return nil
		}
		for _, o := range others {
			v = o
		}
	}
	return nil
}
