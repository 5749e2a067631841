package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	types "github.com/moby/moby/api/types/network"

	"github.com/hull-dev/hull/internal/engine"
	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/network"
)

// Networks is what the server needs of the networks.
type Networks interface {
	List() []*network.Network
	Find(term string) (*network.Network, error)
	Create(ctx context.Context, o network.Options) (*network.Network, error)
	Remove(ctx context.Context, term string) (*network.Network, error)
	Prune(ctx context.Context, match func(*network.Network) bool) ([]*network.Network, error)
	Endpoints(id string) []network.Endpoint
	Usage(id string) map[netip.Prefix]network.Use
	Published() []network.Published
	Firewall() (string, error)
}

// listedNetwork is a network as the API shows it.
type listedNetwork struct {
	types.Network
	Containers map[string]types.EndpointResource `json:"Containers,omitempty"`
	Status     *types.Status                     `json:"Status,omitempty"`
}

// oldNetwork is what it was before 1.52: Containers are there even when nobody looked for them.
type oldNetwork struct {
	oldNetworkHead
	IPAM       types.IPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom types.ConfigReference
	ConfigOnly bool
	Containers map[string]types.EndpointResource
	Options    map[string]string
	Labels     map[string]string
}

type oldNetworkHead struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     string
	EnableIPv4 *bool `json:",omitempty"` // since 1.48
	EnableIPv6 bool
}

// networkRoute finds the handlers of networks.
func (s *Server) networkRoute(r *request) handler {
	switch path := strings.TrimSuffix(r.path, "/"); {
	case path == "/networks" && r.Method == http.MethodGet:
		return s.networkList
	case path == "/networks/create" && r.Method == http.MethodPost:
		return s.networkCreate
	case path == "/networks/prune" && r.Method == http.MethodPost:
		return s.networkPrune
	case path == "/hull/ports" && r.Method == http.MethodGet:
		return s.portAudit
	}
	for _, route := range []struct {
		method, suffix string
		h              func(http.ResponseWriter, *request, string) error
	}{
		{"POST", "/connect", s.networkConnect},
		{"POST", "/disconnect", s.networkDisconnect},
		{"GET", "", s.networkInspect},
		{"DELETE", "", s.networkRemove},
	} {
		if name, ok := between(r.path, "/networks/", route.suffix); ok && route.method == r.Method {
			return named(route.h, name)
		}
	}
	return nil
}

// predefined are the networks that are none of ours: a container has the host's devices, or nobody's.
func (s *Server) predefined() []*network.Network {
	var out []*network.Network
	for name, driver := range map[string]string{"host": "host", "none": "null"} {
		sum := sha256.Sum256([]byte(s.facts.ID + " network " + name))
		out = append(out, &network.Network{ID: hex.EncodeToString(sum[:]), Name: name, Driver: driver, Created: s.facts.Since, IPv4: true, IPAMDriver: "default"})
	}
	return out
}

func (s *Server) allNetworks() []*network.Network {
	list := s.predefined()
	if s.networks != nil {
		list = append(list, s.networks.List()...)
	}
	return list
}

// findNetwork finds a network by its ID, its name or the beginning of its ID.
func (s *Server) findNetwork(term string) (*network.Network, error) {
	var found []*network.Network
	for _, n := range s.predefined() {
		if n.Name == term || n.ID == term {
			return n, nil
		}
		if strings.HasPrefix(n.ID, term) {
			found = append(found, n)
		}
	}
	if s.networks == nil {
		if len(found) == 1 {
			return found[0], nil
		}
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", term))
	}
	n, err := s.networks.Find(term)
	if err == nil && n.Name != term && n.ID != term && term != "default" {
		found = append(found, n)
	}
	switch {
	case len(found) > 1:
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", term, len(found)))
	case errdefs.IsNotFound(err) && len(found) == 1:
		return found[0], nil
	}
	return n, err
}

func isPredefined(n *network.Network) bool {
	return n.Name == "host" || n.Name == "none" || n.Name == network.DefaultName
}

// containersOf are the running containers in a network.
func (s *Server) containersOf(n *network.Network) map[string]types.EndpointResource {
	out := make(map[string]types.EndpointResource)
	if n.Driver == "host" || n.Driver == "null" {
		for _, v := range s.containers.Views() {
			if string(v.Host.NetworkMode) == n.Name && runs(v) {
				out[string(v.ID)] = types.EndpointResource{Name: v.Name, EndpointID: endpointID(n, v)}
			}
		}
		return out
	}
	if s.networks == nil {
		return out
	}
	for _, e := range s.networks.Endpoints(n.ID) {
		x := types.EndpointResource{Name: e.Name, EndpointID: e.ID, IPv4Address: e.IPv4, IPv6Address: e.IPv6}
		_ = x.MacAddress.UnmarshalText([]byte(e.MAC)) // it is ours and valid
		out[e.Container] = x
	}
	return out
}

// endpointID stands for a container's place in a network that has no endpoints.
func endpointID(n *network.Network, v *engine.View) string {
	sum := sha256.Sum256([]byte(n.ID + string(v.ID)))
	return hex.EncodeToString(sum[:])
}

func runs(v *engine.View) bool {
	p := v.State.Phase
	return p == engine.Running || p == engine.Paused
}

// encodeNetwork is a network in the version of the API that the client speaks; with, its containers too.
func (s *Server) encodeNetwork(r *request, n *network.Network, with bool) any {
	out := types.Network{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: "local", Driver: n.Driver, EnableIPv4: n.IPv4, EnableIPv6: n.IPv6,
		IPAM:     types.IPAM{Driver: n.IPAMDriver, Options: n.IPAMOpts, Config: []types.IPAMConfig{}},
		Internal: n.Internal, Attachable: n.Attachable, Options: n.DriverOpts, Labels: n.Labels,
	}
	if out.Options == nil {
		out.Options = map[string]string{}
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	if out.IPAM.Options == nil && !isPredefined(n) {
		out.IPAM.Options = map[string]string{}
	}
	for _, sub := range n.Subnets {
		out.IPAM.Config = append(out.IPAM.Config, types.IPAMConfig{Subnet: sub.Prefix, IPRange: sub.Range, Gateway: sub.Gateway, AuxAddress: sub.Aux})
	}
	if len(out.IPAM.Config) == 0 && isPredefined(n) {
		out.IPAM.Config = nil // Docker's null
		if !r.since(48) {
			out.IPAM.Config = []types.IPAMConfig{}
		}
	}
	containers := map[string]types.EndpointResource{}
	if with {
		containers = s.containersOf(n)
	}
	if !r.since(52) {
		head := oldNetworkHead{Name: out.Name, ID: out.ID, Created: out.Created, Scope: out.Scope, Driver: out.Driver, EnableIPv6: out.EnableIPv6}
		if r.since(48) {
			head.EnableIPv4 = &out.EnableIPv4
		}
		return oldNetwork{head, out.IPAM, out.Internal, out.Attachable, out.Ingress, out.ConfigFrom, out.ConfigOnly, containers, out.Options, out.Labels}
	}
	if !with {
		return listedNetwork{Network: out}
	}
	x := types.Inspect{Network: out, Containers: containers, Status: &types.Status{IPAM: types.IPAMStatus{Subnets: types.SubnetStatuses{}}}}
	if s.networks != nil {
		for p, u := range s.networks.Usage(n.ID) {
			x.Status.IPAM.Subnets[p] = types.SubnetStatus{IPsInUse: u.Taken, DynamicIPsAvailable: u.Free}
		}
	}
	return x
}

func (s *Server) networkInspect(w http.ResponseWriter, r *request, name string) error {
	if scope := r.FormValue("scope"); scope != "" && scope != "local" {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", name))
	}
	n, err := s.findNetwork(name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.encodeNetwork(r, n, true))
}

func (s *Server) networkList(w http.ResponseWriter, r *request) error {
	match, err := s.networkFilter(r)
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(s.allNetworks(), func(n *network.Network) bool { return !match(n) })
	slices.SortFunc(list, func(a, b *network.Network) int { return strings.Compare(a.Name, b.Name) })
	out := make([]any, 0, len(list))
	for _, n := range list {
		out = append(out, s.encodeNetwork(r, n, !r.since(28)))
	}
	return writeJSON(w, http.StatusOK, out)
}

// networkEvent tells what happened to a network.
func (s *Server) networkEvent(action string, n *network.Network) {
	s.bus.Publish(events.Event{Type: events.Network, Action: action, Actor: events.Actor{ID: n.ID, Attributes: map[string]string{"name": n.Name, "type": n.Driver}}})
}
