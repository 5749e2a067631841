package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
)

// listed is container.Summary as the versions have it.
type listed struct {
	container.Summary
	HostConfig listedHost
}

type listedHost struct {
	NetworkMode string            `json:",omitempty"`
	Annotations map[string]string `json:",omitempty"` // since 1.46
}

func (s *Server) containerList(w http.ResponseWriter, r *request) error {
	f, err := r.filters(engine.ListFilters()...)
	if err != nil {
		return err
	}
	o := engine.ListOptions{All: r.flag("all"), Filters: f}
	if v := r.FormValue("limit"); v != "" {
		if o.Limit, err = strconv.Atoi(v); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	views, err := s.containers.List(r.Context(), o)
	if err != nil {
		return err
	}
	names := s.imageNames(r, views)
	out := make([]listed, 0, len(views))
	now := time.Now()
	for _, v := range views {
		l := r.summarize(v, now)
		if id, ok := names[l.Image]; !ok || id != string(v.Image) {
			l.Image = string(v.Image) // its name is another image's now, or nobody's
		}
		if r.flag("size") {
			l.SizeRw = s.containers.SizeRw(r.Context(), v)
			l.SizeRootFs = l.SizeRw + s.imageSize(r, v)
		}
		out = append(out, l)
	}
	return writeJSON(w, http.StatusOK, out)
}

// imageNames are the IDs of the images that containers were asked for by name, as the names are now.
func (s *Server) imageNames(r *request, views []*engine.View) map[string]string {
	out := make(map[string]string)
	for _, v := range views {
		if _, ok := out[v.Config.Image]; ok {
			continue
		}
		out[v.Config.Image] = ""
		if img, err := s.images.Find(r.Context(), v.Config.Image); err == nil {
			out[v.Config.Image] = string(img.ID)
		}
	}
	return out
}

func (s *Server) imageSize(r *request, v *engine.View) int64 {
	img, err := s.images.Find(r.Context(), string(v.Image))
	if err != nil {
		return 0
	}
	return img.Size
}

func (r *request) summarize(v *engine.View, now time.Time) listed {
	l := listed{Summary: container.Summary{
		ID: string(v.ID), Names: []string{"/" + v.Name}, Image: v.Config.Image, ImageID: string(v.Image), Command: command(v), Created: v.Created.Unix(),
		Ports: ports(v), Labels: v.Config.Labels, State: v.State.Phase, Status: statusText(v, now), Mounts: points(v),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: v.Endpoints},
	}}
	l.HostConfig.NetworkMode = string(v.Host.NetworkMode)
	if r.since(46) {
		l.HostConfig.Annotations = v.Host.Annotations
	}
	if r.since(48) {
		l.ImageManifestDescriptor = v.Manifest
	}
	if r.since(52) {
		h := container.HealthSummary{Status: container.NoHealthcheck}
		if x := v.State.Health; x != nil {
			h.Status, h.FailingStreak = x.Status, x.Streak
		}
		l.Health = &h
	}
	if l.Labels == nil {
		l.Labels = map[string]string{}
	}
	return l
}

// command is a container's command line as lists show it.
func command(v *engine.View) string {
	words := []string{v.Path}
	for _, a := range v.Args {
		if strings.Contains(a, " ") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// statusText is a container's state in Docker's words for people.
func statusText(v *engine.View, now time.Time) string {
	st := v.State
	ago := func(t time.Time) string { return units.HumanDuration(now.UTC().Sub(t)) }
	switch st.Phase {
	case engine.Running:
		if h := st.Health; h != nil {
			word := string(h.Status)
			if h.Status == container.Starting {
				word = "health: " + word
			}
			return fmt.Sprintf("Up %s (%s)", ago(st.Started), word)
		}
		return "Up " + ago(st.Started)
	case engine.Paused:
		return fmt.Sprintf("Up %s (Paused)", ago(st.Started))
	case engine.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", st.ExitCode, ago(st.Finished))
	case engine.Removing:
		return "Removal In Progress"
	case engine.Dead:
		return "Dead"
	case engine.Created:
		return "Created"
	}
	if st.Finished.IsZero() {
		return ""
	}
	return fmt.Sprintf("Exited (%d) %s ago", st.ExitCode, ago(st.Finished))
}

// ports are the published and the exposed ports, by number.
func ports(v *engine.View) []container.PortSummary {
	out := []container.PortSummary{}
	for p, bindings := range v.Ports {
		for _, b := range bindings {
			n, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err == nil {
				out = append(out, container.PortSummary{IP: b.HostIP, PrivatePort: p.Num(), PublicPort: uint16(n), Type: string(p.Proto())})
			}
		}
	}
	if v.Host.NetworkMode.IsHost() || v.Host.NetworkMode.IsNone() || v.State.Phase != engine.Running {
		return out
	}
	for p := range v.Config.ExposedPorts {
		if len(v.Ports[p]) == 0 {
			out = append(out, container.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
		}
	}
	slices.SortFunc(out, func(a, b container.PortSummary) int {
		if a.PrivatePort != b.PrivatePort {
			return int(a.PrivatePort) - int(b.PrivatePort)
		}
		if a.PublicPort != b.PublicPort {
			return int(a.PublicPort) - int(b.PublicPort)
		}
		return a.IP.Compare(b.IP)
	})
	return out
}

func points(v *engine.View) []container.MountPoint {
	out := []container.MountPoint{}
	for _, m := range v.Mounts {
		out = append(out, m.Point())
	}
	return out
}

// legacySettings are what an inspected container's NetworkSettings had before 1.52: the first network's.
type legacySettings struct {
	Bridge, SandboxID      string
	HairpinMode            bool
	LinkLocalIPv6Address   string
	LinkLocalIPv6PrefixLen int
	Ports                  network.PortMap
	SandboxKey             string
	SecondaryIPAddresses   []string
	SecondaryIPv6Addresses []string
	EndpointID             string
	Gateway                netip.Addr
	GlobalIPv6Address      netip.Addr
	GlobalIPv6PrefixLen    int
	IPAddress              netip.Addr
	IPPrefixLen            int
	IPv6Gateway            netip.Addr
	MacAddress             network.HardwareAddr
	Networks               map[string]*network.EndpointSettings
}
