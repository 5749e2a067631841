package ociruntime

import (
	"github.com/hull-dev/hull/internal/ocispec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// State is what the runtime keeps of a container in ROOT/ID/state.json, beside a copy of
// its config.json and, in the created state, the two FIFOs of [startFifo].
type State = ocispec.Record

// Names in a container's state directory.
const (
	stateFile     = "state.json"
	halfStateFile = ".state.json" // of a container that is being made, see creating.go
	configFile    = "config.json"
	// startFifo: init blocks in read(2) on it; `start` writes one byte. ENXIO on opening it
	// for writing (O_NONBLOCK) means that no init waits.
	startFifo = "exec.fifo"
	// statusFifo: held open by init until execve closes it; a failing step after `start`
	// writes an 8-byte launch report record into it. Hang-up without a record: it runs.
	statusFifo = "exec.status"
	// classFile names the directories of resctrl that were made for the container, one a line.
	classFile = "resctrl"
)

// hookState is the state that hooks get on their standard input.
func hookState(s *State, status string, pid int) []byte {
	return ocispec.AppendState(nil, &specs.State{Version: s.OCIVersion, ID: s.ID, Status: specs.ContainerState(status), Pid: pid, Bundle: s.Bundle, Annotations: s.Annotations})
}
