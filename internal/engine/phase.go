package engine

import "github.com/moby/moby/api/types/container"

// Phase is where a container is in its life, in Docker's words.
type Phase = container.ContainerState

// The phases.
const (
	Created    = container.StateCreated
	Running    = container.StateRunning
	Paused     = container.StatePaused
	Restarting = container.StateRestarting
	Exited     = container.StateExited
	Removing   = container.StateRemoving
	Dead       = container.StateDead
)

// next is the table of transitions: what may follow a phase. "" is a container that is being made.
func next(p Phase) []Phase {
	switch p {
	case "":
		return []Phase{Created}
	case Created:
		return []Phase{Running, Created, Exited, Removing} // Created again: a start that failed
	case Running:
		return []Phase{Paused, Restarting, Exited}
	case Paused:
		return []Phase{Running, Restarting, Exited}
	case Restarting:
		return []Phase{Running, Restarting, Exited, Removing}
	case Exited:
		return []Phase{Running, Exited, Removing}
	case Removing:
		return []Phase{Dead}
	case Dead:
		return []Phase{Removing}
	}
	return nil
}

// alive says whether processes of the container run.
func alive(p Phase) bool { return p == Running || p == Paused }
