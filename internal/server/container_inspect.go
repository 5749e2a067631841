package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/logfile"
)

// inspectedContainer is container.InspectResponse with what the versions have besides.
type inspectedContainer struct {
	container.InspectResponse
	NetworkSettings any
	Hull            *inspectedHull `json:"Hull,omitempty"`
}

// inspectedHull is what Docker has no field for.
type inspectedHull struct {
	UserNamespace string // "private" or "host"
	FirstID       uint32 `json:",omitempty"` // what uid and gid 0 are on the host
	IDs           uint32 `json:",omitempty"`
	OOMKills      uint64 `json:",omitempty"`
}

func (s *Server) containerInspect(w http.ResponseWriter, r *request, name string) error {
	v, err := s.containers.Find(name)
	if err != nil {
		return err
	}
	out := s.inspectContainer(r, v)
	if r.flag("size") {
		rw := s.containers.SizeRw(r.Context(), v)
		all := rw + s.imageSize(r, v)
		out.SizeRw, out.SizeRootFs = &rw, &all
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) inspectContainer(r *request, v *engine.View) inspectedContainer {
	st := v.State
	out := inspectedContainer{InspectResponse: container.InspectResponse{
		ID: string(v.ID), Created: v.Created.Format(time.RFC3339Nano), Path: v.Path, Args: append([]string{}, v.Args...), Image: string(v.Image),
		State: &container.State{
			Status: st.Phase, Running: st.Phase == engine.Running || st.Phase == engine.Paused || st.Phase == engine.Restarting, Paused: st.Phase == engine.Paused,
			Restarting: st.Phase == engine.Restarting, OOMKilled: st.OOMKilled, Dead: st.Phase == engine.Dead, Pid: st.Pid, ExitCode: st.ExitCode, Error: st.Error,
			StartedAt: st.Started.Format(time.RFC3339Nano), FinishedAt: st.Finished.Format(time.RFC3339Nano),
		},
		ResolvConfPath: v.Dir + "/resolv.conf", HostnamePath: v.Dir + "/hostname", HostsPath: v.Dir + "/hosts", LogPath: logPath(v),
		Name: "/" + v.Name, RestartCount: v.RestartCnt, Driver: v.Driver, Platform: v.Platform, HostConfig: v.Host, Mounts: points(v), Config: v.Config,
		ExecIDs: v.Execs,
	}}
	if h := st.Health; h != nil {
		x := &container.Health{Status: h.Status, FailingStreak: h.Streak, Log: []*container.HealthcheckResult{}}
		for i := range h.Results {
			x.Log = append(x.Log, &h.Results[i])
		}
		out.State.Health = x
	}
	if !r.since(52) {
		out.GraphDriver = &storage.DriverData{Name: v.Driver, Data: map[string]string{"UpperDir": v.Dir + "/upper", "WorkDir": v.Dir + "/work"}}
	}
	if r.since(48) {
		out.ImageManifestDescriptor = v.Manifest
	}
	out.NetworkSettings = r.networkSettings(v)
	out.Hull = &inspectedHull{UserNamespace: "host", OOMKills: st.OOMKills}
	if v.IDs != nil {
		out.Hull.UserNamespace, out.Hull.FirstID, out.Hull.IDs = "private", v.IDs.Host, v.IDs.Size
	}
	return out
}

// logPath is the file of the driver that has one.
func logPath(v *engine.View) string {
	if v.Log.Driver == logfile.DriverJSONFile {
		return v.Log.Dir + "/" + v.Log.Name
	}
	return ""
}

func (r *request) networkSettings(v *engine.View) any {
	p := v.Ports
	if p == nil {
		p = network.PortMap{}
	}
	nets := v.Endpoints
	if nets == nil {
		nets = map[string]*network.EndpointSettings{}
	}
	if !r.since(45) {
		nets = withShortID(nets, v)
	}
	sandbox := ""
	if v.Sandbox != "" {
		sandbox = string(v.ID)
	}
	if r.since(52) {
		return container.NetworkSettings{SandboxID: sandbox, SandboxKey: v.Sandbox, Ports: p, Networks: nets}
	}
	old := legacySettings{SandboxID: sandbox, SandboxKey: v.Sandbox, Ports: p, Networks: nets}
	// Docker filled these from the default bridge alone.
	if ep := nets["bridge"]; ep != nil {
		old.EndpointID, old.Gateway, old.IPAddress, old.IPPrefixLen = ep.EndpointID, ep.Gateway, ep.IPAddress, ep.IPPrefixLen
		old.IPv6Gateway, old.GlobalIPv6Address, old.GlobalIPv6PrefixLen, old.MacAddress = ep.IPv6Gateway, ep.GlobalIPv6Address, ep.GlobalIPv6PrefixLen, ep.MacAddress
	}
	return old
}

// withShortID adds the names to the aliases that were among them before 1.45.
func withShortID(nets map[string]*network.EndpointSettings, v *engine.View) map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(nets))
	for name, ep := range nets {
		if container.NetworkMode(name).IsUserDefined() {
			ep = ep.Copy()
			for _, alias := range []string{v.ID.Short(), v.Config.Hostname} {
				if !slices.Contains(ep.Aliases, alias) {
					ep.Aliases = append(ep.Aliases, alias)
				}
			}
		}
		out[name] = ep
	}
	return out
}
