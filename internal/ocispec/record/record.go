// Package record has the type of the runtime's own document. It stands apart from package ocispec,
// which reads and writes it, so that the generator of the decoders (ocispec/gen) can look at the
// type before there are decoders.
package record

import "time"

// Record is what the runtime keeps of a container, in ROOT/ID/state.json.
type Record struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute, as seen by the host
	Annotations map[string]string `json:"annotations"`
	Created     time.Time         `json:"created"`
	Owner       string            `json:"owner"`
	InitPid     int               `json:"init_process_pid"`
	InitStart   uint64            `json:"init_process_start"` // field 22 of /proc/PID/stat, clock ticks: tells a reused pid
	Cgroups     map[string]string `json:"cgroup_paths"`       // as cgroup.Group.Paths
	SystemdUnit string            `json:"systemd_unit"`       // unit that systemd made for the container; empty: none
	Namespaces  uint64            `json:"namespaces"`         // CLONE_NEW* flags of what the container does not share with its creator
	Rootless    bool              `json:"rootless"`
	Descriptors []string          `json:"external_descriptors"` // what init's standard descriptors were when it was made, "pipe:[7]": for a checkpoint
	// NoNewKeyring: the container has the session keyring of its creator, and so have exec processes.
	NoNewKeyring bool `json:"no_new_keyring"`
}
