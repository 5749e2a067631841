package ociruntime

import "time"

// State is what the runtime keeps of a container in ROOT/ID/state.json, beside a copy of
// its config.json and, in the created state, the two FIFOs of [startFifo].
type State struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute, as seen by the host
	Annotations map[string]string `json:"annotations,omitempty"`
	Created     time.Time         `json:"created"`
	Owner       string            `json:"owner"`
	InitPid     int               `json:"init_process_pid"`
	InitStart   uint64            `json:"init_process_start"` // field 22 of /proc/PID/stat, clock ticks: tells a reused pid
	Cgroups     map[string]string `json:"cgroup_paths"`       // as cgroup.Group.Paths
	SystemdUnit string            `json:"systemd_unit,omitempty"`
	Namespaces  uint64            `json:"namespaces"` // CLONE_NEW* flags of what the container does not share with its creator
	Rootless    bool              `json:"rootless"`
}

// Names in a container's state directory.
const (
	stateFile  = "state.json"
	configFile = "config.json"
	// startFifo: init blocks in read(2) on it; `start` writes one byte. ENXIO on opening it
	// for writing (O_NONBLOCK) means that no init waits.
	startFifo = "exec.fifo"
	// statusFifo: held open by init until execve closes it; a failing step after `start`
	// writes an 8-byte launch report record into it. Hang-up without a record: it runs.
	statusFifo = "exec.status"
)
