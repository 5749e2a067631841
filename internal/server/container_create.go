package server

import (
	"encoding/json"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
)

// createBody is container.CreateRequest with what older versions had in it.
type createBody struct {
	container.CreateRequest
	MacAddress network.HardwareAddr // before 1.44
}

// UnmarshalJSON keeps the embedded type's fields and adds the others.
func (c *createBody) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, &c.CreateRequest); err != nil {
		return err
	}
	return json.Unmarshal(raw, &struct{ MacAddress *network.HardwareAddr }{&c.MacAddress})
}

func (s *Server) containerCreate(w http.ResponseWriter, r *request) error {
	var b createBody
	if err := r.body(&b, false); err != nil {
		return err
	}
	if b.Config == nil {
		return errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	if b.HostConfig == nil {
		b.HostConfig = &container.HostConfig{}
	}
	r.asItWas(b.Config, b.HostConfig)
	req := engine.CreateRequest{Name: r.FormValue("name"), Config: b.Config, Host: b.HostConfig}
	if b.NetworkingConfig != nil {
		req.Endpoints = b.NetworkingConfig.EndpointsConfig
	}
	if len(b.MacAddress) > 0 && !r.since(44) {
		req.Endpoints = withMAC(req.Endpoints, b.HostConfig.NetworkMode, b.MacAddress)
	}
	out, err := s.containers.Create(r.Context(), req)
	if err != nil {
		return err
	}
	warnings := out.Warnings
	if warnings == nil {
		warnings = []string{}
	}
	return writeJSON(w, http.StatusCreated, container.CreateResponse{ID: string(out.ID), Warnings: warnings})
}

// withMAC puts the address that old versions give the container to the endpoint of its network.
func withMAC(eps map[string]*network.EndpointSettings, mode container.NetworkMode, mac network.HardwareAddr) map[string]*network.EndpointSettings {
	name := string(mode)
	if name == "" || name == "default" {
		name = "bridge"
	}
	out := map[string]*network.EndpointSettings{name: {}}
	for k, v := range eps {
		if v != nil {
			out[k] = v
		}
	}
	if ep := out[name]; len(ep.MacAddress) == 0 {
		ep.MacAddress = mac
	}
	return out
}

// asItWas gives a request the meaning that it had in its version of the API: what the version does
// not know counts for nothing, and defaults are those of then.
func (r *request) asItWas(c *container.Config, h *container.HostConfig) {
	if !r.since(40) {
		for _, m := range h.Mounts {
			if m.BindOptions != nil {
				m.BindOptions.NonRecursive = false
			}
		}
		if h.IpcMode.IsEmpty() {
			h.IpcMode = container.IPCModeShareable
		}
	}
	if !r.since(41) && h.CgroupnsMode.IsEmpty() {
		h.CgroupnsMode = container.CgroupnsModeHost
	}
	if !r.since(42) {
		for _, m := range h.Mounts {
			if m.BindOptions != nil {
				m.BindOptions.CreateMountpoint = false
			}
		}
	}
	if !r.since(43) {
		h.Annotations = nil
	}
	if !r.since(44) {
		if c.Healthcheck != nil {
			c.Healthcheck.StartInterval = 0
		}
		for _, m := range h.Mounts {
			if m.BindOptions != nil {
				m.BindOptions.ReadOnlyNonRecursive, m.BindOptions.ReadOnlyForceRecursive = true, false
			}
		}
		for i := range h.Mounts {
			if m := &h.Mounts[i]; m.BindOptions != nil && !m.ReadOnly {
				m.BindOptions.ReadOnlyNonRecursive = false
			}
		}
	}
	if !r.since(45) {
		for _, m := range h.Mounts {
			if m.VolumeOptions != nil {
				m.VolumeOptions.Subpath = ""
			}
		}
	}
}
