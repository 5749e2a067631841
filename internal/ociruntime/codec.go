package ociruntime

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func decodeSpec(b []byte) (*specs.Spec, error) {
	s := new(specs.Spec)
	return s, json.Unmarshal(b, s)
}

// DecodeProcess reads a process.json.
func DecodeProcess(b []byte) (*specs.Process, error) {
	p := new(specs.Process)
	return p, json.Unmarshal(b, p)
}

// DecodeResources reads the file of `update --resources`.
func DecodeResources(b []byte) (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	return r, json.Unmarshal(b, r)
}

func encodeState(s *State) ([]byte, error) { return json.Marshal(s) }
func decodeState(b []byte, s *State) error { return json.Unmarshal(b, s) }

// marshalOCIState is the state that hooks get on their standard input.
func marshalOCIState(s *State, status string, pid int) []byte {
	b, _ := json.Marshal(specs.State{Version: s.OCIVersion, ID: s.ID, Status: specs.ContainerState(status), Pid: pid, Bundle: s.Bundle, Annotations: s.Annotations})
	return b
}
