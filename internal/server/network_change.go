package server

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
	types "github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/network"
)

var errNoNetworks = errdefs.ErrNotImplemented.WithMessage("this hulld runs without networks (--networks off, or the host cannot have any)")

func (s *Server) networkCreate(w http.ResponseWriter, r *request) error {
	var b types.CreateRequest
	if err := r.body(&b, false); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(b.Name) == "":
		return errdefs.ErrInvalidArgument.WithMessage("invalid network name: name is empty")
	case b.ConfigOnly || b.ConfigFrom != nil && b.ConfigFrom.Network != "":
		return errdefs.ErrNotImplemented.WithMessage("there are no config-only networks: they are for swarm")
	case b.Ingress || b.Scope == "swarm" || b.Driver == "overlay":
		return errdefs.ErrPermissionDenied.WithMessage("This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
	case b.Scope != "" && b.Scope != "local":
		return errdefs.ErrInvalidArgument.WithMessage("invalid scope: " + b.Scope)
	case s.networks == nil:
		return errNoNetworks
	}
	o := network.Options{Name: b.Name, Driver: b.Driver, IPv4: b.EnableIPv4, IPv6: b.EnableIPv6 != nil && *b.EnableIPv6, Internal: b.Internal, Attachable: b.Attachable, DriverOpts: b.Options, Labels: b.Labels}
	if b.Driver == "default" {
		o.Driver = ""
	}
	if i := b.IPAM; i != nil {
		o.IPAMDriver, o.IPAMOpts = i.Driver, i.Options
		for _, c := range i.Config {
			o.Subnets = append(o.Subnets, network.Subnet{Prefix: c.Subnet, Range: c.IPRange, Gateway: c.Gateway, Aux: c.AuxAddress})
		}
	}
	n, err := s.networks.Create(r.Context(), o)
	if err != nil {
		return err
	}
	s.networkEvent("create", n)
	return writeJSON(w, http.StatusCreated, types.CreateResponse{ID: n.ID, Warning: strings.Join(n.Warnings, "\n")})
}

func (s *Server) networkRemove(w http.ResponseWriter, r *request, name string) error {
	n, err := s.findNetwork(name)
	if err != nil {
		return err
	}
	if isPredefined(n) {
		return errdefs.ErrPermissionDenied.WithMessage(n.Name + " is a pre-defined network and cannot be removed")
	}
	if n, err = s.networks.Remove(r.Context(), n.ID); n != nil {
		s.networkEvent("destroy", n)
	}
	return done(w, err)
}

func (s *Server) networkPrune(w http.ResponseWriter, r *request) error {
	match, err := r.pruneNetworks()
	if err != nil {
		return err
	}
	var out types.PruneReport
	if s.networks != nil {
		removed, err := s.networks.Prune(r.Context(), match)
		for _, n := range removed {
			s.networkEvent("destroy", n)
			out.NetworksDeleted = append(out.NetworksDeleted, n.Name)
		}
		if err != nil {
			return err
		}
	}
	s.bus.Publish(events.Event{Type: events.Network, Action: "prune", Actor: events.Actor{Attributes: map[string]string{"reclaimed": "0"}}})
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) networkConnect(w http.ResponseWriter, r *request, name string) error {
	var b types.ConnectRequest
	if err := r.body(&b, false); err != nil {
		return err
	}
	n, err := s.findNetwork(name)
	if err != nil {
		return err
	}
	if err := s.containers.Connect(r.Context(), n.Name, b.Container, b.EndpointConfig); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) networkDisconnect(w http.ResponseWriter, r *request, name string) error {
	var b types.DisconnectRequest
	if err := r.body(&b, false); err != nil {
		return err
	}
	n, err := s.findNetwork(name)
	if err != nil {
		return err
	}
	if err := s.containers.Disconnect(r.Context(), n.Name, b.Container); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// openPort is a port of the host that leads to a container.
type openPort struct {
	Protocol      string
	HostIP        netip.Addr
	HostPort      uint16
	ContainerPort uint16
	Container     string // ID
	Name          string
	Network       string
	Reach         string // "everyone" or "this host"
	// Firewall is what judges connections, "" for nothing but Hull's own rules.
	Firewall string
}

// portAudit lists every port of the host that leads to a container. It is not Docker's.
func (s *Server) portAudit(w http.ResponseWriter, _ *request) error {
	out := []openPort{}
	if s.networks == nil {
		return writeJSON(w, http.StatusOK, out)
	}
	firewall, err := s.networks.Firewall()
	if err != nil {
		return err
	}
	for _, p := range s.networks.Published() {
		x := openPort{Protocol: p.Proto, HostIP: p.HostIP, HostPort: p.Host, ContainerPort: p.Binding.Container, Container: p.Container, Name: p.Name, Network: p.Network, Reach: "everyone"}
		if p.HostIP.IsLoopback() {
			x.Reach = "this host"
		}
		if p.Judged {
			x.Firewall = firewall
		}
		out = append(out, x)
	}
	return writeJSON(w, http.StatusOK, out)
}
