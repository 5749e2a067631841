package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// List are all networks, oldest first.
func (h *Host) List() []*Network {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Network, 0, len(h.networks))
	for _, s := range h.networks {
		list = append(list, s.Network)
	}
	slices.SortFunc(list, func(a, b *Network) int { return a.Created.Compare(b.Created) })
	return list
}

// Find finds a network by its ID, its name or the beginning of its ID.
func (h *Host) Find(term string) (*Network, error) {
	s, err := h.find(term)
	if err != nil {
		return nil, err
	}
	return s.Network, nil
}

func (h *Host) find(term string) (*state, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.findLocked(term)
}

func (h *Host) findLocked(term string) (*state, error) {
	if s, ok := h.networks[term]; ok {
		return s, nil
	}
	if term == "default" {
		term = DefaultName
	}
	var found []*state
	for id, s := range h.networks {
		if s.Name == term {
			return s, nil
		}
		if term != "" && strings.HasPrefix(id, term) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", term))
	}
	return nil, invalid("network %s is ambiguous (%d matches found based on ID prefix)", term, len(found))
}

// HostGateway are the addresses that "host-gateway" stands for in --add-host: those of the default
// network's bridge.
func (h *Host) HostGateway() (list []netip.Addr) {
	n, err := h.Find(DefaultName)
	if err != nil {
		return nil
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			list = append(list, s.Gateway)
		}
	}
	return list
}

// Endpoints are the endpoints of a network, by name.
func (h *Host) Endpoints(id string) []Endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.networks[id]
	if s == nil {
		return nil
	}
	list := make([]Endpoint, 0, len(s.endpoints))
	for _, e := range s.endpoints {
		list = append(list, *e)
	}
	slices.SortFunc(list, func(a, b Endpoint) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return list
}

// Of are the endpoints of a container, in the order in which they were attached.
func (h *Host) Of(container string) []Endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[container]
	if b == nil {
		return nil
	}
	list := make([]Endpoint, 0, len(b.endpoints))
	for _, e := range b.endpoints {
		list = append(list, *e)
	}
	return list
}

// Use is how full a subnet is.
type Use struct {
	Taken uint64 // addresses that are in use or kept back
	Free  uint64 // addresses that an endpoint can still get without asking for one
}

// Usage says how full the subnets of a network are. Numbers end at the largest there is.
func (h *Host) Usage(id string) map[netip.Prefix]Use {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.networks[id]
	if s == nil {
		return nil
	}
	out := make(map[netip.Prefix]Use)
	for _, l := range []*leases{s.v4, s.v6} {
		if l != nil {
			out[l.subnet.Prefix] = l.use()
		}
	}
	return out
}

// Remove removes a network that no container is in.
func (h *Host) Remove(ctx context.Context, term string) (*Network, error) {
	h.mu.Lock()
	s, err := h.findLocked(term)
	if err == nil {
		err = removable(s)
	}
	if err != nil {
		h.mu.Unlock()
		return nil, err
	}
	s.leaving = true
	h.mu.Unlock()
	if err := ignoreMissing(os.Remove(h.file(s.ID))); err != nil {
		h.mu.Lock()
		s.leaving = false
		h.mu.Unlock()
		return nil, fmt.Errorf("removing network %s: %w", s.Name, err)
	}
	return s.Network, h.takeDown(s)
}

func removable(s *state) error {
	if s.set.isDefault || s.Name == DefaultName {
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("%s is a pre-defined network and cannot be removed", s.Name))
	}
	if s.leaving {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", s.Name))
	}
	if len(s.endpoints) > 0 {
		names := make([]string, 0, len(s.endpoints))
		for _, e := range s.endpoints {
			names = append(names, fmt.Sprintf("name:%q id:%q", e.Name, e.ID[:12]))
		}
		slices.Sort(names)
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("error while removing network: network %s has active endpoints (%s)", s.Name, strings.Join(names, ", ")))
	}
	return nil
}

// Prune removes the networks that nobody uses and that match. used says of a network's ID whether
// a container that does not run belongs to it.
func (h *Host) Prune(ctx context.Context, match func(*Network) bool) (removed []*Network, err error) {
	for _, n := range h.List() {
		if n.Name == DefaultName || !match(n) {
			continue
		}
		_, fail := h.Remove(ctx, n.ID)
		switch {
		case fail == nil:
			removed = append(removed, n)
		case errdefs.IsPermissionDenied(fail) || errdefs.IsNotFound(fail): // in use, or gone meanwhile
		default:
			err = errors.Join(err, fail)
		}
	}
	return removed, err
}
